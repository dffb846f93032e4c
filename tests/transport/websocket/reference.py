"""wsproto, as a second opinion of the bytes that a client sends."""

from __future__ import annotations

from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from protoo_flask.transport.websocket.frames import decode_close

from ..wire import BINARY, CLOSE, PING, PONG, TEXT

#: A code that clients may send and wsproto refuses: "bad gateway", registered after the RFC.
BAD_GATEWAY = 1014


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
