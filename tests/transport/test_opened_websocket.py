"""A WebSocket that the server has opened before it called the app."""

from __future__ import annotations

import pytest

from protoo_flask.transport.opened_websocket import REASON, refuse_opened_websocket
from protoo_flask.transport.websocket.handshake import HandshakeError


class WebSocket:
    """One of gevent-websocket's."""

    def __init__(self):
        self.frames = []
        self.closed = False

    def send_frame(self, message, opcode):
        self.frames.append((opcode, message))


class OtherWebSocket:
    """One of a library that has only ``close()``."""

    def close(self, code, reason):
        self.closed = (code, reason)


class DeadWebSocket(WebSocket):
    def send_frame(self, message, opcode):
        raise ConnectionResetError


def test_a_request_without_one_passes():
    refuse_opened_websocket({})
    # As gevent-websocket leaves it after a connection.
    refuse_opened_websocket({"wsgi.websocket": None})


def test_the_client_learns_the_reason_from_a_close_frame():
    websocket = WebSocket()
    with pytest.raises(HandshakeError, match="use gunicorn --worker-class gevent") as caught:
        refuse_opened_websocket({"wsgi.websocket": websocket})
    assert caught.value.status == 500
    assert websocket.frames == [(0x8, (1011).to_bytes(2, "big") + REASON.encode())]
    assert websocket.closed, "or the server would send another Close"


def test_a_websocket_of_another_library_is_closed_by_its_own_method():
    websocket = OtherWebSocket()
    with pytest.raises(HandshakeError):
        refuse_opened_websocket({"wsgi.websocket": websocket})
    assert websocket.closed == (1011, REASON)


def test_a_client_that_has_gone_meanwhile_is_no_other_error():
    with pytest.raises(HandshakeError):
        refuse_opened_websocket({"wsgi.websocket": DeadWebSocket()})


def test_the_reason_fits_into_a_close_frame():
    assert len(REASON.encode()) <= 123
