"""The targets: the limits that this project promises, and whether they hold."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .results import Key, Results


class Target(NamedTuple):
    """A figure and its limit.

    :ivar text: a name for the figure; "at most" and the limit follow it.
    :ivar value: finds the figure in the results; ``None`` if it was not measured.
    """

    text: str
    limit: float
    unit: str
    value: Callable[[Results], float | None]


class Verdict(NamedTuple):
    """A target and the measured figure."""

    target: Target
    value: float | None

    @property
    def is_missed(self) -> bool:
        return self.value is not None and self.value > self.target.limit

    @property
    def text(self) -> str:
        """Say whether the target holds, or by how much it is missed."""
        if self.value is None:
            return "not measured"
        if not self.is_missed:
            return "holds"
        return f"missed by {(self.value / self.target.limit - 1) * 100:.0f} %"


def ratio(text: str, limit: float, key: Key, base: Key) -> Target:
    """Return a target for the ratio of one series to another."""
    return Target(text, limit, "x", lambda results: results.ratio(key, base))


def figure(text: str, limit: float, unit: str, key: Key) -> Target:
    """Return a target for the median of a series, in its own unit."""
    return Target(text, limit, unit, lambda results: results.median(key))
