"""A limit on how often something may happen, for each of many names.

A *token bucket* for each name: it holds :data:`BURST_SECONDS` times the rate, and is refilled at
the rate. Only the time at which it will be full again is kept (the "theoretical arrival time" of
GCRA, ITU-T I.371), and nothing for a bucket that is full.
"""

from __future__ import annotations

from typing import Any, ContextManager

#: Seconds' worth of the rate that may happen at once.
BURST_SECONDS = 10

#: Names whose buckets are not full. If there are more, those that are nearly full are taken for
#: full, so that many names cannot fill the memory: about 1.5 MiB.
MAX_NAMES = 10_000


#: Seconds that are lost in the sums of floats.
PRECISION = 1e-6


class RateLimit:
    """A limit that each name has for itself.

    :param rate: times per second, on average. At least one is allowed at once.
    :param lock: nothing is called while it is held.
    """

    def __init__(self, rate: float, lock: ContextManager[Any]) -> None:
        self.rate = rate
        self._interval = 1 / rate
        self._capacity = max(BURST_SECONDS * rate, 1.0) * self._interval
        self._lock = lock
        #: {name: when its bucket will be full}
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: str, now: float) -> float:
        """Count one more for a name, if that is allowed.

        :param now: seconds, of a clock that never goes back.
        :returns: 0 if it is allowed, else the seconds until it will be; then nothing is counted.
        """
        with self._lock:
            wait, full_at = self._try(name, now)
            if wait:
                return wait
            self._full_at[name] = full_at
            if len(self._full_at) > MAX_NAMES:
                self._forget(now)
            return 0

    def look(self, name: str, now: float) -> float:
        """Return the same as :meth:`take`, and count nothing."""
        with self._lock:
            return self._try(name, now)[0]

    def _try(self, name: str, now: float) -> tuple[float, float]:
        """Return the seconds to wait, and when the bucket would be full after one more."""
        full_at = max(self._full_at.get(name, now), now) + self._interval
        wait = full_at - now - self._capacity
        return wait if wait > PRECISION else 0, full_at

    def _forget(self, now: float) -> None:
        """Forget the buckets that are full, and at least a tenth of all."""
        by_time = sorted(self._full_at.items(), key=lambda item: item[1])
        for count, (name, full_at) in enumerate(by_time):
            if full_at > now and count >= MAX_NAMES // 10:
                break
            del self._full_at[name]
