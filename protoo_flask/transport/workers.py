"""Greenlets that wait for something to do.

A connection that nobody uses needs no greenlet. From CPython 3.11 on, each has a chunk of
memory of its own for Python's frames, of which it never gives back what it has once
touched: 8 KiB at the least, 20 after one call of a database library, for as long as it
lives. So a connection is a watcher on its socket, and whatever there is to do for it is
done by one of these, which are few: as many as handlers are blocked at a time, and a few
that wait.

Who has nothing to do waits on top of a stack, so that the one that has worked last is
the next to work, while what it needs is in the caches of the processor.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import gevent
from gevent import getcurrent

#: How many may wait. Beyond a moment in which many handlers block at once, more would be
#: memory that nobody uses.
MAX_IDLE = 64


class Workers:
    """Runs functions in greenlets, on the hub of the thread that makes this.

    :ivar size: how many greenlets there are, idle or not.
    """

    def __init__(self) -> None:
        self.size = 0
        self._idle: list[Any] = []
        self._hub: Any = gevent.get_hub()

    @property
    def busy(self) -> int:
        """How many are doing something, or are blocked in it."""
        return self.size - len(self._idle)

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, now; only the hub may ask for that.

        Returns when it has, or has blocked.
        """
        if not self._idle:
            # By hand instead of start(), which would wait for the hub to come round.
            gevent.Greenlet(self._work).switch()
        self._idle.pop().switch(partial(function, *args) if args else function)

    def run_soon(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, as soon as the current one blocks."""
        self._hub.loop.run_callback(self.run, function, *args)

    def _work(self) -> None:
        worker, wait = getcurrent(), self._hub.switch
        self.size += 1
        try:
            while len(self._idle) < MAX_IDLE:
                self._idle.append(worker)
                function = wait()
                # What code of a site left in its context variables is not for the next.
                worker.gr_context = None
                function()
                function = None  # while it waits, it keeps nothing alive
        finally:
            self.size -= 1
            if worker in self._idle:  # killed there, by who knows whom
                self._idle.remove(worker)
