"""Medians, spreads and percentiles."""

from __future__ import annotations

import math
import statistics
from typing import Sequence


def median(values: Sequence[float]) -> float:
    """Return the median, which a single disturbed round does not change much."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value such that at least ``share`` percent of all are not above it.

    The result is always one of the values (nearest rank), without interpolation: a percentile
    of latencies should show the rare and large ones that have really occurred.

    >>> percentile([5, 1, 4, 2, 3], 50), percentile(range(1, 1001), 99.9)
    (3, 999)
    """
    if not values:
        raise ValueError("no values")
    rank = math.ceil(len(values) * share / 100)
    return sorted(values)[max(rank, 1) - 1]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile; half of the values are between them."""
    return percentile(values, 25), percentile(values, 75)
