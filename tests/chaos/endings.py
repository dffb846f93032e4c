"""The ends of servers that take their peers with them: what clients are excused for, and when."""

from __future__ import annotations

import contextlib
import time
from typing import Callable, Iterator

#: Seconds after such an end in which its consequences may come: others notice a dead worker,
#: clients return, and what was on its way is repeated.
AFTERMATH = 15.0


class Endings:
    """The ends of a cell. A worker that gives its peers to others is none of them.

    :param clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._going_on = 0
        self._latest = float("-inf")

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Tell that a server ends meanwhile."""
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1
            self._latest = self._clock()

    def excuse(self, moment: float) -> bool:
        """Whether a peer that was there at that moment, or its answers, may be lost by now."""
        return bool(self._going_on) or moment < self._latest + AFTERMATH
