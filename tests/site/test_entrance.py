"""The entrance: the arrival and the body of a handshake, before any code of the app."""

from __future__ import annotations

import io
import threading

import pytest

from protoo_flask.core.arrivals import Arrivals
from protoo_flask.core.wire.dialect import PROTOO
from protoo_flask.site.entrance import KEY, Entrance


class Host:
    dialects = (PROTOO,)

    def __init__(self):
        self.arrivals = Arrivals(threading.RLock())


class ServerInput:
    """An input that waits for ever, as that of a connection; its socket is below ``raw``."""

    raw = "raw"

    def read(self, *args):
        raise AssertionError("this would wait for the client")


def body_of(environ, path="/protoo"):
    """Return the input that an app is given."""
    seen = []
    app = Entrance(lambda environ, start_response: seen.append(environ), Host(), path)
    app(environ, None)
    return seen[0].get("wsgi.input")


@pytest.mark.parametrize(
    ("upgrade", "path", "prefix"),
    [
        ("websocket", "/protoo", "/protoo"),
        ("WebSocket", "/protoo", "/protoo"),
        ("websocket", "/chat/protoo", "/protoo"),
        ("websocket", "/acme/protoo", "/<tenant>/protoo"),
    ],
)
def test_a_handshake_has_an_empty_body(upgrade, path, prefix):
    environ = {"HTTP_UPGRADE": upgrade, "PATH_INFO": path, "wsgi.input": ServerInput()}
    body = body_of(environ, prefix)
    assert (body.read(), body.read(10), body.readline(), list(body)) == (b"", b"", b"", [])
    assert body.raw == "raw", "servers keep the socket there"


@pytest.mark.parametrize(
    "changes",
    [{"HTTP_UPGRADE": ""}, {"HTTP_UPGRADE": "h2c"}, {"PATH_INFO": "/echo"}],
    ids=["a page", "another protocol", "another WebSocket of the site"],
)
def test_other_requests_keep_theirs(changes):
    environ = {"HTTP_UPGRADE": "websocket", "PATH_INFO": "/protoo", "wsgi.input": io.BytesIO(b"x")}
    assert body_of({**environ, **changes}).read() == b"x"


def test_a_request_without_an_input_is_left_alone():
    assert body_of({"HTTP_UPGRADE": "websocket", "PATH_INFO": "/protoo"}) is None


HANDSHAKE = {
    "HTTP_UPGRADE": "websocket",
    "HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, protoo",
    "PATH_INFO": "/protoo",
}


def test_a_handshake_arrives_before_the_app_sees_it_and_ends_with_its_request():
    host, seen = Host(), []

    def app(environ, start_response):
        seen.append(environ[KEY])
        host.arrivals.turn_away("bob", None, 3001, "banned")
        assert len(host.arrivals) == 1, "an older handshake is in progress"

    Entrance(app, host, "/protoo")({**HANDSHAKE}, None)
    assert len(seen) == 1
    assert len(host.arrivals) == 0


@pytest.mark.parametrize(
    "changes",
    [{"HTTP_UPGRADE": ""}, {"HTTP_SEC_WEBSOCKET_PROTOCOL": "mqtt"}],
    ids=["a page", "another WebSocket of the site"],
)
def test_other_requests_are_no_arrivals(changes):
    seen = []
    app = Entrance(lambda environ, start_response: seen.append(environ), Host(), "/protoo")
    app({**HANDSHAKE, **changes}, None)
    assert KEY not in seen[0]


def test_the_arrivals_are_those_that_the_host_has_now():
    host, seen = Host(), []
    app = Entrance(lambda environ, start_response: seen.append(environ[KEY]), host, "/protoo")
    host.arrivals = Arrivals(threading.RLock())
    app({**HANDSHAKE}, None)
    app({**HANDSHAKE}, None)
    assert [arrival.number for arrival in seen] == [1, 2]
