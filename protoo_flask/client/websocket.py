"""A WebSocket to a server: ``simple_websocket.Client`` with what it lacks.

=========================================  ==================================================
``simple_websocket.Client``                here
=========================================  ==================================================
``sock.send()`` may send a part; two       :meth:`WebSocket.send_text` sends all, in one step,
threads mix their frames                   and never blocks
messages that come with the 101 wait       the head of the 101 is read apart from what follows
for the next bytes
``Host`` without its port                  with it
the first address of a name only, for as   all addresses, and a time-out for everything
long as the system likes
a refusal is its status                    its text, its ``Retry-After``, its cookies
1005 for a connection that broke           1006
TCP ends before the server has read the    the server's end of it is awaited
Close
a server that closes gets no Close back    it does (RFC 6455 section 5.5.1)
=========================================  ==================================================

``tests/client/test_stock_class.py`` shows each of these with the stock class. When a release of
simple-websocket mends one, its test fails, and the override can go.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable

import simple_websocket  # type: ignore[import-untyped,unused-ignore]
from wsproto import ConnectionType
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ..core.close_codes import ABNORMAL_CLOSURE
from ..core.link import Unsent
from ..transport.closing import CLOSE_TIMEOUT
from .dialing import dial
from .handshake import Handshake
from .pipe import Pipe

#: Seconds for connecting, TLS and the answer to the handshake together.
HANDSHAKE_TIMEOUT = 20.0

#: The errors of an attempt that may be gone at the next one.
FAILURES = (OSError, LocalProtocolError, RemoteProtocolError, simple_websocket.ConnectionError)

#: Bytes of the text of a refusal that are read.
_BODY_SIZE = 1000


class _NotStarted(threading.Thread):
    """The thread of simple-websocket: whoever connects reads, too."""

    def start(self) -> None:
        pass


class WebSocket(simple_websocket.Client):  # type: ignore[misc,unused-ignore]
    """A connection; :func:`connect` makes one. It is a :class:`~protoo_flask.core.link.Outbox`.

    :ivar code: why it has ended; 1006: without a Close frame.
    :ivar close_message: the reason that goes with it.
    """

    is_blocked = False
    connected: bool
    sock: Pipe

    def __init__(self, pipe: Pipe, handshake: Handshake, receive: Callable[[str], object]) -> None:
        self._handshake = handshake
        self._receive = receive
        self._sending = threading.Lock()
        self._is_closing = False
        self.code = ABNORMAL_CLOSURE
        self.host = handshake.host
        self.path = handshake.target
        self.subprotocols = ["protoo"]
        # Not that of simple_websocket.Client, which connects to one address.
        super(simple_websocket.Client, self).__init__(
            pipe, connection_type=ConnectionType.CLIENT, thread_class=_NotStarted
        )

    @property
    def outbox(self) -> WebSocket:
        """See :class:`~protoo_flask.core.link.Link`."""
        return self

    def handshake(self) -> None:
        """Ask to be let in.

        :raises Refused: with the answer of the server.
        """
        request = Request(
            host=self.host,
            target=self.path,
            subprotocols=self.subprotocols,
            extra_headers=self._handshake.make_headers(),
        )
        self.sock.send(self.ws.send(request))
        head = data = self.sock.recv_head()
        refusal: RejectConnection | None = None
        body, is_whole = b"", False
        while data:
            with contextlib.suppress(*[RemoteProtocolError] if refusal else []):  # it ends early
                self.ws.receive_data(data)
            for event in self.ws.events():
                if isinstance(event, AcceptConnection):
                    self._handshake.keep_cookies(list(event.extra_headers))
                    self.subprotocol = event.subprotocol
                    self.connected = True
                    if self.subprotocol != "protoo":
                        raise OSError("the server speaks WebSocket, but not the protoo protocol")
                    return
                if isinstance(event, RejectConnection):
                    refusal, is_whole = event, not event.has_body
                elif isinstance(event, RejectData):
                    body += event.data
                    is_whole = event.body_finished
            data = b"" if is_whole or len(body) > _BODY_SIZE else self.sock.recv()
        if refusal is None:
            raise OSError("the server has not answered the handshake")
        raise self._handshake.explain(head, refusal.status_code, list(refusal.headers), body)

    # Writing ------------------------------------------------------------------------

    def send_text(self, payload: bytes, id: int | None = None) -> bool:
        """Send a text message, whole and in one step; never blocks.

        :returns: ``False`` when the connection is closing, or over.
        """
        with self._sending:
            if self._is_closing or not self.connected:
                return False
            try:
                frame = self.ws.send(TextMessage(data=payload.decode("utf-8")))
                self.sock.send(frame, (payload, id))
            except (OSError, LocalProtocolError):
                return False
            return True

    def ping(self) -> None:
        """Make the server send something."""
        with self._sending:
            if not self._is_closing:
                self.sock.send(self.ws.send(Ping()))

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Begin the closing handshake; :meth:`run` returns at its end. Never blocks."""
        with self._sending:
            if self._is_closing:
                return
            self._is_closing = True
            self.code = reason or 1000
            self.sock.on_silence = None
            self.sock.deadline = time.monotonic() + CLOSE_TIMEOUT
            try:
                self.sock.send(self.ws.send(CloseConnection(self.code, message)))
            except (OSError, LocalProtocolError):
                self.sock.abort()

    def take_unsent(self) -> Unsent:
        """Take the messages of which nothing was sent."""
        unsent: Unsent = self.sock.take_unsent()
        return unsent

    def admits(self, sender: str, size: int) -> bool:
        """See :class:`~protoo_flask.core.link.Outbox`."""
        return True

    # Reading ------------------------------------------------------------------------

    def run(self) -> None:
        """Read until the end of the connection, in this thread."""
        self.sock.on_silence = self.ping
        self.sock.deadline = float("inf")
        try:
            self._thread()
        except RemoteProtocolError:
            pass
        finally:
            self.connected = False
            self.sock.close()

    def _handle_events(self) -> bool:
        goes_on: bool = super()._handle_events()
        for text in self.input_buffer:
            # The protocol has no binary messages.
            if isinstance(text, str):
                self._receive(text)
        self.input_buffer.clear()
        if not self.connected:
            self._reply_to_close()
        return goes_on

    def _reply_to_close(self) -> None:
        with self._sending:
            if not self._is_closing:
                self.code = int(self.close_reason)
                self._is_closing = True
                # An error of the server is found here, and it is told by its code.
                is_valid = self.ws.state is ConnectionState.REMOTE_CLOSING
                reply = None if is_valid and self.code == 1005 else self.code
                with contextlib.suppress(OSError, LocalProtocolError):
                    self.sock.send(self.ws.send(CloseConnection(reply or 1000)))


def connect(
    handshake: Handshake,
    receive: Callable[[str], object],
    patience: float,
    begin: Callable[[Pipe], object] = lambda pipe: None,
) -> WebSocket:
    """Connect to a server.

    :param receive: called with each text message, by :meth:`WebSocket.run`.
    :param patience: seconds of silence after which the server is pinged.
    :param begin: called with the pipe before the handshake, for those who may abort it.
    :raises Refused: when it answers with an HTTP status.
    :raises OSError: or another of :data:`FAILURES`.
    """
    deadline = time.monotonic() + HANDSHAKE_TIMEOUT
    pipe = Pipe(dial(*handshake.address, handshake.tls, HANDSHAKE_TIMEOUT), patience)
    try:
        begin(pipe)
        pipe.deadline = deadline
        return WebSocket(pipe, handshake, receive)
    except BaseException:
        pipe.abort()
        pipe.close()
        raise
