"""Replies: how a greenlet or thread waits for many of them."""

from __future__ import annotations

from typing import Any, Callable

from ..core.cluster.protocol import ClusterAway
from ..core.scheduling import Scheduler
from .connection import REPLY_TIME


class Replies:
    """Some replies, in the order in which they were asked for::

        replies = Replies(scheduler)
        for key in keys:
            connection.ask(replies.expect(), "GET", key)
        values = replies.wait()

    A reply may be an exception, as of ``RedisConnection.ask``.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._lock = scheduler.lock()
        self._come = scheduler.event()
        self._replies: list[Any] = []
        #: One more than are missing, until :meth:`wait`: all may come while some are not asked for.
        self._missing = 1
        self.is_late = False

    def expect(self, late: Callable[[Any], Any] | None = None) -> Callable[[Any], None]:
        """Return a function that takes one more reply.

        :param late: called with the reply in place of this object, if nobody waits any more.
        """
        with self._lock:
            index = len(self._replies)
            self._replies.append(None)
            self._missing += 1

        def take(reply: Any) -> None:
            with self._lock:
                is_late = self.is_late
                if not is_late:
                    self._replies[index] = reply
            if not is_late:
                self._count_down()
            elif late is not None:
                late(reply)

        return take

    def wait(self, seconds: float = REPLY_TIME) -> list[Any]:
        """Return all replies. Blocks; call it once, after all commands have been sent.

        :raises ClusterAway: when they have not all come.
        """
        self._count_down()
        if not self._come.wait(seconds):
            with self._lock:
                self.is_late = bool(self._missing)
            if self.is_late:
                raise ClusterAway(f"Redis has not replied within {seconds:g} seconds")
        return self._replies

    def _count_down(self) -> None:
        with self._lock:
            self._missing -= 1
            is_last = not self._missing
        if is_last:
            self._come.set()
