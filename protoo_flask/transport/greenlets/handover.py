"""The handover: functions that other threads have the hub run.

One hub, in one thread, owns the live state of an app, and its locks lock nothing. A call from
any other thread (gevent's threadpool, a thread of a C library, ``threading.Thread`` in an
unpatched process) would race with it, and would arm timers on a hub that nobody runs. So such
a call is a *step* that is handed over to the hub. The hub takes the steps in the order in which
they came, each in a greenlet.

========  ==========================================  =========
state     event                                       next
========  ==========================================  =========
waiting   taken: the hub begins it                    taken
waiting   withdrawn: its thread waits no longer       withdrawn
taken     finished: it has returned or raised         finished
========  ==========================================  =========

A thread that waits must not wait for ever. It gives up with :class:`ServerStopped` when the
hub's thread has ended, or when the hub has taken no step for :data:`PATIENCE`: then its thread
is blocked, maybe because it waits for this very thread (``thread.join()``).
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from functools import partial
from typing import Any, Callable

import gevent
import gevent.event
from gevent import monkey

# Private, but the only way to ask for the hub of a thread without making one.
from gevent._hub_local import get_hub_if_exists

from ...core.errors import ServerStopped
from .greenlet_pool import GreenletPool

# In a process that gevent has patched, those of the threading module are for greenlets.
get_ident: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_allocate_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")
_ThreadLocal: Any = monkey.get_original("_thread", "_local")
_main_thread: Callable[[], Any] = monkey.get_original("threading", "main_thread")

#: Seconds. A hub that takes no step for so long is blocked; gunicorn kills such a worker.
PATIENCE = 30.0

#: Seconds between two looks at the hub, by a thread that waits.
LOOK_INTERVAL = 1.0

#: Steps that may wait for the hub. A thread that sends faster than the hub can take waits for it
#: then, or the steps would fill the memory.
MAX_WAITING = 1000

WAITING, TAKEN, WITHDRAWN, FINISHED = "waiting", "taken", "withdrawn", "finished"

#: (state, event) -> state; the table above. A pair that is not here is ignored.
TRANSITIONS = {
    (WAITING, "taken"): TAKEN,
    (WAITING, "withdrawn"): WITHDRAWN,
    (TAKEN, "finished"): FINISHED,
}


class _ThreadSleeper:
    """A thread without a hub, asleep in a real lock."""

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self._lock.acquire()

    def sleep(self, timeout: float) -> None:
        self._lock.acquire(True, timeout)

    def wake(self) -> None:
        self._lock.release()

    def close(self) -> None:
        """Nobody calls :meth:`wake` any more."""


class _GreenletSleeper:
    """A greenlet of another hub; the other greenlets of that hub go on."""

    def __init__(self, hub: Any) -> None:
        self._event = gevent.event.Event()
        # It also keeps that hub from giving up, as if nothing could ever happen in it.
        self._watcher = hub.loop.async_()
        self._watcher.start(self._event.set)

    def sleep(self, timeout: float) -> None:
        self._event.wait(timeout)

    def wake(self) -> None:
        self._watcher.send()

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()


def _make_sleeper() -> _ThreadSleeper | _GreenletSleeper:
    hub = get_hub_if_exists()
    if hub is None or gevent.getcurrent() is hub:  # the hub itself cannot switch to another
        return _ThreadSleeper()
    return _GreenletSleeper(hub)


class OutsideEvent:
    """An event that other threads wait for, and the hub sets: an :class:`.Event`."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self._is_set = False
        self._lock = _allocate_lock()
        self._sleepers: list[_ThreadSleeper | _GreenletSleeper] = []

    def set(self) -> None:
        with self._lock:
            if not self._is_set:
                self._is_set = True
                for sleeper in self._sleepers:
                    sleeper.wake()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """:raises ServerStopped: when the hub cannot set it any more."""
        return self._handover.wait_for(self, timeout)

    def sleep(self, timeout: float) -> bool:
        """Wait for a short time, without a look at the hub."""
        sleeper = _make_sleeper()
        try:
            with self._lock:
                if self._is_set:
                    return True
                self._sleepers.append(sleeper)
            try:
                sleeper.sleep(timeout)
            finally:
                with self._lock:
                    self._sleepers.remove(sleeper)
        finally:
            sleeper.close()
        return self._is_set


