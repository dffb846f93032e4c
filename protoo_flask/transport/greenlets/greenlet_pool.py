"""Greenlets that wait for something to do.

A connection that nobody uses needs no greenlet. From CPython 3.11 on, each has a chunk of
memory of its own for Python's frames, of which it never gives back what it has once
touched: 8 KiB at the least, 20 after one call of a database library, for as long as it
lives. So a connection is a watcher on its socket, and whatever there is to do for it is
done by one of these, which are few: as many as handlers are blocked at a time, and a few
that wait.

Who has nothing to do waits on top of a stack, so that the one that has worked last is
the next to work, while what it needs is in the caches of the processor. And it works on
for as long as there is something to do: with many connections, the sockets that have
something to read come by the dozen, and switching to a worker and back for each would
cost as much as reading and decoding it. When a worker blocks, the next goes on.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import gevent
from gevent import getcurrent

from .write_batching import Round

#: How many may wait. Beyond a moment in which many handlers block at once, more would be
#: memory that nobody uses.
MAX_IDLE = 64


class Workers:
    """Runs functions in greenlets, on the hub of the thread that makes this.

    :ivar size: how many greenlets there are, idle or not.
    :ivar round: what they send leaves at its end.
    """

    def __init__(self) -> None:
        self.size = 0
        self.round = Round()
        self._idle: list[Any] = []
        #: What there is to do, the next one last.
        self._ready: list[Callable[[], None]] = []
        self._hub: Any = gevent.get_hub()
        #: ``add(function)``, for the watcher of a socket to call: the function is called when
        #: the hub has found all that have something to read, in this round of its loop.
        self.add = self._ready.append
        self._watched = 0
        self._end_of_round: Any = None

    @property
    def busy(self) -> int:
        """How many are doing something, or are blocked in it."""
        return self.size - len(self._idle)

    def watch(self) -> None:
        """Look at the end of each round whether a watcher has added something."""
        self._watched += 1
        if self._end_of_round is None:
            self._end_of_round = check = self._hub.loop.check(ref=False)
            # Behind the watchers of sockets, which have a middle one.
            check.priority = self._hub.loop.MINPRI
            check.start(self._go_on)

    def unwatch(self) -> None:
        """Take one of the watchers off: without any, there is nothing to look for."""
        self._watched -= 1
        if not self._watched:
            if self._ready:
                # What came in this round is still to be done.
                self._hub.loop.run_callback(self._go_on)
            self._end_of_round.stop()
            self._end_of_round.close()
            self._end_of_round = None

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, now; only the hub may ask for that.

        Returns when it has, or has blocked.
        """
        self._ready.append(partial(function, *args) if args else function)
        self._go_on()

    def run_soon(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, as soon as the current one blocks."""
        self._hub.loop.run_callback(self.run, function, *args)

    def _go_on(self) -> None:
        """Have what is ready done; called in the hub."""
        if not self._ready:
            return
        self.round.begin()
        try:
            while self._ready:
                if self._idle:
                    self._idle.pop().switch()
                else:
                    # By hand instead of start(), which would wait for the hub to come round.
                    gevent.Greenlet(self._work).switch()
        finally:
            self.round.end()

    def _work(self) -> None:
        worker, wait, ready = getcurrent(), self._hub.switch, self._ready
        self.size += 1
        try:
            while True:
                while ready:
                    # What code of a site left in its context variables is not for the next.
                    worker.gr_context = None
                    ready.pop()()
                if len(self._idle) >= MAX_IDLE:
                    return
                self._idle.append(worker)
                wait()
        finally:
            self.size -= 1
            if worker in self._idle:  # killed there, by who knows whom
                self._idle.remove(worker)
