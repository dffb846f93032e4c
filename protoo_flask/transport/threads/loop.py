"""Time and concurrency by threads."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Any, Callable, ContextManager, TypeVar

T = TypeVar("T")

#: Seconds until work is tried again when no thread could be started for it.
RETRY = 1.0

#: Timers that may be in the heap for each one that is not canceled, and some more. A client can
#: have timers of minutes started and canceled: by calls that it makes and ends.
SLACK, SPARE = 2, 100


class ThreadTimer:
    """A call that is due at a time."""

    __slots__ = ("_changed", "args", "function")

    def __init__(
        self, function: Callable[..., Any], args: Any, changed: threading.Condition
    ) -> None:
        self.function: Callable[..., Any] | None = function
        self.args = args
        self._changed = changed

    def cancel(self) -> None:
        with self._changed:
            self.function = None
            self.args = ()
            self._changed.notify()


class ThreadLoop:
    """Time and concurrency by threads.

    One thread waits for the timers; it ends when there are none.
    """

    preempts = True
    now = staticmethod(time.monotonic)
    # Every thread owns the state. int() returns 0, and costs less than a method.
    owner = 0
    thread_id = staticmethod(int)

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._timers: list[tuple[float, int, ThreadTimer]] = []
        self._order = itertools.count()
        #: The size of the heap at which canceled timers are taken out of it.
        self._too_many = SPARE
        self._running = False

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> ThreadTimer:
        timer = ThreadTimer(function, args, self._changed)
        with self._changed:
            heapq.heappush(self._timers, (self.now() + seconds, next(self._order), timer))
            if len(self._timers) > self._too_many:
                self._forget_canceled()
            if not self._running:
                self._running = self._start(self._run_timers)
            self._changed.notify()
        return timer

    def _forget_canceled(self) -> None:
        # In place: the thread of the timers has the list in hand.
        self._timers[:] = [item for item in self._timers if item[2].function is not None]
        heapq.heapify(self._timers)
        self._too_many = SLACK * len(self._timers) + SPARE

    def _run_timers(self) -> None:
        with self._changed:
            while self._timers:
                when, _, timer = self._timers[0]
                left = when - self.now()
                if timer.function is None or left <= 0:
                    heapq.heappop(self._timers)
                    if timer.function is not None:
                        self._fire(timer)
                else:
                    self._changed.wait(left)
            self._running = False

    def _fire(self, timer: ThreadTimer) -> None:
        assert timer.function is not None
        if not self._start(timer.function, *timer.args):
            heapq.heappush(self._timers, (self.now() + RETRY, next(self._order), timer))

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        if not self._start(function, *args):
            self.call_later(RETRY, function, *args)

    def _start(self, function: Callable[..., Any], *args: Any) -> bool:
        """Start a thread; ``False`` when there are no more of them just now.

        Then the work is a timer, which is tried again. If there is no thread for the timers
        either, the next timer starts one.
        """
        try:
            threading.Thread(target=function, args=args, name="protoo", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def is_foreign(self) -> bool:
        return False  # the locks are real

    def call(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    def hand_over(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def is_here(self) -> bool:
        return True

    def is_gone(self) -> bool:
        return False

    def event(self) -> threading.Event:
        return threading.Event()

    def lock(self) -> ContextManager[Any]:
        return threading.RLock()

    def call_in_later_iteration(self, function: Callable[[], None]) -> None:
        raise NotImplementedError("there are no iterations, and no budgets")

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        raise NotImplementedError("nobody notices a thread that blocks")
