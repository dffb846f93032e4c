"""Requests that wait for their answer, and get a 504 when nobody gives one.

A handler that forgets to reply, or to call ``next()``, leaves a client waiting. All
requests have the same time, so they expire in the order in which they came: one timer
for the oldest is enough, and a request that is answered at once costs two operations
on a dict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from .request import Request
    from .scheduling import Scheduler, Timer


class UnansweredRequests:
    """The requests that have no final response yet, oldest first.

    :param seconds: how long each may take; ``None`` for ever.
    :param expire: called with a request whose time is up.
    """

    def __init__(
        self, scheduler: Scheduler, seconds: float | None, expire: Callable[[Request], None]
    ) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        self._expire = expire
        self._lock = scheduler.lock()
        #: {request: when its time is up}, in that order.
        self._deadlines: dict[Request, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, request: Request) -> None:
        """Begin to wait."""
        if self._seconds is None:
            return
        with self._lock:
            self._deadlines[request] = self._scheduler.now() + self._seconds
            if self._timer is None:
                self._timer = self._scheduler.call_later(self._seconds, self._look)

    def remove(self, request: Request) -> None:
        """Wait no longer: it has been answered, or has a time of its own."""
        # The timer stays: it finds somebody else, or nobody, when it fires.
        with self._lock:
            self._deadlines.pop(request, None)

    def _look(self) -> None:
        """Expire what is due, and come back for the next."""
        due = []
        with self._lock:
            self._timer = None
            now = self._scheduler.now()
            for request, deadline in self._deadlines.items():
                if deadline > now:
                    self._timer = self._scheduler.call_later(deadline - now, self._look)
                    break
                due.append(request)
            for request in due:
                del self._deadlines[request]
        for request in due:
            self._expire(request)
