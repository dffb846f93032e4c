"""The client's end of one WebSocket connection, without a socket."""

from __future__ import annotations

from typing import Any, Callable

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from ..core.close_codes import ABNORMAL_CLOSURE
from ..core.errors import UsageError
from ..transport.greenlets.manual_loop import ManualLoop
from .channel import MemoryChannel


class ClientLink:
    """A WebSocket connection, as the client's library sees it.

    The frames and the handshake are those of the package ``websockets``: masked, and compressed
    if the server agrees. Pings and the server's Close are answered at once.

    :param on_text: called with each text message.
    :param on_end: called once, when nothing more can come.
    :ivar channel: the server's end.
    :ivar answer: the answer to the handshake, ``None`` before it has come.
    """

    def __init__(
        self,
        loop: ManualLoop,
        subprotocol: str,
        on_text: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self._protocol = ClientProtocol(
            parse_uri("ws://localhost/"),
            subprotocols=[Subprotocol(subprotocol)],
            extensions=[ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5})],
            max_size=None,
        )
        self._on_text = on_text
        self._on_end = on_end
        self._is_silent = False
        self._has_ended = False
        self._fragments: list[bytes] = []
        self.channel = MemoryChannel(loop, self._receive, self._receive_eof)
        self.answer: Response | None = None
        request = self._protocol.connect()
        self._protocol.send_request(request)
        self._protocol.data_to_send()  # Flask's test client sends the request
        #: Those of the handshake.
        self.request_headers: Headers = request.headers

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and neither side has begun to close it."""
        return self._protocol.state is State.OPEN and not self._has_ended

    @property
    def has_ended(self) -> bool:
        return self._has_ended

    @property
    def close_code(self) -> int | None:
        """The code of the first Close frame, 1006 without one; ``None`` while it is open."""
        found = self._find_close()
        if found is not None:
            return found.code
        return ABNORMAL_CLOSURE if self._has_ended else None

    @property
    def close_reason(self) -> str:
        found = self._find_close()
        return "" if found is None else found.reason

    def _find_close(self) -> Close | None:
        """Return the server's Close frame; ``None`` if none has come."""
        return self._protocol.close_rcvd

    def send_text(self, text: bytes) -> None:
        self._protocol.send_text(text)
        self._flush()

    def send_binary(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        self._flush()

    def send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, if the server has not done so.

        :raises UsageError: for a code that no client may send, and for a reason that is too long.
        """
        if not self.is_open:
            return
        try:
            self._protocol.send_close(code, reason)
        except (ProtocolError, TypeError) as error:
            raise UsageError(
                "close(code, reason) takes 1000, 1001 or 3000 to 4999, and at most 123 bytes of "
                f"text; not {code!r}, {reason!r}: {error}"
            ) from None
        self._flush()

    def drop(self) -> None:
        """Lose the connection: there is no Close, and both sides see its end."""
        self.channel.cut()
        self._receive_eof()

    def fall_silent(self) -> None:
        """Lose the connection so that no side is told: nothing arrives any more."""
        self._is_silent = True
        self._end()

    def _receive(self, data: bytes) -> None:
        if self._is_silent or self._has_ended:
            return
        self._protocol.receive_data(data)
        self._take_events()
        self._flush()

    def _receive_eof(self) -> None:
        if self._is_silent or self._has_ended:
            return
        self._protocol.receive_eof()
        self._take_events()
        self._flush()
        self.channel.feed_eof()
        self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._is_silent:
                continue
            if data:
                self.channel.feed(data)
            else:
                self.channel.feed_eof()

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.answer = event
            elif isinstance(event, Frame):
                self._take_frame(event)

    def _take_frame(self, frame: Any) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            text, self._fragments = b"".join(self._fragments), []
            self._on_text(text.decode())
