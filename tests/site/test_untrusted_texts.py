"""Texts of clients in the log of a site, and texts of foreign errors that no client gets."""

from __future__ import annotations

from email.message import Message
from urllib.error import HTTPError

import pytest
from flask import Response, abort, make_response
from werkzeug.exceptions import Conflict, HTTPException

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from tests.joining import HANDSHAKE, join, make_app

EVIL = "x\n2026-01-01 ERROR root logged in\x1b[2J\x85\u2028\u202e\0"
LONG = "y" * 60_000
TEXTS = pytest.mark.parametrize("text", [EVIL, LONG], ids=["evil", "long"])


@pytest.fixture
def app():
    app = make_app()
    yield app
    app.extensions["protoo"].close()


def check_log(caplog):
    assert caplog.records
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 1500


def ask(inbox, method="get", path="/"):
    inbox.receive(f'{{"method": "{method}", "path": "{path}", "id": 1}}'.encode())
    answer = inbox._link.take()
    return answer["status"], answer["reason"]


# The log


@TEXTS
@pytest.mark.parametrize("event", ["online", "user_online"])
def test_an_error_of_a_listener_is_one_line_of_the_log(event, text, app, caplog):
    protoo = Protoo(app)

    @protoo.on(event)
    def fail(subject):
        raise ValueError

    join(app, text, text)
    check_log(caplog)


@TEXTS
def test_an_error_of_a_teardown_function_is_one_line_of_the_log(text, app, caplog):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: req.reply(200))
    alice = join(app, text, text)
    fails = [True]

    @app.teardown_request
    def fail(error):
        if fails:
            raise ValueError(text)

    ask(alice)
    ask(alice)
    fails.clear()
    check_log(caplog)


@TEXTS
def test_another_uuid_of_a_peer_is_one_line_of_the_log(text, site, caplog):
    site.connect(text[:100])
    site.answers[text[:100]] = lambda: (text[:100], text[:128])
    site.scheduler.advance(10)
    check_log(caplog)


@TEXTS
def test_an_answer_that_cannot_be_used_is_quoted_on_one_line(text, app):
    protoo = Protoo(app)
    protoo.authorize(lambda: [text])
    app.testing = True
    with pytest.raises(Exception, match="returned") as caught:
        app.test_client().get("/protoo", headers=HANDSHAKE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_a_foreign_origin_is_quoted_on_one_line(app):
    Protoo(app)
    origin = "http://x\x1b[2J\x85" + "y" * 6000
    answer = app.test_client().get("/protoo", headers={**HANDSHAKE, "Origin": origin})
    assert answer.status_code == 403
    assert answer.get_data(as_text=True).isprintable()
    assert len(answer.get_data(as_text=True)) < 1000


# Errors of others


def api_error():
    url = "https://user:secret@api.example.org/"
    return HTTPError(url, 404, f"nothing at {url}", Message(), None)


def fail(*args):
    raise api_error()


def add_handler(protoo):
    protoo.get("/", fail)
    return "get", "/"


def add_next(protoo):
    protoo.get("/", lambda req, next: next(api_error()))
    return "get", "/"


def add_allow(protoo):
    protoo.use(p2p_messenger(protoo, allow=lambda peer, username: fail()))
    return "message", "/bob"


def add_offline(protoo):
    protoo.use(p2p_messenger(protoo, on_offline=lambda req, username: fail()))
    return "message", "/nobody"


def add_presence(protoo):
    protoo.use(presence(protoo, lambda peer, username: fail()))
    return "subscribe", "/bob"


def add_session(protoo):
    protoo.use(session_handler(protoo, on_session=lambda session, req: fail()))
    return "session", "/bob"


def add_room(protoo):
    protoo.use(room_handler(protoo, on_room=lambda room, req: fail()))
    return "session", "/rooms/7"


PLACES = [add_handler, add_next, add_allow, add_offline, add_presence, add_session, add_room]


@pytest.mark.parametrize("add", PLACES, ids=lambda add: add.__name__)
def test_a_foreign_error_with_a_status_says_nothing_and_is_logged(add, app, caplog):
    protoo = Protoo(app)
    method, path = add(protoo)
    alice = join(app)
    join(app, "bob", "b1")
    assert ask(alice, method, path) == (500, "internal server error")
    assert isinstance(caplog.records[0].exc_info[1], HTTPError)


@pytest.mark.parametrize("error", [{"status": 404}, 404, "secret", object(), Response("x", 404)])
def test_a_value_given_to_next_says_nothing(error, app, caplog):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: next(error))
    assert ask(join(app)) == (500, "internal server error")
    assert caplog.records


class OutOfStock(Conflict):
    description = "out of stock"


class Odd(HTTPException):
    code = "404"  # type: ignore[assignment]
    description = "secret"


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OutOfStock(), (409, "out of stock")),
        (Odd(), (500, "internal server error")),
    ],
    ids=repr,
)
def test_a_class_of_a_site_speaks_if_it_is_an_http_exception(error, answer, app):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: next(error))
    assert ask(join(app)) == answer


def test_an_abort_speaks(app):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: abort(403, "not you"))
    assert ask(join(app)) == (403, "not you")


def test_an_abort_with_a_response_has_the_name_of_its_status(app):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: abort(make_response("<h1>taken</h1>", 409)))
    assert ask(join(app)) == (409, "Conflict")


def test_a_foreign_error_of_an_authorizer_is_an_error_of_the_view(app, caplog):
    protoo = Protoo(app)
    protoo.authorize(fail)
    answer = app.test_client().get("/protoo", headers=HANDSHAKE)
    assert answer.status_code == 500
    assert "secret" not in answer.get_data(as_text=True)
    assert isinstance(caplog.records[0].exc_info[1], HTTPError)
