"""Pulses: which nodes are dead, as one node reads it off their counters.

A node raises its counter with each beat. An observer reads all counters with each beat of its
own. A node is dead when the observer has read the same counter in several readings one after the
other. Nobody's clock is compared with another's, and an observer that was stopped itself has
read nothing meanwhile.
"""

from __future__ import annotations

from typing import Mapping

#: Readings without a change after which a node is dead, besides the first one. With five beats
#: within the node timeout, it is noticed after three and four fifths of that time at most.
SILENT_READINGS = 3


class Pulses:
    """The counters, as one observer has read them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, int]] = {}

    def read(self, beats: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
        """Take a reading, without the observer's own; returns the dead and their counters."""
        dead = []
        seen = {}
        for node, beat in beats.items():
            before, silent = self._seen.get(node, (b"", 0))
            silent = silent + 1 if beat == before else 0
            seen[node] = (beat, silent)
            if silent >= SILENT_READINGS:
                dead.append((node, beat))
        self._seen = seen
        return dead

    def forget_all(self) -> None:
        """Begin anew: there was a gap in the readings."""
        self._seen.clear()
