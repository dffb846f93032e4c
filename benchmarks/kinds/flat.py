"""What a request costs with 10, 100, 1000 and 10 000 connected peers.

As many make requests in each crowd as there are in the smallest; the others are idle. (64
in one and 10 in another would be two differences at once: how many answers a server finds
to do each time it looks matters, too.)

All on one server: processes of the same code, each with a crowd of its own, were found to
differ by a fifth. In each round the crowd grows and shrinks again, and the sizes on the
way are measured both times, so that a machine that is getting slower meanwhile is so for
all of them.

What it should cost: the same, within 15 %.
"""

from __future__ import annotations

from typing import Mapping, Sequence

from ..catalogue import OURS
from ..client import Client
from ..load import run_closed_loop
from ..process import Server
from ..results import Key, Results
from ..run import Run
from ..targets import Target
from .crowd import affordable
from .kind import CPU, Kind, WarmUp

LIMIT = 1.15
ROUNDS = 5


def run(run: Run) -> None:
    """Measure in each round."""
    sizes = [size for size in run.sizes.flat if affordable(run, size) == size]
    with run.running(OURS) as servers:
        warm_up = WarmUp(run)
        for number in range(min(ROUNDS, run.sizes.rounds)):
            for server in servers:
                run.say(f"flat: round {number + 1}, {server.name}")
                for size, cpu in grow_and_shrink(run, warm_up, server, sizes).items():
                    run.results.add("flat", peers(server.name, size), "cpu", cpu)


def grow_and_shrink(
    run: Run, warm_up: WarmUp, server: Server, sizes: Sequence[int]
) -> Mapping[int, float]:
    """Return what a request costs by the size of the crowd."""
    found: dict[int, list[float]] = {size: [] for size in sizes}
    first, *larger = sizes
    with server.clients(first, learn=run.sizes.exchanges) as callers:
        run_closed_loop(callers, warm_up.seconds(server))

        def measure_and_grow(idle: list[Client], larger: Sequence[int]) -> None:
            size = len(callers) + len(idle)
            found[size].append(measure(run, server, callers, idle))
            if not larger:
                return
            with server.clients(larger[0] - size, prefix=f"of{larger[0]}-") as more:
                measure_and_grow([*idle, *more], larger[1:])
            server.settle()
            found[size].append(measure(run, server, callers, idle))

        measure_and_grow([], larger)
    server.settle()
    return {size: sum(figures) / len(figures) for size, figures in found.items()}


def peers(server: str, size: int) -> str:
    """Name a server with its crowd."""
    return f"{server}, {size} peers"


def size_of(name: str) -> int:
    """Return how many peers are in the name that :func:`peers` has made."""
    return int(name.split()[-2])


def measure(run: Run, server: Server, callers: Sequence[Client], idle: Sequence[Client]) -> float:
    """Let some talk for a while.

    Before that, pings are answered that came in between, and garbage is collected:
    connecting thousands makes Python look through everything soon, for half a second,
    which is not what a request costs. (What that does to latencies, ``crowd`` tells.)
    """
    server.collect()
    run_closed_loop(callers, run.sizes.warm_up, idle=idle)
    before = server.cpu_seconds()
    latencies = run_closed_loop(callers, run.sizes.seconds, idle=idle)
    return (server.cpu_seconds() - before) / len(latencies) * 1e6


def unevenness(results: Results) -> float | None:
    """Return the ratio of the largest cost to the smallest, if there is more than one."""
    servers = [name for name in results.servers("flat") if name.startswith(f"{OURS}, ")]
    if len(servers) < 2:
        return None
    keys = [Key("flat", server, "cpu") for server in servers]
    ratios = [results.ratio(key, keys[0]) for key in keys]
    found = [ratio for ratio in ratios if ratio is not None]
    return max(found) / min(found)


KIND = Kind(
    "flat",
    "a request and its reply, with so many connected peers",
    run,
    (CPU,),
    (Target("the dearest crowd size, to the cheapest", LIMIT, "x", unevenness),),
)
