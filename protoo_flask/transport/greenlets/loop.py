"""Time and concurrency on gevent's hub."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, ContextManager, TypeVar

import gevent.event

from ..forked_child import inherit
from .fast_iteration import FastGreenletPool, FastWriteBatching
from .greenlet_pool import GreenletPool
from .handover import Handover, OutsideEvent, get_ident
from .write_batching import WriteBatching

T = TypeVar("T")

#: The identity of no thread.
NOBODY = 0

_NO_LOCK = contextlib.nullcontext()


class GreenletTimer:
    """A timer of the loop's hub; its function runs in a greenlet of the pool."""

    __slots__ = ("_has_ended", "_loop", "_watcher")

    def __init__(self, loop: GreenletLoop) -> None:
        self._loop = loop
        self._watcher: Any = None
        self._has_ended = False

    def start(self, seconds: float, function: Callable[..., Any], args: Any) -> None:
        """Begin; in the thread of the hub."""
        if self._has_ended:
            return  # canceled while it was handed over
        self._watcher = self._loop.pool.hub.loop.timer(seconds)
        self._watcher.start(self._fire, function, args)

    def _fire(self, function: Callable[..., Any], args: Any) -> None:
        self._stop()
        self._loop.pool.run(function, *args)

    def cancel(self) -> None:
        if self._loop.is_foreign():
            self._loop.hand_over(self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self._has_ended = True
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


class GreenletLoop:
    """Time and concurrency by greenlets, on the hub of the thread that makes the loop.

    That hub owns everything that uses the loop. Other threads hand their calls over to it
    (:mod:`.handover`): timers are always those of this hub, and greenlets run on it.

    :param pool: how greenlets are given work: the fast way, or one function at a time.
    :param writes: how messages are written: the fast way, or each at once.
    """

    preempts = False
    now = staticmethod(time.monotonic)
    thread_id = staticmethod(get_ident)

    def __init__(
        self,
        pool: type[GreenletPool] = FastGreenletPool,
        writes: type[WriteBatching] = FastWriteBatching,
    ) -> None:
        self.pool = pool(writes())
        self.owner = get_ident()
        inherit(self)
        self._handover = Handover(self.pool)

    def is_foreign(self) -> bool:
        return get_ident() != self.owner

    def hand_over(self, function: Callable[..., Any], *args: Any) -> None:
        if self.is_foreign():
            self._handover.hand_over(function, *args)
        else:
            self.pool.spawn(function, *args)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        if not self.is_foreign():
            return function(*args)
        result: T = self._handover.call(function, *args)
        return result

    def leave_to_parent(self) -> None:
        """Make every thread foreign, in a process that was just forked: see :mod:`..forked_child`.

        So a call fails, and does nothing to the copies of the parent's peers.
        """
        self.owner = NOBODY

    def is_here(self) -> bool:
        return self._handover.is_here()

    def is_gone(self) -> bool:
        return self._handover.why_gone() is not None

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> GreenletTimer:
        timer = GreenletTimer(self)
        if self.is_foreign():
            self.hand_over(timer.start, seconds, function, args)
        else:
            timer.start(seconds, function, args)
        return timer

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        if self.is_foreign():
            self.hand_over(self.pool.spawn, function, *args)
        else:
            self.pool.spawn(function, *args)

    def event(self) -> Any:
        return OutsideEvent(self._handover) if self.is_foreign() else gevent.event.Event()

    def lock(self) -> ContextManager[Any]:
        # Greenlets switch only where they block, and nothing blocks while holding a lock.
        return _NO_LOCK

    def call_in_later_iteration(self, function: Callable[[], None]) -> None:
        self.pool.run_later(function)

    def when_blocked(self, function: Callable[..., Any], *args: Any) -> Any:
        # The hub runs its callbacks as soon as this greenlet blocks, unless they are stopped.
        return self.pool.hub.loop.run_callback(self.pool.run, function, *args)
