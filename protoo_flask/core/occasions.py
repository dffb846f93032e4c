"""Occasions: the log tells once that something is refused, and not once for each refusal."""

from __future__ import annotations

from typing import Callable

#: Seconds without a refusal after which the next one is another occasion.
QUIET = 60.0

#: Occasions that are remembered. Beyond that, the oldest is forgotten, and may be told again.
MAX_OCCASIONS = 1000


class Occasions:
    """Refusals that the log has told.

    :param now: the clock: seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        #: {subject: the time of its last refusal}, the oldest first.
        self._last: dict[object, float] = {}

    def begins(self, subject: object) -> bool:
        """Take note of a refusal; whether it is the first one for a while."""
        now = self._now()
        last = self._last.pop(subject, None)
        self._last[subject] = now
        if len(self._last) > MAX_OCCASIONS:
            # In one step each, as threads call this without a lock. Two may both be the first.
            for oldest in list(self._last)[:1]:
                self._last.pop(oldest, None)
        return last is None or now - last > QUIET
