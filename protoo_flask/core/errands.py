"""Errands: functions of the site that run for a peer beside its requests, a few at a time.

When a peer goes offline, all requests to it end at once, and each may have a function of the
site to be told (``on_response``). Clients choose how many there are: thousands of small requests
fit into the bytes that a peer may leave unanswered. If such a function blocks, each one that runs
has a greenlet and maybe a database connection. So a few run, and the others wait in order.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from .scheduling import Scheduler

#: Errands of one peer that run at a time. The usual pool of a database has 15 connections
#: (SQLAlchemy's QueuePool: 5, and 10 more), and one peer must not take most of them.
MAX_ERRANDS = 4


class Errands:
    """The errands of one peer."""

    __slots__ = ("_lock", "_running", "_scheduler", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._running = 0
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def __len__(self) -> int:
        """The number of errands that wait."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether none is running, and none waits."""
        return not self._running

    def add(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet or thread of its own, now or later."""
        with self._lock:
            if self._running == MAX_ERRANDS:
                self._waiting.append((function, args))
                return
            self._running += 1
        self._scheduler.spawn(self._run, function, args)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        finally:
            # In another greenlet, also when this one ends by an exception.
            following = self._pass_on()
            if following is not None:
                self._scheduler.spawn(self._run, *following)

    def _pass_on(self) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            return None
