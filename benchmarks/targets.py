"""The targets: figures that this project promises, and whether they hold."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .results import Key, Results


class Target(NamedTuple):
    """A figure and its limit.

    :ivar text: what the limit is for, to be followed by "at most" and the limit.
    :ivar value: finds the figure; ``None`` if it was not measured.
    """

    text: str
    limit: float
    unit: str
    value: Callable[[Results], float | None]


class Verdict(NamedTuple):
    """A target and what was found."""

    target: Target
    value: float | None

    @property
    def is_missed(self) -> bool:
        return self.value is not None and self.value > self.target.limit

    @property
    def text(self) -> str:
        """Say whether it holds, or by how much not."""
        if self.value is None:
            return "not measured"
        if not self.is_missed:
            return "holds"
        return f"missed by {(self.value / self.target.limit - 1) * 100:.0f} %"


def ratio(text: str, limit: float, key: Key, base: Key) -> Target:
    """Return a target for one series as a multiple of another."""
    return Target(text, limit, "x", lambda results: results.ratio(key, base))


def figure(text: str, limit: float, unit: str, key: Key) -> Target:
    """Return a target for the median of a series, in its own unit."""
    return Target(text, limit, unit, lambda results: results.median(key))
