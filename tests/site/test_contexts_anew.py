"""Code of a site that runs as if the handshake came now, with the session opened again."""

from __future__ import annotations

import pytest
from flask import has_app_context, has_request_context, request, session
from flask.sessions import SecureCookieSession, SessionInterface


class Store(SessionInterface):
    """Sessions that the server keeps, by the id in a cookie.

    :ivar reads: how often a session was read.
    """

    def __init__(self, **sessions):
        self.sessions = sessions
        self.reads = 0

    def open_session(self, app, request):
        self.reads += 1
        return SecureCookieSession(self.sessions[request.cookies["sid"]])

    def save_session(self, app, session, response):
        raise AssertionError("there is no response to save a session with")


@pytest.fixture
def store(app):
    app.session_interface = store = Store(**{"1a2b": {}})
    return store


def test_a_session_is_opened_again_and_the_first_one_stays_as_it_was(app, store, make_context):
    context = make_context(app)
    seen = []

    store.sessions["1a2b"] = {"username": "bob"}
    context.run_anew(lambda: seen.append(dict(session)))
    store.sessions["1a2b"] = {}
    context.run_anew(lambda: seen.append(dict(session)))
    context.run(lambda: seen.append(dict(session)))

    assert seen == [{"username": "bob"}, {}, {"username": "alice"}]


def test_messages_do_not_read_the_store(app, store, make_context):
    context = make_context(app)
    reads = store.reads
    for _ in range(3):
        context.run(lambda: session["username"])
    assert store.reads == reads

    context.run_anew(lambda: dict(session))
    assert store.reads == reads + 1


def test_the_request_equals_that_of_the_handshake_and_is_another_object(app, make_context):
    context = make_context(app, **{"site.own": 4})
    seen = []

    def look(*args):
        request.user = "cached by the site"
        seen.append((args, request.path, request.args["uuid"], request.headers["X-Agent"]))
        seen.append((request.endpoint, request.environ["site.own"], request.get_data()))

    context.run_anew(look, 1, 2)
    context.run(lambda: seen.append(hasattr(request, "user")))
    make_context(app, "/page").run_anew(lambda: seen.append((request.endpoint, request.view_args)))

    assert seen == [
        ((1, 2), "/protoo", "a1", "tests"),
        ("protoo", 4, b""),
        False,
        ("page", {}),
    ]


def test_each_teardown_function_runs_once(app, make_context):
    context = make_context(app)
    context.run_anew(lambda: None)
    assert app.torn_down == [("request", None), ("app", None)]


def test_an_error_passes_through_and_is_an_argument_of_the_teardown_functions(app, make_context):
    error = ValueError("no")

    def fail():
        raise error

    with pytest.raises(ValueError, match="no"):
        make_context(app).run_anew(fail)

    assert app.torn_down == [("request", error), ("app", error)]
    assert not has_request_context()


def test_a_session_that_cannot_be_opened_leaves_no_context_active(app, store, make_context):
    context = make_context(app)
    store.sessions.clear()

    with pytest.raises(KeyError, match="1a2b"):
        context.run_anew(lambda: dict(session))

    assert [what for what, _ in app.torn_down] == ["request", "app"]
    assert not has_request_context()
    assert not has_app_context()
