"""16 requests at once on one connection, and one at a time.

Target: at once, a request is not slower than alone, neither in CPU time nor in wall time.
(If a server writes the answers one by one to a client that waits for all of them, each may
wait for a delayed TCP acknowledgement of 40 ms.)
"""

from __future__ import annotations

from functools import partial
from typing import Mapping

from ..catalogue import FLASK_SOCK, OURS, PROTOO_SERVER
from ..load import run_pipelined
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import Target, ratio
from .kind import Kind, Metric, WarmUp

DEPTH = 16


def run(run: Run) -> None:
    """Measure all servers in turn."""
    warm_up = WarmUp(run)
    with run.running(OURS, PROTOO_SERVER, FLASK_SOCK) as servers:
        run.alternate(
            "pipelined", {item.name: partial(measure, run, warm_up, item) for item in servers}
        )


def measure(run: Run, warm_up: WarmUp, server: Server) -> Mapping[str, float]:
    """Let one client make many requests at once, and then one at a time."""
    figures = {}
    with server.clients(1, learn=4 * DEPTH) as [client]:
        run_pipelined(client, warm_up.seconds(server), DEPTH)
        for depth in (DEPTH, 1):
            before = server.cpu_seconds()
            count, seconds = run_pipelined(client, run.sizes.seconds / 2, depth)
            figures[f"cpu of {depth}"] = (server.cpu_seconds() - before) / count * 1e6
            figures[f"clock of {depth}"] = seconds / count * 1e6
    return figures


def _limit(text: str, metric: str) -> Target:
    key = Key("pipelined", OURS, f"{metric} of {DEPTH}")
    return ratio(text, 1.0, key, key._replace(metric=f"{metric} of 1"))


KIND = Kind(
    "pipelined",
    f"a request, {DEPTH} at once on one connection, and alone",
    run,
    tuple(
        Metric(f"{what} of {depth}", f"{title}, {depth} at once", "µs")
        for what, title in (("cpu", "CPU"), ("clock", "clock"))
        for depth in (DEPTH, 1)
    ),
    (
        _limit(f"CPU of a request, {DEPTH} at once, compared with one at a time", "cpu"),
        _limit(f"time of a request, {DEPTH} at once, compared with one at a time", "clock"),
    ),
)
