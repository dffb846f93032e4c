"""A pipe: the socket of a connection, with all that simple-websocket expects and more.

simple-websocket calls ``send()`` and never looks how much was sent, and calls ``recv()`` without a
time-out. Here, ``send()`` takes all and never blocks: the socket gets what it takes, and a thread
the rest, which lives only as long. So the thread that reads is never kept from reading by a
server that does not read either. ``recv()`` notices a server that has vanished.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from typing import Any, Callable

from ..core.link import Unsent
from ..transport.closing import CLOSE_TIMEOUT
from .dialing import wait_until_ready

#: Bytes that may wait until a sender has to wait, too.
HIGH_WATER = 1024 * 1024

_READ_SIZE = 65536
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Pipe:
    """A connected socket.

    :param sock: does not block.
    :param patience: seconds of silence after which :attr:`on_silence` is called; after as many
        more, the server has vanished.
    :ivar on_silence: sends something that the server answers: a ping.
    :ivar deadline: when reading ends, whatever comes.
    """

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self._sock: Any = sock
        self._patience = patience
        self.on_silence: Callable[[], object] | None = None
        self.deadline = float("inf")
        # A TLS connection is one state machine for both directions.
        self._busy = threading.Lock()
        self._changed = threading.Condition()
        #: Frames that were not sent: the bytes, and the message with its id, unless it has begun.
        self._waiting: deque[tuple[memoryview, tuple[bytes, int | None] | None]] = deque()
        self._size = 0
        self._is_over = False
        self._rest = b""

    # Writing ------------------------------------------------------------------------

    def send(self, data: bytes, message: tuple[bytes, int | None] | None = None) -> int:
        """Send all of ``data``; never blocks.

        :param message: given back by :meth:`take_unsent` when nothing of it was sent.
        :raises OSError: when the connection is over.
        """
        with self._changed:
            if self._is_over:
                raise OSError("the connection is over")
            self._waiting.append((memoryview(data), message))
            self._size += len(data)
            if len(self._waiting) > 1:
                return len(data)  # a thread is at it
            if not self._write():
                try:
                    threading.Thread(
                        target=self._write_rest, name="protoo-client-writer", daemon=True
                    ).start()
                except RuntimeError:
                    self.abort()  # no more threads; the next connection gets the rest
        return len(data)

    def _write(self) -> bool:
        """Write what the socket takes; ``False`` when some is left. Holds the lock."""
        while self._waiting and not self._is_over:
            data, _ = self._waiting[0]
            try:
                with self._busy:
                    sent = self._sock.send(data)
            except _NOT_NOW:
                sent = 0
            except (OSError, ValueError):
                self.abort()
                return True
            self._size -= sent
            if sent == len(data):
                self._waiting.popleft()
            else:
                # Of TLS, also after nothing: a record may have begun, and must go on as it is.
                if sent or isinstance(self._sock, ssl.SSLSocket):
                    self._waiting[0] = (data[sent:], None)
                return False
        self._changed.notify_all()
        return True

    def _write_rest(self) -> None:
        while True:
            self._is_ready(float("inf"), for_writing=True)
            with self._changed:
                if self._write():
                    return
                self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait while too much waits for a server that reads slowly."""
        if self._size > HIGH_WATER:
            with self._changed:
                self._changed.wait_for(lambda: self._size <= HIGH_WATER or self._is_over)

    def take_unsent(self) -> Unsent:
        """Take the messages of which nothing was sent, in order; nothing is sent any more."""
        with self._changed:
            self._is_over = True
            unsent = [message for _, message in self._waiting if message is not None]
            self._waiting.clear()
            self._changed.notify_all()
            return unsent

    # Reading ------------------------------------------------------------------------

    def recv(self, size: int = _READ_SIZE) -> bytes:
        """Return what has come; empty: the connection is over."""
        rest, self._rest = self._rest, b""
        return rest or self._read()

    def recv_head(self) -> bytes:
        """Return the head of the answer to the handshake, and keep what follows for recv().

        :raises OSError: when the connection ends first.
        """
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._read()
            if not more or len(data) > _READ_SIZE:
                raise OSError("the server has not answered the handshake")
            data += more
        head, end, self._rest = data.partition(b"\r\n\r\n")
        return head + end

    def _read(self) -> bytes:
        was_pinged = False
        while True:
            try:
                with self._busy:
                    return bytes(self._sock.recv(_READ_SIZE))
            except _NOT_NOW:
                pass
            except (OSError, ValueError):
                return b""
            ping, left = self.on_silence, self.deadline - time.monotonic()
            if self._is_ready(left if ping is None else min(left, self._patience)):
                continue
            if was_pinged or ping is None or left <= self._patience:
                self.abort()  # the server has vanished, or the time is up
                return b""
            was_pinged = True
            with contextlib.suppress(OSError):
                ping()

    def _is_ready(self, seconds: float, *, for_writing: bool = False) -> bool:
        """Wait until the socket can be used, or is over; ``False`` after some seconds."""
        try:
            return bool(wait_until_ready([self._sock], seconds, for_writing=for_writing))
        except (OSError, ValueError):
            return True  # closed meanwhile: the next recv or send tells

    # The end ------------------------------------------------------------------------

    def abort(self) -> None:
        """End the connection at once."""
        self._is_over = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it so that the server can read everything: wait for its end of it.

        Closing a socket that has unread bytes would send a reset, which may destroy the
        Close frame before the server has read it.
        """
        self.on_silence = None
        self.deadline = min(self.deadline, time.monotonic() + CLOSE_TIMEOUT)
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._is_over, CLOSE_TIMEOUT)
            is_over = self._is_over
        if not is_over:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            while self._read():
                pass
        self.abort()
        with self._changed:
            self._changed.notify_all()
        self._sock.close()
