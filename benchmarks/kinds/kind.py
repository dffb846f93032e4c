"""The parts of a kind of measurement."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .. import stats
from ..process import Server
from ..run import Run
from ..targets import Target


class Metric(NamedTuple):
    """A figure in the report."""

    name: str
    title: str
    unit: str


class Kind(NamedTuple):
    """One kind of measurement.

    :ivar title: a description of the measured thing.
    :ivar run: measures it with all servers that support it.
    :ivar metrics: the figures in the report; the first one is also shown as a ratio to this
        project.
    """

    name: str
    title: str
    run: Callable[[Run], None]
    metrics: tuple[Metric, ...]
    targets: tuple[Target, ...] = ()
    has_ratio: bool = True


CPU = Metric("cpu", "CPU", "µs")
LATENCIES = (Metric("p50", "p50", "ms"), Metric("p99", "p99", "ms"))


def latencies_in_ms(latencies: list[float], *shares: float) -> dict[str, float]:
    """Return percentiles, as ``{"p50": milliseconds}``."""
    return {f"p{share:g}": stats.percentile(latencies, share) * 1000 for share in shares}


class WarmUp:
    """The warm-up time of a server, which is longer before its first measurement."""

    def __init__(self, run: Run) -> None:
        self._sizes = run.sizes
        self._seen: set[str] = set()

    def seconds(self, server: Server) -> float:
        if server.name in self._seen:
            return self._sizes.warm_up
        self._seen.add(server.name)
        return self._sizes.first_warm_up
