"""What a request costs with 10, 100, 1000 and 10 000 connected peers.

64 of them make requests, or all of them, if they are fewer; the others are idle. Each
crowd has a server of its own, and all of these have their turns.

What it should cost: the same, within 15 %.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Mapping, Sequence

from ..catalogue import OURS
from ..client import Client
from ..load import run_closed_loop
from ..process import Server
from ..results import Key, Results
from ..run import Run
from ..targets import Target
from .crowd import affordable
from .kind import CPU, Kind

LIMIT = 1.15


def run(run: Run) -> None:
    """Connect all crowds, and measure them in turn."""
    sizes = [size for size in run.sizes.flat if affordable(run, size) == size]
    subjects = {}
    with contextlib.ExitStack() as stack:
        for size in sizes:
            run.say(f"flat: connecting {size} peers")
            for server in stack.enter_context(run.running(OURS)):
                clients = stack.enter_context(server.clients(size, prefix=f"of{size}-"))
                step = max(1, size // run.sizes.connections)
                callers = clients[::step][: run.sizes.connections]
                talking = set(map(id, callers))
                idle = [client for client in clients if id(client) not in talking]
                for client in callers:
                    client.learn(run.sizes.exchanges)
                run_closed_loop(callers, run.sizes.first_warm_up, idle=idle)
                subjects[peers(server.name, size)] = partial(measure, run, server, callers, idle)
        run.alternate("flat", subjects)


def peers(server: str, size: int) -> str:
    """Name a server with its crowd."""
    return f"{server}, {size} peers"


def size_of(name: str) -> int:
    """Return how many peers are in the name that :func:`peers` has made."""
    return int(name.split()[-2])


def measure(
    run: Run, server: Server, callers: Sequence[Client], idle: Sequence[Client]
) -> Mapping[str, float]:
    """Let some talk for a while, after those pings are answered that came in between."""
    run_closed_loop(callers, run.sizes.warm_up, idle=idle)
    before = server.cpu_seconds()
    latencies = run_closed_loop(callers, run.sizes.seconds, idle=idle)
    return {"cpu": (server.cpu_seconds() - before) / len(latencies) * 1e6}


def unevenness(results: Results) -> float | None:
    """Return the ratio of the largest cost to the smallest."""
    base, *others = (
        Key("flat", server, "cpu")
        for server in results.servers("flat")
        if server.startswith(f"{OURS}, ")
    )
    ratios = [results.ratio(key, base) for key in others]
    found = [1.0, *(ratio for ratio in ratios if ratio is not None)]
    return max(found) / min(found)


KIND = Kind(
    "flat",
    "a request and its reply, with so many connected peers",
    run,
    (CPU,),
    (Target("the dearest crowd size, to the cheapest", LIMIT, "x", unevenness),),
)
