"""A pool of greenlets.

An idle connection needs no greenlet. From CPython 3.11 on, each greenlet has a chunk of
memory of its own for Python's frames, and never gives back a page that it has touched:
at least 8 KiB, and 20 KiB after one call of a database library, for as long as it lives.
So a connection is a watcher on its socket, and the greenlets of this pool do the work.
There are as many as there are handlers that block at a time, and a few idle ones.

Idle greenlets are a stack: the greenlet that worked last is the next to work, while its
frames are in the caches of the processor.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import Any, Callable

import gevent
from gevent import getcurrent

from ..forked_child import Inherited, inherit
from .write_batching import WriteBatching

#: The number of greenlets that may be idle. More are needed only at moments in which many
#: handlers block at once, and would waste their memory afterwards.
MAX_IDLE = 64

#: Seconds in each iteration of the hub for functions that take long. The one that is running then
#: is finished.
LATER_TIME = 0.001


class GreenletPool:
    """Runs functions in greenlets, on the hub of the thread that makes the pool.

    This is the plain pool: a function runs at once, and a greenlet runs one function.

    In a forked child it runs nothing: see :mod:`..forked_child`.

    :param writes: tells when the messages that the functions send are written.
    :ivar channels: the channels of this hub that are not closed.
    :ivar hub: the hub.
    :ivar size: how many greenlets there are, idle ones included.
    """

    def __init__(self, writes: WriteBatching) -> None:
        self.size = 0
        self.channels: set[Inherited] = set()
        self.writes = writes
        self.hub: Any = gevent.get_hub()
        self._idle: list[Any] = []
        #: The functions to call, the next one last. In the plain pool there is at most one.
        self._ready: list[Callable[[], None]] = []
        #: The functions to call in later iterations of the hub.
        self._later: deque[Callable[[], None]] = deque()
        #: Whether the next iteration calls some of them.
        self._is_timed = False
        self._is_of_parent = False
        inherit(self)

    @property
    def busy(self) -> int:
        """How many greenlets run a function, or are blocked in one."""
        return self.size - len(self._idle)

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, now; only the hub may call this method.

        Returns when the function has returned or blocked.
        """
        if self._is_of_parent:
            return
        self._ready.append(partial(function, *args) if args else function)
        self._run_ready()

    def attach(self) -> None:
        """Take note that the watcher of a socket will call :attr:`run_readable`."""

    #: Call a function because its socket is readable; for the watcher of the socket to call.
    run_readable: Callable[..., None] = run

    def detach(self) -> None:
        """Take note that the watcher of a socket has been closed."""

    def leave_to_parent(self) -> None:
        """Stop, in a process that was just forked, for ever."""
        self._is_of_parent = True
        self._ready.clear()
        self._later.clear()
        while self.channels:
            self.channels.pop().leave_to_parent()

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet, as soon as the current greenlet blocks."""
        self.hub.loop.run_callback(self.run, function, *args)

    def run_later(self, function: Callable[[], None]) -> None:
        """Call a function in a later iteration of the hub, after those of readable sockets.

        Each iteration calls as many as :data:`LATER_TIME` allows, at least one. They may take
        long, and sockets that have become readable meanwhile are not to wait for all of them.

        Unlike :meth:`spawn`: the hub runs its callbacks, and theirs, before it looks at sockets.
        """
        self.writes.flush()
        self._later.append(function)
        self._start_timer()

    def _start_timer(self) -> None:
        if self._is_timed:
            return
        self._is_timed = True
        timer = self.hub.loop.timer(0)
        # Among events of one iteration, the first to be seen: its functions are called last.
        timer.priority = self.hub.loop.MAXPRI
        timer.start(self._take_later, timer)

    def _take_later(self, timer: Any) -> None:
        timer.close()
        self._is_timed = False
        if self._later:
            self.run_readable(self._run_later)

    def _run_later(self) -> None:
        greenlet, later = getcurrent(), self._later
        end = time.monotonic() + LATER_TIME
        # A function that asks to be called again is not called again here.
        for _ in range(len(later)):
            if not later:
                return
            function = later.popleft()
            if later:
                self._start_timer()  # this function may block
            greenlet.gr_context = None  # as in _work()
            function()
            if time.monotonic() >= end:
                return

    def _run_ready(self) -> None:
        """Have a greenlet call the function that is ready."""
        while self._ready:
            if self._idle:
                self._idle.pop().switch()
            else:
                # Not start(): that would wait for the next iteration of the hub.
                gevent.Greenlet(self._work).switch()

    def _work(self) -> None:
        greenlet, ready = getcurrent(), self._ready
        self.size += 1
        try:
            while True:
                while ready:
                    # Context variables that a site's code has set must not reach the next.
                    greenlet.gr_context = None
                    ready.pop()()
                if len(self._idle) >= MAX_IDLE:
                    return
                self._idle.append(greenlet)
                self.hub.switch()
        finally:
            self.size -= 1
            if greenlet in self._idle:  # the site has killed it while it was idle
                self._idle.remove(greenlet)
