"""A limit on the handshakes of a process, which tells those beyond it when to come back.

Up to a second's worth of handshakes may come at once. The others are each given a time of its own,
as many for each second as the limit allows. So clients that have all lost their server at once
come back in a queue, and not all together again.

The limit itself is a bucket as in :mod:`.rate_limit`. A client that does not keep to its time is
refused or not as any other.
"""

from __future__ import annotations

from typing import Any, ContextManager

from .rate_limit import PRECISION

#: Seconds' worth of the rate that may come at once.
BURST = 1.0

#: Seconds after which the last client of the queue is told to come back. Those behind it are given
#: the same times once more: nobody waits for minutes because of others that may never come back.
LONGEST = 60.0


class HandshakeQueue:
    """The handshakes of a process.

    :param rate: handshakes per second, on average. At least one is allowed at once.
    :param lock: nothing is called while it is held.
    """

    def __init__(self, rate: float, lock: ContextManager[Any]) -> None:
        self.rate = rate
        self._interval = 1 / rate
        self._capacity = max(BURST, self._interval)
        self._lock = lock
        #: When the bucket will be full.
        self._full_at = 0.0
        #: The time that was given to the client before.
        self._given = 0.0

    def take(self, now: float, is_heard: bool = True) -> float:
        """Count a handshake, if that is allowed.

        :param now: seconds, of a clock that never goes back.
        :param is_heard: whether the client learns of the seconds. If not, its time is not counted.
        :returns: 0 if it is allowed, else the seconds after which it should come back.
        """
        with self._lock:
            wait = self._wait(now)
            if not wait:
                self._full_at = max(self._full_at, now) + self._interval
                return 0
            return self._give_time(now, wait, is_heard)

    def look(self, now: float) -> float:
        """Return the same as :meth:`take`, and count no handshake."""
        with self._lock:
            wait = self._wait(now)
            return self._give_time(now, wait, True) if wait else 0

    def _wait(self, now: float) -> float:
        wait = max(self._full_at, now) + self._interval - now - self._capacity
        return wait if wait > PRECISION else 0

    def _give_time(self, now: float, wait: float, is_heard: bool) -> float:
        time = max(self._given + self._interval, now + wait)
        if time - now > max(LONGEST, wait):
            time = now + wait
        if is_heard:
            self._given = time
        return time - now