class _Step:
    """A call whose thread waits for its end."""

    __slots__ = ("_call", "_claims", "error", "finished", "result", "state")

    def __init__(self, call: Callable[[], Any], finished: OutsideEvent) -> None:
        self.state = WAITING
        self.finished = finished
        self.result: Any = None
        self.error: BaseException | None = None
        self._call = call
        #: Taking the only item is one step, also for threads: the hub or the waiting thread.
        self._claims = [None]

    def run(self) -> None:
        """Run the call, in the hub's thread."""
        if not self._claim("taken"):
            return
        try:
            self.result = self._call()
        except BaseException as error:  # noqa: BLE001 (it is for the thread that waits)
            self.error = error
        self._enter("finished")
        self.finished.set()

    def withdraw(self) -> bool:
        """Have it not run; ``False`` when the hub has begun it."""
        return self._claim("withdrawn")

    def _claim(self, event: str) -> bool:
        try:
            self._claims.pop()
        except IndexError:
            return False
        self._enter(event)
        return True

    def _enter(self, event: str) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)


class _Sentinel:
    """Lives as long as a thread, in whose local storage it is."""


class Handover:
    """The way from other threads to one hub: that of the thread which makes this object.

    :param pool: its greenlets run the steps.
    """

    def __init__(self, pool: GreenletPool) -> None:
        self._pool = pool
        self._hub: Any = pool.hub
        self._process = os.getpid()
        self._local = _ThreadLocal()
        self._local.sentinel = sentinel = _Sentinel()
        self._sentinel = weakref.ref(sentinel)
        self._steps: deque[Callable[[], Any]] = deque()

    # Asking ----------------------------------------------------------------------------

    def is_here(self) -> bool:
        """Whether the hub of the current thread is this one, and can run."""
        return self.why_gone() is None and get_hub_if_exists() is self._hub

    def why_gone(self) -> str | None:
        """Return why the hub will never run again; ``None`` while it may run."""
        if self._process != os.getpid():
            return "this process was forked from the one that serves the app"
        if self._hub.loop is None or self._hub.dead:
            return "the hub that served the app has been destroyed"
        is_foreign = get_hub_if_exists() is not self._hub
        # Functions of atexit run when the main thread counts as ended, and in that thread.
        if self._sentinel() is None or (is_foreign and self._has_main_thread_ended()):
            return "the thread that served the app has ended"
        return None

    def _has_main_thread_ended(self) -> bool:
        # The interpreter then waits for the other threads, one of which may be waiting here.
        if not self._hub.main_hub or monkey.is_module_patched("threading"):
            return False
        return not _main_thread().is_alive()

    # Handing over -------------------------------------------------------------------------

    def hand_over(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the hub run ``function(*args)``, after everything that was handed over before.

        :raises ServerStopped: when it cannot.
        """
        if len(self._steps) >= MAX_WAITING:
            self.call(_do_nothing)
        self._append(partial(function, *args))

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Have the hub run ``function(*args)``, which must not block, and return its result.

        :raises ServerStopped: when the hub has not run it, and will not run it.
        """
        step = _Step(partial(function, *args), OutsideEvent(self))
        self._append(step.run)
        try:
            step.finished.wait()
        except BaseException:
            step.withdraw()
            raise
        error, step.error = step.error, None  # or its traceback would refer to itself
        if error is not None:
            raise error
        return step.result

    def wait_for(self, event: OutsideEvent, timeout: float | None) -> bool:
        """Wait for an event that the hub sets, and look after the hub meanwhile.

        :raises ServerStopped: when the hub is gone or blocked.
        """
        now = time.monotonic
        deadline = None if timeout is None else now() + timeout
        # A step that only shows that the hub takes steps.
        answered: list[None] = [None]
        asked = now()
        while True:
            left = LOOK_INTERVAL if deadline is None else deadline - now()
            if event.sleep(max(0.0, min(left, LOOK_INTERVAL))):
                return True
            if deadline is not None and now() >= deadline:
                return False
            if answered:
                answered, asked = [], now()
                self._append(partial(answered.append, None))
            elif now() - asked > PATIENCE:
                raise ServerStopped(
                    f"the hub that serves the app has done nothing for {PATIENCE:g} seconds: its "
                    "thread is blocked. If it waits for this thread, wait in a way that lets the "
                    "hub go on: gevent.get_hub().threadpool.apply(fn), not thread.join()"
                )
            else:
                self._check()

    def _check(self) -> None:
        reason = self.why_gone()
        if reason is not None:
            raise ServerStopped(f"{reason}: this call has no effect here")

    def _append(self, step: Callable[[], Any]) -> None:
        self._check()
        self._steps.append(step)
        self._hub.loop.run_callback_threadsafe(self._pool.run, self._take_steps)

    def _take_steps(self) -> None:
        # There are as many calls of this method as steps. So when a step blocks, or raises, the
        # next call goes on with the others.
        while self._steps:
            self._steps.popleft()()


def _do_nothing() -> None:
    """Return when everything that was handed over before has run."""
