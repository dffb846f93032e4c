"""Stillness: nothing in this process can act before the test does.

This is the barrier behind ``expect_nothing()``. The process is still when both of these hold:

- gevent's hub has no function to run, and waits for no timer, socket or thread of its threadpool.
  A greenlet that waits for a message of a client, for an event or for a lock cannot act by itself.
  One in ``gevent.sleep()``, or in a wait with a real timeout, can.
- Every thread that was started since the test began has ended, or is an idle worker of a
  ``ThreadPoolExecutor``.
- The threads of before the test that wait for work, at a queue or an event, have been given none.

So no conclusion is drawn from time that passes. Other code that ran before the test began, such as
a greenlet that sleeps and looks after something for ever, does not count.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import Any, Iterator
from weakref import WeakSet, ref

import gevent
from gevent import monkey
from gevent import sleep as sleep_in_hub  # a test may replace gevent.sleep()

#: Seconds in which each thread that can run has run for a moment, as Python switches threads.
SWITCH_TIME = 0.02

#: Iterations of the hub in which greenlets that were spawned before the test start.
START_ROUNDS = 10

_monotonic = time.monotonic

#: The beginnings of the names of threads that watch over a test.
_WATCHERS = ("pydevd", "pytest_timeout")

#: The folders whose frames say nothing about the code of a site.
_FOREIGN = ("gevent", "greenlet", "protoo_flask")


#: Those that take note of greenlets that are spawned. It is replaced, and never changed, as other
#: threads may read it.
_observers: tuple[ref[Stillness], ...] = ()


def _take_note_of_spawning(stillness: Stillness) -> None:
    """Have each new greenlet added to ``_started`` for as long as this object exists.

    There is one function for all, and it stays. gevent iterates over its set of such functions at
    each spawn, and a garbage collection that took one out just then would make the spawn fail.
    """
    global _observers
    alive = [observer for observer in _observers if observer() is not None]
    _observers = (*alive, ref(stillness))
    gevent.Greenlet.add_spawn_callback(_note_spawned)


def _note_spawned(greenlet: Any) -> None:
    for observer in _observers:
        stillness = observer()
        if stillness is not None:
            stillness._started.add(greenlet)


class Stillness:
    """Tells whether the hub of this thread, and the other threads, are still."""

    def __init__(self) -> None:
        self._hub: Any = gevent.get_hub()
        #: The greenlets that look again in a moment. Their timers do not count.
        self._napping: list[Any] = []
        self._ignored: WeakSet[Any] = WeakSet()
        #: The threads of before the test that have not been seen to wait since.
        self._busy: WeakSet[threading.Thread] = WeakSet()
        #: The threads of before the test.
        self._former: WeakSet[threading.Thread] = WeakSet()
        #: Watchers that cannot be referred to weakly, by their ids.
        self._ignored_watchers: dict[int, Any] = {}
        self._started: WeakSet[Any] = WeakSet()
        _take_note_of_spawning(self)
        self.begin()

    def begin(self) -> None:
        """Let everything that runs now not count."""
        self._start_greenlets()
        self._former.clear()
        self._former.update(_find_threads())
        self._busy.clear()
        self._busy.update(thread for thread in self._former if not _waits_for_work(thread))
        self._started.clear()
        loop = self._hub.loop
        self._ignored_watchers.clear()
        if loop.activecnt or not _counts(loop):
            for watcher in _find_watchers(loop):
                greenlet = _find_greenlet(watcher)
                if greenlet is None:
                    self._ignored_watchers[id(watcher)] = watcher
                else:
                    self._ignored.add(greenlet)

    def _start_greenlets(self) -> None:
        """Let the greenlets that were spawned start, so that their timers show them."""
        for _ in range(START_ROUNDS):
            self.nap()
            if not self.has_ready:
                return

    def ignore(self, worker: Any) -> None:
        """Let a greenlet or a thread not count."""
        self._ignored.add(worker)

    def nap(self, seconds: float = 0.0) -> None:
        """Let the others go on: for one iteration of the hub, or for a time."""
        self._napping.append(gevent.getcurrent())
        try:
            sleep_in_hub(seconds)
        finally:
            self._napping.pop()

    @staticmethod
    def now() -> float:
        """Return seconds of real time, also while a test has replaced functions of ``time``.

        freezegun and time-machine do, but they leave this one. Windows does not have it. The time
        of gevent's hub is no substitute: it follows the clock on the wall.
        """
        clock_gettime = getattr(time, "clock_gettime", None)
        return _monotonic() if clock_gettime is None else clock_gettime(time.CLOCK_MONOTONIC)

    @property
    def has_ready(self) -> bool:
        """Whether the hub has a function to run now."""
        # Each waiter that naps has one, at most.
        return len(self._hub.loop._callbacks) > len(self._napping)

    def find_activity(self) -> list[str]:
        """Return what may act by itself, in words; an empty list: the process is still."""
        # The threads first. What an ended thread has handed over is seen in the hub then.
        found = [f"thread {thread.name!r}{_locate(thread)}" for thread in self._find_workers()]
        loop = self._hub.loop
        if _counts(loop) and loop.activecnt <= len(self._napping):
            return found
        if self.has_ready:
            found.append("functions that gevent's hub runs next")
        for watcher in _find_watchers(loop):
            greenlet = _find_greenlet(watcher)
            if greenlet is None:
                if id(watcher) not in self._ignored_watchers:
                    found.append(f"a watcher of gevent's hub: {watcher!r}")
            elif greenlet not in self._ignored and greenlet not in self._napping:
                found.append(describe_greenlet(greenlet))
        return found

    def find_blocked(self) -> list[Any]:
        """Return the greenlets that were started since the beginning, and have not ended."""
        return [
            greenlet
            for greenlet in self._started
            if not greenlet.dead
            and greenlet is not gevent.getcurrent()
            and greenlet.parent is self._hub
            and greenlet not in self._ignored
        ]

    def _find_workers(self) -> list[threading.Thread]:
        """Return the threads that count, and may act."""
        threads = [thread for thread in _find_threads() if thread not in self._ignored]
        if any(map(_is_idle_executor, threads)):
            # It may have taken a task just now. It gets the time to begin it. Not time.sleep(),
            # which a test may replace.
            threading.Event().wait(SWITCH_TIME)
        found = []
        for thread in threads:
            is_former = thread in self._former
            if _waits_for_work(thread) if is_former else _is_idle_executor(thread):
                self._busy.discard(thread)  # it counts when it is given work
            elif thread not in self._busy and thread.is_alive():
                found.append(thread)
        return found


def describe_greenlet(greenlet: Any) -> str:
    """Return a greenlet in words: where in the code of the site it is."""
    place = _locate_frame(greenlet.gr_frame)
    run = getattr(greenlet, "_run", None)
    name = getattr(run, "__qualname__", "") or type(greenlet).__name__
    return f"a greenlet{place}" if place else f"a greenlet of {name}()"


def _counts(loop: Any) -> bool:
    """Whether a loop knows how many watchers and callbacks are active: that of libev in C does."""
    return type(loop).__module__ == "gevent.libev.corecext"


def _find_watchers(loop: Any) -> Iterator[Any]:
    """Return the watchers that keep a loop going."""
    sample = loop.timer(0)
    kind = next(kind for kind in type(sample).__mro__ if kind.__name__ == "watcher")
    sample.close()
    for item in gc.get_objects():
        if isinstance(item, kind) and getattr(item, "loop", None) is loop:
            watcher: Any = item
            if watcher.active and watcher.ref:
                yield watcher


def _find_greenlet(watcher: Any) -> Any:
    """Return the greenlet that a watcher wakes; ``None`` if it calls a function."""
    owner = getattr(watcher.callback, "__self__", None)
    return owner if isinstance(owner, gevent.Greenlet) else getattr(owner, "greenlet", None)


def _find_threads() -> list[threading.Thread]:
    # Those of a process that gevent has patched are greenlets, which the hub knows.
    if monkey.is_module_patched("threading"):
        return []
    return [thread for thread in threading.enumerate() if not thread.name.startswith(_WATCHERS)]


def _waits_for_work(thread: threading.Thread) -> bool:
    return _is_idle_executor(thread) or _waits_to_be_told(thread)


def _is_idle_executor(thread: threading.Thread) -> bool:
    """Whether a thread is a worker of a ``ThreadPoolExecutor`` that waits for a task."""
    frame = _find_frame(thread)
    if frame is None or frame.f_code.co_name != "_worker":
        return False
    if not frame.f_code.co_filename.endswith("thread.py"):
        return False
    found = frame.f_locals
    queue = found.get("work_queue")
    return queue is not None and queue.empty() and found.get("work_item") is None


def _waits_to_be_told(thread: threading.Thread) -> bool:
    """Whether a thread waits for a queue, an event or a condition, and has not been told.

    All of these wait by :class:`threading.Condition`, which forgets a waiter when it is told:
    before the thread runs again.
    """
    frame = _find_frame(thread)
    if frame is None or frame.f_code is not threading.Condition.wait.__code__:
        return False
    found = frame.f_locals
    return found.get("waiter") in getattr(found["self"], "_waiters", ())


def _find_frame(thread: threading.Thread) -> Any:
    # Before Python 3.13, sys._current_frames() may wait for ever for a thread that begins or ends,
    # if Python collects garbage in it (https://github.com/python/cpython/issues/106883).
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames().get(thread.ident or 0)
    finally:
        if was_enabled:
            gc.enable()


def _locate(thread: threading.Thread) -> str:
    return _locate_frame(_find_frame(thread))


def _locate_frame(frame: Any) -> str:
    """Return where the code of a site is: `` in check (/app/jobs.py:12)``; "" if it is nowhere."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        code = frame.f_code
        if package not in (*_FOREIGN, "threading", "concurrent"):
            return f" in {code.co_name} ({code.co_filename}:{frame.f_lineno})"
        frame = frame.f_back
    return ""
