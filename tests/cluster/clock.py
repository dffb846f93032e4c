"""The clock of a hub: one time for all nodes, moved by hand, and what each of them does next.

What a node does in a greenlet of its own is a task here. Tasks are run by :meth:`HubClock.run`:
when a test takes a message of a client, when something waits for an event, and while time passes.
They are never run in the middle of a function that holds a lock.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from typing import Any, Callable, Iterator, NamedTuple

from protoo_flask.core.remote.probes import Probes
from tests.fakes import FakeEvent, FakeScheduler, FakeTimer


class Task(NamedTuple):
    """Something to be done.

    :ivar is_serial: whether it is done after the serial tasks before it of the same node.
    :ivar may_block: whether it may wait for something.
    """

    scheduler: NodeScheduler
    is_serial: bool
    may_block: bool
    function: Callable[..., Any]
    args: tuple[Any, ...]


class HubClock:
    """The time, the timers and the tasks of all nodes.

    :ivar violations: what blocked where nothing may block, in words.
    """

    def __init__(self) -> None:
        self.time = 1000.0
        self.order = itertools.count()
        # One for all: a test has one thread. An RLock in C, as FakeScheduler has.
        self.lock = threading.RLock()
        self.on_wait: list[Callable[[], Any]] = []
        self.violations: list[str] = []
        self._schedulers: list[NodeScheduler] = []
        self._tasks: deque[Task] = deque()
        #: The tasks that are running, the innermost last.
        self._running: list[Task] = []

    def new_scheduler(self) -> NodeScheduler:
        scheduler = NodeScheduler(self)
        self._schedulers.append(scheduler)
        return scheduler

    @property
    def is_locked(self) -> bool:
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]

    @property
    def is_in_task(self) -> bool:
        """Whether a serial task is running: a new greenlet has to wait."""
        return bool(self._running) and self._running[-1].is_serial

    def note_blocking(self, what: str) -> None:
        """Take note that something blocks; complain where it must not."""
        complaint = None
        if self.is_locked:
            complaint = f"{what} blocks, and a lock is held"
        elif self._running and not self._running[-1].may_block:
            complaint = f"{what} blocks in {_name(self._running[-1].function)}"
        if complaint is not None:
            self.violations.append(complaint)
            raise AssertionError(complaint)

    # Tasks -----------------------------------------------------------------------------

    def post(
        self,
        scheduler: NodeScheduler,
        function: Callable[..., Any],
        *args: Any,
        is_serial: bool = True,
        may_block: bool = True,
    ) -> None:
        """Have a node do something soon."""
        self._tasks.append(Task(scheduler, is_serial, may_block, function, args))

    def run(self) -> bool:
        """Do everything that is to be done now; returns whether there was something."""
        if self.is_locked:
            return False
        has_run = False
        while True:
            task = self._take_task()
            if task is None:
                return has_run
            has_run = True
            self._do(task)

    def _take_task(self) -> Task | None:
        for index, task in enumerate(self._tasks):
            if task.scheduler.state == "running" and not self._is_next_in_line(task):
                del self._tasks[index]
                return task
        return None

    def _is_next_in_line(self, task: Task) -> bool:
        """Whether a serial task of the same node has not ended yet."""
        return task.is_serial and any(
            other.is_serial and other.scheduler is task.scheduler for other in self._running
        )

    def _do(self, task: Task) -> None:
        self._running.append(task)
        try:
            task.function(*task.args)
        finally:
            self._running.pop()

    def forget_tasks(self, scheduler: NodeScheduler) -> None:
        self._tasks = deque(task for task in self._tasks if task.scheduler is not scheduler)

    # Time ------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass; timers that are due fire in order, and tasks are done."""
        end = self.time + seconds
        self.run()
        while self._fire_next(end):
            self.run()
        self.time = max(self.time, end)
        self.run()

    def advance_to_next(self, end: float = float("inf")) -> bool:
        """Let time pass until the next timer, which fires; ``False``: there is none until then."""
        return self._fire_next(end)

    def _fire_next(self, end: float) -> bool:
        found = min(self._first_timers(), key=lambda found: found[:2], default=None)
        if found is None or found[0] > end:
            return False
        when, _, scheduler = found
        timer = scheduler.pop_timer()
        self.time = max(self.time, when)
        function = timer.function
        if function is not None:
            # A timer's function runs in a greenlet of its own.
            self._do(Task(scheduler, False, True, function, timer.args))
        return True

    def _first_timers(self) -> Iterator[tuple[float, int, NodeScheduler]]:
        for scheduler in self._schedulers:
            if scheduler.state == "running":
                first = scheduler.first_timer()
                if first is not None:
                    yield (*first, scheduler)


class NodeScheduler(FakeScheduler):
    """The scheduler of one node: the clock of the hub, with timers of its own.

    :ivar state: ``running``, ``stopped`` as by SIGSTOP, or ``dead``.
    """

    #: The look for requests to other nodes goes on for a second after the last of them.
    may_be_idle = (*FakeScheduler.may_be_idle, Probes)

    def __init__(self, clock: HubClock) -> None:
        self._clock = clock
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = clock.order
        self._lock = clock.lock
        self.on_wait = clock.on_wait
        self.state = "running"

    @property
    def time(self) -> float:  # type: ignore[override]
        return self._clock.time

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        if self._clock.is_locked or self._clock.is_in_task:
            self._clock.post(self, function, *args, is_serial=False)
        else:
            function(*args)

    def event(self) -> HubEvent:
        return HubEvent(self, self._clock)

    def first_timer(self) -> tuple[float, int] | None:
        while self._timers and self._timers[0][2].function is None:
            self.pop_timer()
        return self._timers[0][:2] if self._timers else None

    def pop_timer(self) -> FakeTimer:
        return heapq.heappop(self._timers)[2]

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def advance_to_next(self) -> bool:
        return self._clock.advance_to_next()

    def die(self) -> None:
        self.state = "dead"
        self._timers.clear()
        self._clock.forget_tasks(self)


class HubEvent(FakeEvent):
    """While something waits, the nodes go on; then ``on_wait`` happens; then time passes."""

    def __init__(self, scheduler: NodeScheduler, clock: HubClock) -> None:
        super().__init__(scheduler)
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if self._set:
            return True
        self._clock.note_blocking("Event.wait()")
        end = float("inf") if timeout is None else self._clock.time + timeout
        while not self._set:
            if self._clock.run():
                continue
            if self._clock.on_wait:
                self._clock.on_wait.pop(0)()
            elif not self._clock.advance_to_next(end):
                if timeout is None:
                    raise AssertionError("waits for an event that nothing will set")
                self._clock.advance(max(0.0, end - self._clock.time))
                break
        return self._set


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
