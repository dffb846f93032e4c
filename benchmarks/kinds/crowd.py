"""10 000 idle peers on one worker, while 64 connections make 1000 requests a second.

The idle ones answer the server's pings, as clients do. Requests are sent when they are due,
whatever has become of the earlier ones, and their latency counts from then on.

Each server has its crowd alone: two crowds are more than the files that a process may
usually have open. So there are no ratios here. And there is one measurement, longer than
it takes until everybody has been pinged: the median of several would leave out what
happens rarely, which is what percentiles of latencies are about.

What it should be: the 99th percentile of the latencies at most 20 ms.
"""

from __future__ import annotations

from functools import partial
from typing import Mapping, Sequence

from .. import machine
from ..catalogue import FLASK_SOCK, OURS, PROTOO_SERVER, Entry
from ..client import Client
from ..open_loop import run_open_loop
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import figure
from .kind import Kind, Metric, latencies_in_ms

SHARES = (50, 95, 99, 99.9)


def run(run: Run) -> None:
    """Connect the crowd of each server, and measure."""
    size = affordable(run, run.sizes.crowd)
    for entry in run.choose(OURS, PROTOO_SERVER, FLASK_SOCK):
        run_one(run, entry, size)


def affordable(run: Run, wanted: int) -> int:
    """Return how large a crowd may be; note it when that is not what was wanted."""
    spare = run.sizes.connections + 100
    size = min(wanted, machine.raise_file_limit() - spare)
    if size < wanted:
        run.results.leave_out(
            f"crowds of {wanted} peers: {size} it was, for a process may not have more files "
            f"open here (ulimit -n)"
        )
    return size


def run_one(run: Run, entry: Entry, size: int) -> None:
    """Connect a crowd and measure."""
    run.say(f"crowd: connecting {size} peers to {entry.name}")
    with run.start([entry]) as [server]:
        with server.clients(size, prefix="idle") as idle:
            connections, exchanges = run.sizes.connections, run.sizes.exchanges
            with server.clients(connections, exchanges, others=idle) as callers:
                run_open_loop(callers, idle, run.sizes.crowd_rate, run.sizes.first_warm_up)
                subject = partial(measure, run, server, callers, idle)
                run.alternate("crowd", {server.name: subject}, rounds=1)


def measure(
    run: Run, server: Server, callers: Sequence[Client], idle: Sequence[Client]
) -> Mapping[str, float]:
    """Let some talk for a while."""
    sizes = run.sizes
    before = server.cpu_seconds()
    latencies = run_open_loop(callers, idle, sizes.crowd_rate, sizes.crowd_seconds)
    busy = (server.cpu_seconds() - before) / sizes.crowd_seconds
    return {**latencies_in_ms(latencies, *SHARES), "busy": busy * 100, "peers": len(idle)}


KIND = Kind(
    "crowd",
    "latency at 1000 requests a second, with 10 000 idle peers",
    run,
    (*(Metric(f"p{share:g}", f"p{share:g}", "ms") for share in SHARES), Metric("busy", "CPU", "%")),
    (figure("p99 with 10 000 idle peers", 20, "ms", Key("crowd", OURS, "p99")),),
    has_ratio=False,
)
