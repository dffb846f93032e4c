"""Frames: wsproto has the same opinion of everything that a client may send."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from protoo_flask.transport.websocket.frames import FrameCodec, decode_close

from ..wire import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame
from .streams import LIMIT, decode_in_pieces, receive_all, streams


class Reference:
    """What wsproto makes of a client's bytes, in our words."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._message = bytearray()
        self.items: list[Any] = []
        self.code: int | None = None

    def receive(self, data: bytes) -> None:
        if self.code is not None or self._connection.state is not ConnectionState.OPEN:
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, (Ping, Pong)):
                self.items.append((PING if isinstance(event, Ping) else PONG, bytes(event.payload)))
            elif isinstance(event, (TextMessage, BytesMessage)):
                is_text = isinstance(event, TextMessage)
                self._message += event.data.encode() if is_text else event.data
                if event.message_finished:
                    self.items.append((TEXT if is_text else BINARY, bytes(self._message)))
                    self._message.clear()
            else:
                assert isinstance(event, CloseConnection)
                if self._connection.state is ConnectionState.OPEN:
                    self.code = int(event.code)
                else:
                    self.items.append((CLOSE, int(event.code), event.reason or ""))
                return


def look_into_close(items: list[Any], code: int | None) -> tuple[list[Any], int | None]:
    """Judge a Close frame as a connection does: wsproto does it where it decodes."""
    if not items or items[-1][0] != CLOSE:
        return items, code
    try:
        closed = decode_close(items[-1][1])
    except ValueError as error:
        return items[:-1], error.args[0].code
    return [*items[:-1], (CLOSE, *closed)], code


@settings(max_examples=200)
@given(streams(), st.lists(st.integers(0, 50), max_size=30))
@example(frame(TEXT, b"\xff" * 10)[:12], [])
@example(b"\x81\xfe\x00\x00", [])
@example(close_frame(1000) + frame(TEXT, b"late"), [8])
def test_wsproto_is_of_the_same_opinion(data, sizes):
    codec = FrameCodec(LIMIT)
    reference = Reference()
    items = receive_all(codec, data)
    assert decode_in_pieces(data, sizes) == (items, codec.error and codec.error.code)
    reference.receive(data)
    # Each finds some violations before the frame is complete in which they are; then the
    # other gets more of it.
    if codec.error is not None and reference.code is None:
        reference.receive(bytes(64))
    elif reference.code is not None and codec.error is None:
        items += receive_all(codec, bytes(LIMIT + 14))
    ours = look_into_close(items, codec.error and codec.error.code)
    if ours[1] != 1009:  # wsproto knows no limit
        assert ours == (reference.items, reference.code)
    else:
        assert ours[0] == reference.items
