"""Deadlines: items that share one timeout, so they expire in the order of insertion.

One timer, for the oldest item, is enough for any number of items. Removing an item in time
(a request that is answered at once) costs one operation on a dict. Adding and removing need
no lock: each is one step, also for other threads. Only the search for expired items must
expect that the dict changes meanwhile.
"""

from __future__ import annotations

from itertools import islice
from typing import Callable, Generic, TypeVar

from .scheduling import TURN_TIME, Scheduler, Timer, call_later_if_alive

T = TypeVar("T")

#: How many items expire between two looks at the clock. A client can make a hundred thousand expire
#: at the same moment.
AT_ONCE = 50


class Deadlines(Generic[T]):
    """Items that wait for their time to be up, oldest first.

    :param seconds: the time that each item has; ``None``: it never expires.
    :param expire: called with each item that expires; must neither block nor raise.
    """

    def __init__(
        self, scheduler: Scheduler, seconds: float | None, expire: Callable[[T], None]
    ) -> None:
        self._scheduler = scheduler
        self._now = scheduler.now
        self.seconds = seconds
        self._expire = expire
        self._lock = scheduler.lock()
        #: {item: when its time is up}, in that order.
        self._deadlines: dict[T, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, item: T) -> None:
        """Start the time of an item; start it again when the item is there already."""
        seconds = self.seconds
        if seconds is None:
            return
        deadlines = self._deadlines
        if item in deadlines:
            # A dict keeps the place of a key that it has. Another thread may remove it first.
            deadlines.pop(item, None)
        deadlines[item] = self._now() + seconds
        # In this order: a thread that takes the timer away looks at the items afterwards.
        if self._timer is None:
            with self._lock:
                if self._timer is None:
                    self._timer = call_later_if_alive(self._scheduler, seconds, self._look)

    def remove(self, item: T) -> None:
        """Forget an item; harmless when it is not there."""
        # The timer stays: when it fires, it finds another item, or none.
        self._deadlines.pop(item, None)

    def clear(self) -> None:
        """Forget all items, and the timer."""
        with self._lock:
            self._deadlines.clear()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def rest(self) -> None:
        """Stop the timer if there are no items, so that an idle app has no timer."""
        if self._deadlines:
            return
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._deadlines:
            self._look()  # another thread has added something, and relied on the timer

    def _look(self) -> None:
        """Expire items that are due, and set the timer for the next one."""
        end = self._now() + TURN_TIME
        while self._expire_some() and self._now() < end:
            pass

    def _expire_some(self) -> bool:
        """Expire some of the items that are due; tells whether there are more."""
        with self._lock:
            # Usually the timer that has just fired; rest() may find one that is still running.
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            now = self._now()
            due, following = self._split(now)
            if following is not None:
                seconds = max(0.0, following - now)
                self._timer = call_later_if_alive(self._scheduler, seconds, self._look)
        for item in due:
            # Another thread may have removed it meanwhile.
            if self._deadlines.pop(item, None) is not None:
                self._expire(item)
        return following is not None and following <= now

    def _split(self, now: float) -> tuple[list[T], float | None]:
        """Return items that are due, and the time for the first of the others."""
        while True:
            due: list[T] = []
            try:
                for item, deadline in islice(self._deadlines.items(), AT_ONCE + 1):
                    if deadline > now or len(due) == AT_ONCE:
                        return due, deadline
                    due.append(item)
                return due, None
            except RuntimeError:
                # Another thread has added or removed something meanwhile: once more.
                continue
