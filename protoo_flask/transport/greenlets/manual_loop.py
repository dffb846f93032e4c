"""A loop whose clock is moved by hand: greenlets are real, and time passes when a test says so."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import Any, Callable

import gevent
import gevent.event
import gevent.exceptions

from ...core.errors import UsageError
from .greenlet_pool import GreenletPool
from .loop import GreenletLoop
from .write_batching import WriteBatching

#: Seconds. A timer this much after the end of a move of the clock is due, too. So ten moves by
#: 0.1 s are one by 1 s, although the sum of the floats may be less.
ROUNDING = 1e-6


class ManualTimer:
    """A call at a time of the clock that is moved by hand.

    :ivar when: seconds on that clock.
    """

    __slots__ = ("_call", "when")

    def __init__(self, when: float, function: Callable[..., Any], args: Any) -> None:
        self.when = when
        self._call: tuple[Callable[..., Any], Any] | None = (function, args)

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function that will be called; ``None`` if it has been, or was canceled."""
        return None if self._call is None else self._call[0]

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        """Call the function, unless the timer was canceled meanwhile."""
        call, self._call = self._call, None
        if call is not None:
            call[0](*call[1])


class ManualEvent:
    """An event whose timeouts are those of the clock that is moved by hand."""

    def __init__(self, loop: ManualLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._news = gevent.event.Event()

    def set(self) -> None:
        self._is_set = True
        self._news.set()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set or timeout == 0:
            return self._is_set
        over: list[None] = []

        def end() -> None:
            over.append(None)
            self._news.set()

        timer = None if timeout is None else self._loop.call_later(timeout, end)
        try:
            while not self._is_set and not over:
                _wait_for_test(self._news)
                if not self._is_set:
                    self._news.clear()  # another waiter's time was up
        finally:
            if timer is not None:
                timer.cancel()
        return self._is_set


def _wait_for_test(event: gevent.event.Event) -> None:
    try:
        event.wait()
    except gevent.exceptions.LoopExit:
        raise UsageError(
            "this call waits for a client, or for the clock, and nothing else can run: it was made "
            "by the test itself, or by a view that the test has called. Call it in a greenlet: "
            "view = gevent.spawn(browser.get, '/ask'), then let the client reply, then view.get()"
        ) from None


class WatchedPool(GreenletPool):
    """A pool that knows its greenlets.

    :ivar greenlets: those that exist.
    """

    def __init__(self, writes: WriteBatching) -> None:
        super().__init__(writes)
        self.greenlets: set[Any] = set()

    @property
    def blocked(self) -> list[Any]:
        """The greenlets that are blocked in a function."""
        return [greenlet for greenlet in self.greenlets if greenlet not in self._idle]

    def _work(self) -> None:
        greenlet = gevent.getcurrent()
        self.greenlets.add(greenlet)
        try:
            super()._work()
        finally:
            self.greenlets.discard(greenlet)


class ManualLoop(GreenletLoop):
    """Time by hand, and everything else on the hub of the thread that makes the loop.

    It has the plain ways of the pool and of writing: one function at a time, and each message
    written at once. So the order of a test is the same each time.
    """

    def __init__(self) -> None:
        super().__init__(WatchedPool, WriteBatching)
        # Whole seconds: sums of them are exact.
        self._time = float(int(time.monotonic()))
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._time

    def call_later(  # type: ignore[override]
        self, seconds: float, function: Callable[..., Any], *args: Any
    ) -> ManualTimer:
        timer = ManualTimer(self._time + max(0.0, seconds), function, args)
        if seconds <= 0:
            self.spawn(timer.fire)  # it is due without a move of the clock
        else:
            # One step, also for other threads.
            heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def event(self) -> Any:
        return super().event() if self.is_foreign() else ManualEvent(self)

    @property
    def blocked(self) -> list[Any]:
        """The greenlets that are blocked in a function."""
        assert isinstance(self.pool, WatchedPool)
        return self.pool.blocked

    @property
    def timers(self) -> list[ManualTimer]:
        """The timers that will do something, in the order of their times."""
        live = [item for item in list(self._timers) if item[2].function is not None]
        return [timer for _, _, timer in sorted(live, key=lambda item: item[:2])]

    def take_due(self, end: float) -> ManualTimer | None:
        """Move the clock to the next timer that is due by ``end``, and return it.

        Without one, the clock is moved to ``end``.
        """
        while self._timers and self._timers[0][0] <= end + ROUNDING:
            when, _, timer = heapq.heappop(self._timers)
            if timer.function is not None:
                self._time = max(self._time, when)
                return timer
        self._time = max(self._time, end)
        return None
