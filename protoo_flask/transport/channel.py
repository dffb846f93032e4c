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


class Holder(Protocol):
    """Who holds back what is to be sent."""

    def release(self) -> None:
        """Send it, now, without blocking."""


class Channel(Protocol):
    """A socket in non-blocking mode.

    :ivar may_hold_more: whether :meth:`holds_more` must be asked: TLS decrypts more than
        is read, and who waits for the socket does not see it.
    """

    may_hold_more: bool

    def hold_back(self, holder: Holder) -> bool:
        """Have ``holder.release()`` called in a moment, when much can be sent one after the other.

        :returns: ``False`` when what is to be sent shall be sent now.
        """

    def watch(self, function: Callable[[], None]) -> None:
        """Call ``function()`` each time there is something to read, or the end.

        In a greenlet that may block, and then another may call it meanwhile. In the one
        thread of this channel, where it may not: until it returns, it is not called again.
        """

    def unwatch(self) -> None:
        """Call nothing any more; what is there to be read stays there."""

    def recv(self) -> bytes | None:
        """Return what is there: ``None`` if nothing, ``b""`` at the end or on an error."""

    def holds_more(self) -> bool:
        """Whether there is something to read for which :meth:`watch` does not call."""

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes without blocking; returns how much, maybe 0.

        :raises OSError: when the connection is broken.
        """

    def when_writable(self, function: Callable[[], None]) -> None:
        """Call ``function()`` once, when the socket is writable."""

    def shut_down_writing(self) -> None:
        """Tell the other side that nothing more will come (a TCP FIN)."""

    def abort(self) -> None:
        """Break the connection, so that there is an end to be read."""

    def close(self) -> None:
        """Give the socket back, when its end has been read."""


class Loop(Scheduler, Protocol):
    """A scheduler that knows sockets of its world."""

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function(*args)`` in another greenlet as soon as this one blocks.

        Not among threads, which ``preempts`` tells: nobody notices that one of them blocks.

        :returns: what is ``pending`` until then, and to ``stop()`` when it did not block.
        """
