"""10 000 idle peers on one worker, while 64 connections make 1000 requests a second.

The idle peers answer the server's pings, as clients do. Each request is sent at its due time,
even if earlier ones are not answered yet. Its latency counts from the due time.

Only one server runs at a time, because a process usually may not open enough files for two
crowds. So there are no ratios here. There is only one measurement, long enough for a ping to
every peer. A median of several measurements would hide rare events, and high percentiles are
there to show them.

Target: the 99th percentile of the latencies is at most 20 ms.
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
    """Return the possible size of a crowd, and note it if it is less than wanted."""
    spare = run.sizes.connections + 100
    size = min(wanted, machine.raise_file_limit() - spare)
    if size < wanted:
        run.results.leave_out(
            f"crowds of {wanted} peers: only {size}, because a process may not open more files "
            f"here (ulimit -n)"
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
    """Let some clients make requests for a while."""
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
