"""Calls of the host: what the cluster tells the core, one after the other.

Replies are read where nothing may block, and several connections are read at the same time. So
what follows from them for the core is put in a queue, that one greenlet or thread works off. The
greenlet exists only while there is something in the queue.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable

from ..core.scheduling import Scheduler

logger = logging.getLogger(__name__)


class HostCalls:
    """A queue of calls."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_running = False

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Have ``function(*args)`` called after those that were posted before."""
        with self._lock:
            self._waiting.append((function, args))
            if self._is_running:
                return
            self._is_running = True
        self._scheduler.spawn(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                function, args = self._waiting.popleft()
            try:
                function(*args)
            except Exception:
                # A defect, or a watcher's: the calls behind it are none of its business.
                logger.exception("a call of the cluster has failed")
