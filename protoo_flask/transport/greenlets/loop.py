"""Time and concurrency on gevent's hub."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, ContextManager

import gevent
import gevent.event
from gevent import monkey

from .greenlet_pool import Workers

_NO_LOCK = contextlib.nullcontext()


class GreenletTimer:
    """A timer of the hub whose function runs in a greenlet."""

    __slots__ = ("_watcher", "_workers")

    def __init__(
        self, workers: Workers, seconds: float, function: Callable[..., Any], args: Any
    ) -> None:
        self._workers = workers
        self._watcher: Any = gevent.get_hub().loop.timer(seconds)
        self._watcher.start(self._fire, function, args)

    def _fire(self, function: Callable[..., Any], args: Any) -> None:
        self.cancel()
        self._workers.run(function, *args)

    def cancel(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


class _OfThread(monkey.get_original("_thread", "_local")):  # type: ignore[misc]
    """What belongs to the hub of a thread; made when a thread asks for it."""

    def __init__(self) -> None:
        self.workers = Workers()


class GreenletLoop:
    """Time and concurrency by greenlets.

    As a rule, in one thread. But the tests of a site may serve the same app again, in a
    thread for each of them, and a greenlet can only be switched to in its own.
    """

    preempts = False
    now = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._of_thread = _OfThread()

    @property
    def workers(self) -> Workers:
        """Those of this thread."""
        workers: Workers = self._of_thread.workers
        return workers

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> GreenletTimer:
        return GreenletTimer(self.workers, seconds, function, args)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self.workers.run_soon(function, *args)

    def event(self) -> Any:
        return gevent.event.Event()

    def lock(self) -> ContextManager[Any]:
        # Greenlets switch where they block, and nothing blocks while holding a lock.
        return _NO_LOCK

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        # The hub runs its callbacks as soon as this greenlet lets it; stop() unasks.
        return gevent.get_hub().loop.run_callback(self.workers.run, function, *args)
