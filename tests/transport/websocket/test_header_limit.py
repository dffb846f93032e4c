"""The bytes of headers that a handshake may bring: a connection keeps them until its end."""

from __future__ import annotations

from typing import Any

import pytest

from protoo_flask.transport.websocket.handshake import (
    MAX_HEADERS,
    HandshakeError,
    negotiate_handshake,
)

from .test_handshake import make_environ


def negotiate(environ: dict[str, Any]) -> Any:
    return negotiate_handshake(environ, compression=False, max_message_size=100)


def environ_of(size: int, **more: Any) -> dict[str, Any]:
    """Return the environ of a handshake whose headers and query have so many characters."""
    environ = {**make_environ(), **more}
    counted = sum(
        len(key) + len(value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or key == "QUERY_STRING"
    )
    environ["HTTP_X"] = (size - counted - len("HTTP_X")) * "x"
    return environ


def test_headers_up_to_the_limit_are_accepted():
    assert negotiate(environ_of(MAX_HEADERS - 1)).headers
    assert negotiate(environ_of(MAX_HEADERS)).headers


@pytest.mark.parametrize("size", [MAX_HEADERS + 1, 10 * MAX_HEADERS])
def test_more_headers_are_refused_with_431(size):
    with pytest.raises(HandshakeError, match=f"at most {MAX_HEADERS} bytes") as caught:
        negotiate(environ_of(size))
    assert caught.value.status == 431


def test_a_query_counts():
    with pytest.raises(HandshakeError):
        negotiate(environ_of(MAX_HEADERS + 1, QUERY_STRING="x" * 1000))
    assert negotiate(environ_of(MAX_HEADERS, QUERY_STRING="x" * 1000)).headers


def test_other_keys_of_the_environ_do_not_count():
    server = {"wsgi.url_scheme": "http", "wsgi.errors": object(), "SERVER_NAME": "x" * MAX_HEADERS}
    assert negotiate({**make_environ(), **server}).headers
