"""What a kind of measurement consists of."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .. import stats
from ..process import Server
from ..run import Run
from ..targets import Target


class Metric(NamedTuple):
    """A figure that is shown."""

    name: str
    title: str
    unit: str


class Kind(NamedTuple):
    """One thing that is measured.

    :ivar title: what one figure is of.
    :ivar run: measures it with all servers that it is for.
    :ivar metrics: what is shown; the first one also as a ratio to this project.
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
    """How long a server is to be warmed up: longer before its first measurement."""

    def __init__(self, run: Run) -> None:
        self._sizes = run.sizes
        self._seen: set[str] = set()

    def seconds(self, server: Server) -> float:
        if server.name in self._seen:
            return self._sizes.warm_up
        self._seen.add(server.name)
        return self._sizes.first_warm_up
