"""The handshake of another node: written as data, and made anew."""

from __future__ import annotations

import json

import pytest
from flask import (
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSession, SessionInterface

from protoo_flask.site.contexts import preprocess_request
from protoo_flask.site.remote_contexts import describe_context, restore_context

from ..joining import make_app
from .conftest import WAYS, keep_handshake


class Store(SessionInterface):
    """Sessions that a server keeps, by the id in a cookie. They need an app context."""

    def __init__(self, **sessions):
        self.sessions = sessions

    def open_session(self, app, request):
        assert current_app.name == app.name
        return SecureCookieSession(self.sessions[request.cookies["sid"]])

    def save_session(self, app, session, response):
        raise AssertionError("there is no response to save a session with")


def make_site():
    """Make a site as each node has it: equal, and another object."""
    app = make_app()
    app.torn_down = []
    app.add_url_rule("/protoo", "protoo", lambda: "")
    app.add_url_rule("/<lang>/rooms/<int:number>", "room", lambda lang, number: "")
    app.teardown_appcontext(lambda error: app.torn_down.append(error))
    return app


def cookie_of(app, **values):
    return "session=" + app.session_interface.get_signing_serializer(app).dumps(values)


def travel(way, url="/protoo?uuid=a1", sender=None, receiver=None, **environ):
    """Keep a handshake at one node; return its context at another."""
    sender, receiver = sender or make_site(), receiver or make_site()
    with sender.test_request_context(url, environ_overrides=environ) as context:
        preprocess_request(sender)
        kept = way(sender, context.request, context.session)
    return restore_context(receiver, way, describe_context(kept))


@pytest.mark.parametrize("way", WAYS)
def test_the_request_is_equal_to_that_of_the_handshake(way):
    context = travel(way, HTTP_X_AGENT="tests", REMOTE_ADDR="10.1.2.3")
    seen = []

    def look(*args):
        seen.append((args, request.path, request.args["uuid"], request.headers["X-Agent"]))
        seen.append((request.remote_addr, request.method, request.get_data(), request.endpoint))
        seen.append((current_app.name, url_for("protoo"), request.host_url))

    context.run(look, 1, 2)

    assert seen == [
        ((1, 2), "/protoo", "a1", "tests"),
        ("10.1.2.3", "GET", b"", "protoo"),
        ("site", "/protoo", "http://localhost/"),
    ]
    assert not has_request_context()
    assert not has_app_context()


@pytest.mark.parametrize("way", WAYS)
def test_a_session_in_a_cookie_is_that_of_the_handshake(way):
    context = travel(way, HTTP_COOKIE=cookie_of(make_site(), username="alice"))
    seen = []
    context.run(lambda: seen.append(dict(session)))
    context.run_anew(lambda: seen.append(dict(session)))
    assert seen == [{"username": "alice"}, {"username": "alice"}]


@pytest.mark.parametrize("way", WAYS)
def test_a_session_on_the_server_is_opened_in_an_app_context(way):
    sender, receiver = make_site(), make_site()
    sender.session_interface = Store(**{"1a2b": {"username": "alice"}})
    receiver.session_interface = Store(**{"1a2b": {"username": "alice", "cart": 3}})
    seen = []

    with receiver.app_context():  # of other code, which has no part in this
        g.mark = "of other code"
        context = travel(way, sender=sender, receiver=receiver, HTTP_COOKIE="sid=1a2b")
        assert g.mark == "of other code"
        assert receiver.torn_down == [None]
    context.run(lambda: seen.append((dict(session), g.get("mark"))))

    assert seen == [({"username": "alice", "cart": 3}, None)]


@pytest.mark.parametrize("way", WAYS)
def test_the_variable_parts_of_the_url_are_those_that_the_handshake_has_kept(way):
    sender, receiver = make_site(), make_site()
    for app in (sender, receiver):

        @app.url_value_preprocessor
        def take(endpoint, values):
            values.pop("lang", None)

    context = travel(way, "/de/rooms/7", sender, receiver)
    seen = []
    context.run(lambda: seen.append((request.endpoint, request.view_args)))
    assert seen == [("room", {"number": 7})]


def test_a_route_that_this_node_does_not_have_is_no_error():
    receiver = make_app()
    context = travel(WAYS[-1], receiver=receiver)
    seen = []
    context.run(lambda: seen.append((request.endpoint, request.path)))
    assert seen == [(None, "/protoo")]


def test_the_objects_of_the_server_stay_where_they_are():
    app = make_site()
    kept = keep_handshake(WAYS[-1], app, **{"site.own": object(), "werkzeug.socket": object()})
    strings, view_args = json.loads(describe_context(kept))
    assert strings["PATH_INFO"] == "/protoo"
    assert view_args == []
    assert not {"site.own", "werkzeug.socket", "wsgi.input"} & set(strings)


def test_text_that_is_no_ascii_arrives_as_it_is():
    context = travel(WAYS[-1], HTTP_X_AGENT="caf\u00e9", REMOTE_USER="lone \udc80")
    seen = []
    context.run(lambda: seen.append((request.headers["X-Agent"], request.remote_user)))
    assert seen == [("caf\u00e9", "lone \udc80")]


def test_an_error_of_the_sessions_leaves_no_context_behind():
    sender, receiver = make_site(), make_site()
    receiver.session_interface = Store()
    with pytest.raises(KeyError):
        travel(WAYS[-1], sender=sender, receiver=receiver, HTTP_COOKIE="sid=1a2b")
    assert not has_request_context()
    assert not has_app_context()


def test_without_a_handshake_the_request_is_of_nobody_and_the_session_empty():
    context = restore_context(make_site(), WAYS[-1], b"")
    seen = []
    context.run(lambda: seen.append((request.path, request.host, request.cookies, dict(session))))
    assert seen == [("/", "localhost", {}, {})]
