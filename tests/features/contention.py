"""A lock that tells when a thread has to wait for it, for tests of races."""

from __future__ import annotations

import threading

#: Seconds a thread may take before the test that waits for it fails.
PATIENCE = 10


class ContendedLock:
    """A re-entrant lock with an event, which is set when a thread has to wait."""

    def __init__(self, contended=None):
        self._lock = threading.RLock()
        self.contended = contended or threading.Event()

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            self.contended.set()
            self._lock.acquire()

    def __exit__(self, *exc_info):
        self._lock.release()
