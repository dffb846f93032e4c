"""A connected socket, and what waiting for it means.

A server hands over its socket in one of two worlds: greenlets on gevent's hub, or
threads. This is what the rest of the transport sees of either.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Protocol

from ..core.scheduling import Scheduler

#: Bytes read at a time. Chat messages are a few hundred bytes; a bigger buffer would
#: only be allocated in vain for each read.
READ_SIZE = 16 * 1024


def send_without_delay(sock: Any) -> None:
    """Turn Nagle's algorithm off.

    Replies written one by one would wait for the client's delayed acknowledgement,
    40 ms each, as soon as a client has two requests in flight.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):  # not behind a Unix socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Channel(Protocol):
    """A socket in non-blocking mode, read by one reader at a time."""

    def recv(self) -> bytes:
        """Block the caller until there are bytes; ``b""`` at the end or on an error."""

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes without blocking; returns how much, maybe 0.

        :raises OSError: when the connection is broken.
        """

    def when_writable(self, function: Callable[[], None]) -> None:
        """Call ``function()`` once, when the socket is writable."""

    def shut_down_writing(self) -> None:
        """Tell the other side that nothing more will come (a TCP FIN)."""

    def abort(self) -> None:
        """Break the connection, so that :meth:`recv` returns."""

    def close(self) -> None:
        """Give the socket back, by the reader, after :meth:`recv` has returned ``b""``."""


class Loop(Scheduler, Protocol):
    """A scheduler that knows sockets of its world."""

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any | None:
        """Call ``function(*args)`` as soon as the current greenlet blocks.

        :returns: something to ``stop()`` when it did not, or ``None`` where blocking
            cannot be noticed (threads).
        """
