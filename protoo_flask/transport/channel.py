"""A connected socket, and how to wait for it.

A server hands over its socket in one of two worlds: greenlets on gevent's hub, or
threads. The rest of the transport sees either through the two protocols of this module.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Protocol

from ..core.scheduling import Scheduler

#: Bytes read at a time. Chat messages are a few hundred bytes, and each read allocates
#: a buffer of this size.
READ_SIZE = 16 * 1024


def send_without_delay(sock: Any) -> None:
    """Turn Nagle's algorithm off.

    With it, replies written one by one would wait for the client's delayed
    acknowledgement, 40 ms each, as soon as a client has two requests in flight.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):  # not behind a Unix socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Corked(Protocol):
    """An outbox that keeps messages for a moment, to write them together."""

    def uncork(self) -> None:
        """Write the messages now, without blocking; harmless when there are none."""


class Channel(Protocol):
    """A socket in non-blocking mode. The methods are in the order in which they are called.

    A connection calls :meth:`recv` once to find out whether the client is still there, and then
    :meth:`watch` once. For each call of its function it calls
    :meth:`recv` once, and then :meth:`has_buffered_input` if :attr:`buffers_input` is
    true. For each message it sends, it calls :meth:`batch_writes`, then :meth:`send`; and
    :meth:`when_writable` when the socket did not take everything. At the end it calls
    :meth:`shut_down_writing` or :meth:`abort`, waits until :meth:`recv` returns ``b""``,
    and calls :meth:`close`.

    :ivar buffers_input: whether decrypted bytes may remain inside the socket object (TLS).
        The operating system does not report those as readable.

    A channel with TLS has one attribute more, ``encrypts``, which is true: bytes that :meth:`send`
    did not take have been encrypted already, and must come next. See :mod:`.tls_records`.
    """

    buffers_input: bool

    def watch(self, function: Callable[[], None]) -> None:
        """Call ``function()`` whenever there are bytes to read, or the end.

        Among greenlets, ``function`` may block, and is called again meanwhile in another
        greenlet. Among threads, the channel has one thread of its own, in which
        ``function`` is not called again before it returns.
        """

    def unwatch(self) -> None:
        """Stop calling the function; unread bytes stay where they are."""

    def recv(self) -> bytes | None:
        """Return the bytes that are there: ``None`` if none, ``b""`` at the end or on an error."""

    def has_buffered_input(self) -> bool:
        """Whether decrypted bytes are there for which :meth:`watch` will not call."""

    def batch_writes(self, corked: Corked) -> bool:
        """Have ``corked.uncork()`` called in a moment, so that many writes happen together.

        :returns: ``False`` when the caller must write now, and nothing will be called.
        """

    def send(self, data: bytes | memoryview) -> int:
        """Send as many bytes as the socket takes without blocking; returns how many, maybe 0.

        :raises OSError: when the connection is broken.
        """

    def count_unacknowledged(self) -> int:
        """Return how many bytes of those sent the other side has not yet; 0 if nobody knows."""

    def has_hung_up(self) -> bool:
        """Whether the other side has ended the connection, behind bytes that were not read yet.

        ``False`` also if the system does not tell.
        """

    def is_unanswered(self) -> bool:
        """Whether the other side's kernel has not answered for a while; ``False`` if unknown."""

    def when_writable(self, function: Callable[[], None]) -> None:
        """Call ``function()`` once, when the socket is writable."""

    def shut_down_writing(self) -> None:
        """Tell the other side that nothing more will come (a TCP FIN)."""

    def abort(self) -> None:
        """Break the connection; :meth:`recv` then returns the end."""

    def close(self) -> None:
        """Give the socket back, after its end has been read."""


class Loop(Scheduler, Protocol):
    """A scheduler for one of the two worlds."""

    def is_here(self) -> bool:
        """Whether a connection that comes in the current thread can be served by this loop."""

    def is_gone(self) -> bool:
        """Whether it will never run again: its thread has ended, its hub is destroyed."""

    def call_in_later_iteration(self, function: Callable[[], None]) -> None:
        """Call ``function()`` in a greenlet, after the sockets that are readable by then.

        For a function that takes long: each iteration calls few of them, in the order in which
        they have come, and the messages that others have sent leave now. Not among threads.
        """

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function(*args)`` in another greenlet as soon as this one blocks.

        Not among threads (``preempts`` is true): nothing notices that a thread blocks.

        :returns: an object that is ``pending`` until the call; its ``stop()`` cancels the call.
        """
