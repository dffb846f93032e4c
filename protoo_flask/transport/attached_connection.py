"""A connection that stays with its server, in a thread or greenlet of its own.

A socket cannot leave a server with threads, nor where TLS ends in the process. So the thread or
greenlet in which the server has called the app stays with the client to the end. It handles the
client's requests, one after the other. Another one reads meanwhile, as a handler may wait for a
response of the same client:

==========  =====================================  ==================================
            reads                                  handles requests
==========  =====================================  ==================================
threads     the thread of simple-websocket         the thread of the server
greenlets   the pool, as for every connection      the greenlet of the server
==========  =====================================  ==================================

Requests that are handled beside another one (``PROTOO_PARALLEL_REQUESTS``, or a handler that does
not return) have a thread or greenlet of the loop.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from ..core.close_codes import GOING_AWAY
from ..core.exits import is_contained
from ..core.scheduling import one_step
from .channel import Channel, Loop
from .connection import Connection
from .outbox import Outbox, SharedOutbox


class AttachedConnection(Connection):
    """A link that is served by the thread or greenlet in which it has come in.

    :param options: those of a :class:`~.connection.Connection`.
    """

    __slots__ = ("_has_ended", "_is_busy", "_jobs", "_news")

    def __init__(
        self, channel: Channel, loop: Loop, codec: Any, handshake: bytes, **options: Any
    ) -> None:
        super().__init__(channel, loop, codec, handshake, **options)
        #: Chains to be run, each with its arguments, and the event that wakes their thread.
        self._jobs: deque[tuple[Callable[..., None], Any]] = deque()
        self._news: Any = loop.event()
        self._is_busy = True
        self._has_ended = False

    def _make_outbox(self, limit: int) -> Outbox:
        return SharedOutbox(self._channel, self._codec.encode, limit, self, self._lock)

    _send_control = one_step(Connection._send_control)

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        """Run ``function(*args)`` in the thread of this connection, or beside it if it is busy."""
        with self._lock:
            is_busy, self._is_busy = self._is_busy, True
            self._jobs.append((function, args))
        if is_busy:
            # The thread may be done just now. Then it finds this job, and the other thread none.
            self._loop.spawn(self._run_jobs)
        else:
            self._news.set()

    def serve_to_the_end(self, early: bytes = b"") -> None:
        """Serve the client; returns when the connection has ended. See :meth:`serve`."""
        try:
            self.serve(early)
            while self._wait_for_jobs():
                self._run_jobs()
        except BaseException:
            # The server is about to close the socket, which another greenlet may read. gevent's
            # servers do so when they stop, with the connections that stayed theirs.
            self._is_busy = True
            self.retire(GOING_AWAY, "shutting down")
            self.break_off()
            while not self._has_ended:
                self._news.wait()
                self._news.clear()
            raise
        finally:
            if self._jobs:
                self._loop.spawn(self._run_jobs)

    def _wait_for_jobs(self) -> bool:
        """Wait until there is something to do; ``False`` when the connection has ended."""
        with self._lock:
            if self._jobs:
                return True
            self._is_busy = self._has_ended
        self._news.wait()
        self._news.clear()
        with self._lock:
            self._is_busy = True
        return not self._has_ended

    def _run_jobs(self) -> None:
        while True:
            try:
                function, args = self._jobs.popleft()
            except IndexError:
                return
            try:
                function(*args)
            except BaseException as error:
                if not _is_of_handler(error):
                    raise
                # It is reported as in a thread that has only this to do.
                self._loop.spawn(_raise, error)

    def _end(self) -> None:
        super()._end()
        self._has_ended = True
        self._news.set()


def _is_of_handler(error: BaseException) -> bool:
    """Whether an error has come out of a handler, and not from a server that ends its greenlets."""
    return is_contained(error) or type(error).__name__ not in (
        *("GreenletExit", "KeyboardInterrupt", "SystemExit"),
    )


def _raise(error: BaseException) -> None:
    raise error
