"""A limit on how often something may happen, for each of many names.

A *token bucket* for each name: it holds a burst, :data:`BURST_SECONDS` times the rate by default,
and is refilled at the rate. Only the time at which it will be full again is kept (the "theoretical
arrival time" of GCRA, ITU-T I.371), and nothing for a bucket that is full.
"""

from __future__ import annotations

import math
from typing import Any, ContextManager, Hashable, Protocol

from .scheduling import Scheduler, one_step

#: Seconds' worth of the rate that may happen at once.
BURST_SECONDS = 10

#: Names whose buckets are not full. If there are more, those that are nearly full are taken for
#: full, so that many names cannot fill the memory: about 1.5 MiB.
MAX_NAMES = 10_000


#: Seconds that are lost in the sums of floats.
PRECISION = 1e-6

#: Seconds that a refusal tells to wait, at most, however many were refused before it.
MAX_WAIT = 60.0


class Limit(Protocol):
    """A limit that each name has for itself: in this process, or in all of a cluster."""

    @property
    def rate(self) -> float:
        """Times per second, on average."""

    def take(self, name: Any, now: float, cost: float = 1) -> float:
        """Count one more for a name, if that is allowed. Never blocks."""

    def take_surely(self, name: Any, now: float, cost: float = 1) -> float:
        """Do the same; ask the other nodes first if that matters. May block."""

    def look(self, name: Any, now: float, cost: float = 1) -> float:
        """Return the same as :meth:`take`, and count nothing."""

    def give_back(self, name: Any, now: float, cost: float = 1) -> None:
        """Count one less for a name: it was counted, and has not happened."""

    def promise(self, name: Any, now: float, wait: float, cost: float = 1) -> float:
        """Return the seconds to tell a client that was refused."""


class TokenBuckets:
    """The buckets of a limit that each name has for itself.

    :param rate: times per second, on average. At least one is allowed at once.
    :param burst: times that may happen at once; ``None``: those of :data:`BURST_SECONDS`.
    :ivar interval: seconds in which the bucket gains one.
    :ivar capacity: seconds in which an empty bucket is filled.
    """

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self.burst = max(BURST_SECONDS * rate, 1.0) if burst is None else burst
        self.interval = 1 / rate
        self.capacity = self.burst * self.interval
        #: {name: when its bucket will be full}
        self._full_at: dict[Hashable, float] = {}
        #: {name: the latest time that a refusal has told}
        self._promised: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: Hashable, now: float, cost: float = 1) -> float:
        """Count one more for a name, if that is allowed.

        :param now: seconds, of a clock that never goes back.
        :param cost: the number to count in the place of one.
        :returns: 0 if it is allowed, else the seconds until it will be; then nothing is counted.
        """
        times = self._full_at
        full_at = times.get(name, now)
        if full_at < now:
            full_at = now
        full_at += self.interval if cost == 1 else cost * self.interval
        wait = full_at - now - self.capacity
        if wait > PRECISION:
            return wait
        times[name] = full_at
        if len(times) > MAX_NAMES:
            _forget(times, now)
        return 0

    def take_surely(self, name: Hashable, now: float, cost: float = 1) -> float:
        """Do the same: in one process, nobody else is to be asked."""
        return self.take(name, now, cost)

    def look(self, name: Hashable, now: float, cost: float = 1) -> float:
        """Return the same as :meth:`take`, and count nothing."""
        wait = self.deficit(name, now) + cost * self.interval - self.capacity
        return wait if wait > PRECISION else 0

    def give_back(self, name: Hashable, now: float, cost: float = 1) -> None:
        """Count one less for a name: it was counted, and has not happened."""
        full_at = self._full_at.get(name, now) - cost * self.interval
        if full_at > now:
            self._full_at[name] = full_at
        else:
            self._full_at.pop(name, None)

    def deficit(self, name: Hashable, now: float) -> float:
        """Return the seconds until the bucket of a name will be full."""
        return max(self._full_at.get(name, now) - now, 0.0)

    def raise_deficit(self, name: Hashable, now: float, seconds: float) -> None:
        """Have the bucket of a name full no earlier than after so many seconds."""
        if seconds > self._full_at.get(name, now) - now:
            self._full_at[name] = now + seconds
            if len(self._full_at) > MAX_NAMES:
                _forget(self._full_at, now)

    def empty_deficit(self, name: Hashable, now: float) -> float:
        """Fill the bucket of a name; returns the seconds that it would have taken."""
        return max(self._full_at.pop(name, now) - now, 0.0)

    def promise(self, name: Hashable, now: float, wait: float, cost: float = 1) -> float:
        """Return the seconds to tell a client that was refused, of :data:`MAX_WAIT` at most.

        Each refusal tells another time, one behind the other at the rate. A client that sends
        each message again at its time is not refused again, however many it has.

        :param wait: that :meth:`take` has returned.
        """
        times = self._promised
        seconds = wait
        last = times.get(name, now)
        if last > now:
            # Somebody else was told that time, so it is the turn of the next one.
            behind = last + cost * self.interval - now
            if behind > MAX_WAIT:
                behind = MAX_WAIT
            if behind > wait:
                seconds = behind
        times[name] = now + seconds
        if len(times) > MAX_NAMES:
            _forget(times, now)
        return seconds


class RateLimit(TokenBuckets):
    """A limit that each name has for itself, also among threads.

    :param lock: nothing is called while it is held. The other parameters are those of
        :class:`TokenBuckets`.
    """

    def __init__(self, rate: float, lock: ContextManager[Any], burst: float | None = None) -> None:
        super().__init__(rate, burst)
        self._lock = lock

    take = one_step(TokenBuckets.take)
    look = one_step(TokenBuckets.look)
    give_back = one_step(TokenBuckets.give_back)
    deficit = one_step(TokenBuckets.deficit)
    raise_deficit = one_step(TokenBuckets.raise_deficit)
    empty_deficit = one_step(TokenBuckets.empty_deficit)
    promise = one_step(TokenBuckets.promise)


def make_buckets(scheduler: Scheduler, rate: float, burst: float | None = None) -> TokenBuckets:
    """Return the buckets of a limit, for the threads or greenlets of a scheduler."""
    if scheduler.preempts:
        return RateLimit(rate, scheduler.lock(), burst)
    return TokenBuckets(rate, burst)


def to_retry_after(seconds: float) -> float:
    """Return seconds as a client is told them: rounded up to hundredths, and at least one."""
    return max(math.ceil(seconds * 100 - PRECISION), 1) / 100


def _forget(times: dict[Hashable, float], now: float) -> None:
    """Forget the times that are over, and at least a tenth of all, the earliest first."""
    by_time = sorted(times.items(), key=lambda item: item[1])
    for count, (name, time) in enumerate(by_time):
        if time > now and count >= MAX_NAMES // 10:
            break
        del times[name]
