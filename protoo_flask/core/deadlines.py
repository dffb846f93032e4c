"""Things that all have the same time, and expire in the order in which they came.

One timer, for the oldest, is enough for any number of them, and what is removed in time
(a request that is answered at once) costs a few operations on a dict. These need no lock:
each is one step, also to other threads. Only who looks for what is due must expect that
the dict changes meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Generic, TypeVar

if TYPE_CHECKING:
    from .scheduling import Scheduler, Timer

T = TypeVar("T")


class Deadlines(Generic[T]):
    """What waits for its time to be up, oldest first.

    :param seconds: how long each has; ``None`` for ever.
    :param expire: called with each whose time is up; must neither block nor raise.
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
        """Begin to wait; from the beginning, when it was waited for already."""
        if self.seconds is None:
            return
        # First out: a dict keeps the place of a key that it has.
        deadlines = self._deadlines
        deadlines.pop(item, None)
        now = self._now  # called as self._now(), it would be looked for in the class first
        deadlines[item] = now() + self.seconds
        # In this order: who takes the timer away looks at the items after that.
        if self._timer is None:
            with self._lock:
                if self._timer is None:
                    self._timer = self._scheduler.call_later(self.seconds, self._look)

    def remove(self, item: T) -> None:
        """Wait no longer."""
        # The timer stays: it finds somebody else, or nobody, when it fires.
        self._deadlines.pop(item, None)

    def clear(self) -> None:
        """Wait for nothing any more."""
        with self._lock:
            self._deadlines.clear()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def rest(self) -> None:
        """Stop the timer if it would find nobody: it is not needed soon."""
        if self._deadlines:
            return
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._deadlines:
            self._look()  # another thread has added something, and relied on the timer

    def _look(self) -> None:
        """Expire what is due, and come back for the next."""
        with self._lock:
            # As a rule the one that calls this; rest() may find one that has just been made.
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            now = self._now()
            due, following = self._split(now)
            if following is not None:
                self._timer = self._scheduler.call_later(following - now, self._look)
        for item in due:
            # Unless somebody was quicker to remove it.
            if self._deadlines.pop(item, None) is not None:
                self._expire(item)

    def _split(self, now: float) -> tuple[list[T], float | None]:
        """Return what is due, and the deadline of the first that is not."""
        while True:
            due: list[T] = []
            try:
                for item, deadline in self._deadlines.items():
                    if deadline > now:
                        return due, deadline
                    due.append(item)
                return due, None
            except RuntimeError:
                # Another thread has added or removed something meanwhile: once more.
                continue
