"""The frames of a connection that simple-websocket has opened: wsproto reads, and we write.

This has the interface of a :class:`~.frames.FrameCodec`. Frames of the server are those of
:func:`~.frames.encode_frame`: wsproto writes nothing, so it need not know what was sent, nor that
flask-sock has told it to close.
"""

from __future__ import annotations

from typing import Any, Iterator

from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import ProtocolError

from ...core.close_codes import PROTOCOL_ERROR, TOO_BIG
from .frames import (
    BINARY,
    CLOSE,
    MAX_DECODED,
    MAX_FRAMES,
    PING,
    PONG,
    TEXT,
    FrameError,
    Item,
    close_payload,
    encode_frame,
)

#: The states of wsproto in which it has not read a Close frame.
_READING = (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)


class WsprotoCodec:
    """Decodes the bytes of a client with a connection of wsproto.

    :param connection: a ``wsproto.WSConnection`` that has answered the handshake.
    :param max_message_size: bytes, inclusive; the fragments of a message are summed.
    :ivar error: the first violation, after which nothing is decoded.
    :ivar has_more: whether :meth:`receive` may have left frames to its next call.
    """

    __slots__ = ("_connection", "_is_over", "_max", "_message", "error", "has_more")

    #: ``encode(opcode, payload)``; text is given as UTF-8.
    encode = staticmethod(encode_frame)

    def __init__(self, connection: Any, max_message_size: int) -> None:
        self._connection = connection
        self._max = max_message_size
        #: The message that is arriving.
        self._message = bytearray()
        self._is_over = False
        self.error: FrameError | None = None
        self.has_more = False

    def receive(self, data: bytes) -> list[Item]:
        """Take the bytes of a read, untrusted; see :meth:`.FrameCodec.receive`."""
        items: list[Item] = []
        self.has_more = False
        try:
            if data and not self._is_over:
                self._connection.receive_data(data)
            self._take_events(items)
        except ProtocolError as error:
            self._fail(PROTOCOL_ERROR, str(error))
        return items

    def read_text(self, data: bytes) -> bytes | None:
        """There is no faster way for a single text message."""
        return None

    def _take_events(self, items: list[Item]) -> None:
        decoded = 0
        for frames, event in enumerate(self._events()):
            item = self._take(event)
            if item is not None:
                items.append(item)
                decoded += len(item[1])
            if self._is_over:
                break
            if frames + 1 == MAX_FRAMES or decoded >= MAX_DECODED:
                self.has_more = True
                break

    def _events(self) -> Iterator[Any]:
        return iter(()) if self._is_over else iter(self._connection.events())

    def _take(self, event: Any) -> Item | None:
        if isinstance(event, (TextMessage, BytesMessage)):
            return self._take_part(event)
        if isinstance(event, Ping):
            return PING, bytes(event.payload)
        if isinstance(event, Pong):
            return PONG, bytes(event.payload)
        if isinstance(event, CloseConnection):
            if self._connection.state in _READING:
                # Not a Close frame, but how wsproto reports a violation.
                self._fail(int(event.code), event.reason or "")
                return None
            self._is_over = True
            return CLOSE, close_payload(int(event.code), event.reason or "")
        return None

    def _take_part(self, event: Any) -> Item | None:
        is_text = isinstance(event, TextMessage)
        self._message += event.data.encode() if is_text else event.data
        if len(self._message) > self._max:
            self._fail(TOO_BIG, f"a message has at most {self._max} bytes")
            return None
        if not event.message_finished:
            return None
        item = (TEXT if is_text else BINARY), bytes(self._message)
        self._message.clear()
        return item

    def _fail(self, code: int, reason: str) -> None:
        self.error = FrameError(code, reason)
        self._is_over = True
