"""The body of a request for an upgrade."""

from __future__ import annotations

import io

import pytest

from protoo_flask.site.empty_body import empty_bodies_of_upgrades


class ServerInput:
    """An input that waits for ever, as that of a connection; its socket is below ``raw``."""

    raw = "raw"

    def read(self, *args):
        raise AssertionError("this would wait for the client")


def body_of(environ, path="/protoo"):
    """Return the input that an app is given."""
    seen = []
    app = empty_bodies_of_upgrades(lambda environ, start_response: seen.append(environ), path)
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
