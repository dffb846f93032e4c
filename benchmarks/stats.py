"""Medians, spreads and percentiles."""

from __future__ import annotations

import math
import statistics
from typing import Sequence


def median(values: Sequence[float]) -> float:
    """Return the median: a round that was disturbed does not move it."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` percent of all do not exceed.

    One that has occurred (nearest rank), not one in between: of latencies, the rare and
    large ones are what one wants to know.

    >>> percentile([5, 1, 4, 2, 3], 50), percentile(range(1, 1001), 99.9)
    (3, 999)
    """
    if not values:
        raise ValueError("no values")
    rank = math.ceil(len(values) * share / 100)
    return sorted(values)[max(rank, 1) - 1]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return between which values the middle half of all is (the quartiles)."""
    return percentile(values, 25), percentile(values, 75)
