"""Time and concurrency on gevent's hub."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, ContextManager

import gevent
import gevent.event
from gevent import monkey

from .fast_greenlet_pool import FastGreenletPool
from .fast_write_batching import FastWriteBatching
from .greenlet_pool import GreenletPool
from .write_batching import WriteBatching

_NO_LOCK = contextlib.nullcontext()


class GreenletTimer:
    """A timer of the hub; its function runs in a greenlet of the pool."""

    __slots__ = ("_pool", "_watcher")

    def __init__(
        self, pool: GreenletPool, seconds: float, function: Callable[..., Any], args: Any
    ) -> None:
        self._pool = pool
        self._watcher: Any = gevent.get_hub().loop.timer(seconds)
        self._watcher.start(self._fire, function, args)

    def _fire(self, function: Callable[..., Any], args: Any) -> None:
        self.cancel()
        self._pool.run(function, *args)

    def cancel(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


class _OfThread(monkey.get_original("_thread", "_local")):  # type: ignore[misc]
    """The pool of a thread, made when the thread asks for it."""

    def __init__(self, make_pool: Callable[[], GreenletPool]) -> None:
        self.pool = make_pool()


class GreenletLoop:
    """Time and concurrency by greenlets.

    There is usually one thread. But the tests of a site may serve the same app several
    times, each time in a thread of its own, and a greenlet can be switched to only in the
    thread that has made it. So each thread has its own pool.

    :param pool: how greenlets are given work: the fast way, or one function at a time.
    :param writes: how messages are written: the fast way, or each at once.
    """

    preempts = False
    now = staticmethod(time.monotonic)

    def __init__(
        self,
        pool: type[GreenletPool] = FastGreenletPool,
        writes: type[WriteBatching] = FastWriteBatching,
    ) -> None:
        self._of_thread = _OfThread(lambda: pool(writes()))

    @property
    def pool(self) -> GreenletPool:
        """The pool of the current thread."""
        pool: GreenletPool = self._of_thread.pool
        return pool

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> GreenletTimer:
        return GreenletTimer(self.pool, seconds, function, args)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self.pool.spawn(function, *args)

    def event(self) -> Any:
        return gevent.event.Event()

    def lock(self) -> ContextManager[Any]:
        # Greenlets switch only where they block, and nothing blocks while holding a lock.
        return _NO_LOCK

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        # The hub runs its callbacks as soon as this greenlet blocks, unless they are stopped.
        return gevent.get_hub().loop.run_callback(self.pool.run, function, *args)
