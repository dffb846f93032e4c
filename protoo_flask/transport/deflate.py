"""Frames with permessage-deflate (RFC 7692), for sites that set ``PROTOO_COMPRESSION``.

wsproto does all of it. It is off unless asked for: the zlib state of a connection is
some 300 KiB, and small JSON gains nothing.
"""

from __future__ import annotations

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import server_extensions_handshake

from .frames import (
    BINARY,
    CLOSE,
    NO_STATUS,
    PING,
    PONG,
    TEXT,
    TOO_BIG,
    FrameError,
    Item,
    close_payload,
)

_CONTROL: dict[type[Event], int] = {Ping: PING, Pong: PONG}


def negotiate(offer: str, max_message_size: int) -> tuple[str, DeflateCodec] | None:
    """Agree on permessage-deflate when the client offers it.

    :param offer: the client's ``Sec-WebSocket-Extensions``, untrusted.
    :returns: the header to answer with, and the codec; ``None`` without an agreement.
    """
    extension = PerMessageDeflate()
    accepted = server_extensions_handshake([offer], [extension])
    if not accepted:
        return None
    return accepted.decode("ascii"), DeflateCodec(extension, max_message_size)


class DeflateCodec:
    """As :class:`~.frames.FrameCodec`, with compression."""

    def __init__(self, extension: PerMessageDeflate, max_message_size: int) -> None:
        self.error: FrameError | None = None
        self._connection = Connection(ConnectionType.SERVER, [extension])
        self._max = max_message_size
        self._fragments = bytearray()

    def receive(self, data: bytes) -> list[Item]:
        """Take bytes from the socket, untrusted; return what is complete, in order."""
        items: list[Item] = []
        if self.error is not None or self._connection.state is not ConnectionState.OPEN:
            return items
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, CloseConnection):
                if self._connection.state is ConnectionState.OPEN:
                    # wsproto tells a violation of the protocol as if it were a Close.
                    self.error = FrameError(int(event.code), event.reason or "")
                else:
                    code = NO_STATUS if event.code == NO_STATUS else int(event.code)
                    items.append((CLOSE, close_payload(code, event.reason or "")))
                break
            if isinstance(event, (Ping, Pong)):
                items.append((_CONTROL[type(event)], bytes(event.payload)))
                continue
            assert isinstance(event, (TextMessage, BytesMessage))
            is_text = isinstance(event, TextMessage)
            part = event.data
            self._fragments += part.encode("utf-8") if isinstance(part, str) else part
            if len(self._fragments) > self._max:
                self.error = FrameError(TOO_BIG, f"a message has at most {self._max} bytes")
                break
            if event.message_finished:
                items.append((TEXT if is_text else BINARY, bytes(self._fragments)))
                self._fragments.clear()
        return items

    def encode_text(self, payload: bytes) -> bytes:
        """Return the frame of a text message, given as UTF-8."""
        message: Message[str] = TextMessage(data=payload.decode("utf-8"))
        return self._connection.send(message)
