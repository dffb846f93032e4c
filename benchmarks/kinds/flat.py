"""What a request costs with 10, 100, 1000 and 10 000 connected peers.

As many make requests in each crowd as there are in the smallest; the others are idle. (64
in one and 10 in another would be two differences at once: how many answers a server finds
to do each time it looks matters, too.)

All on one server: processes of the same code, each with a crowd of its own, were found to
differ by a fifth. In each round the crowd grows and shrinks again, and the sizes on the
way are measured both times, so that a machine that is getting slower meanwhile is so for
all of them. And because a round takes half a minute, in which a virtual machine may change
its speed, each figure is also taken as a multiple of what the floor (``recv`` and ``send``)
took right before and after; the target is for these.

What it should cost: the same, within 15 %.
"""

from __future__ import annotations

import contextlib
from typing import Sequence

from ..catalogue import CATALOGUE, FLOOR, OURS
from ..client import Client
from ..load import run_closed_loop
from ..process import Server
from ..results import Key, Results
from ..run import Run
from ..targets import Target
from .crowd import affordable
from .kind import CPU, Kind, Metric, WarmUp

LIMIT = 1.15
ROUNDS = 5


class Subject:
    """A server, its talkers, and a floor to compare with.

    :ivar found: what a request costs, in microseconds and in floors, by crowd size.
    """

    def __init__(
        self,
        run: Run,
        server: Server,
        callers: Sequence[Client],
        floor: Server,
        on_floor: Sequence[Client],
    ) -> None:
        self._run = run
        self._server = server
        self._callers = callers
        self._floor = floor
        self._on_floor = on_floor
        self.found: dict[int, list[tuple[float, float]]] = {}

    def grow_and_shrink(self, sizes: Sequence[int], idle: Sequence[Client] = ()) -> None:
        """Measure with the crowd there is, with each larger one, and with this one again."""
        size = len(self._callers) + len(idle)
        self.measure(idle)
        larger = [other for other in sizes if other > size]
        if not larger:
            return
        missing, prefix = larger[0] - size, f"of{larger[0]}-"
        present = [*self._callers, *idle]
        with self._server.clients(missing, prefix=prefix, others=present) as more:
            self.grow_and_shrink(larger, [*idle, *more])
        self._server.settle()
        self.measure(idle)

    def measure(self, idle: Sequence[Client]) -> None:
        """Let some talk for a while.

        Before that, pings are answered that came in between, and garbage is collected:
        connecting thousands makes Python look through everything soon, for half a second,
        which is not what a request costs. (What that does to latencies, ``crowd`` tells.)
        """
        seconds = self._run.sizes.seconds
        self._server.collect()
        run_closed_loop(self._callers, self._run.sizes.warm_up, idle=idle)
        before = cost(self._floor, self._on_floor, seconds / 4)
        cpu = cost(self._server, self._callers, seconds, idle)
        after = cost(self._floor, self._on_floor, seconds / 4)
        size = len(self._callers) + len(idle)
        self.found.setdefault(size, []).append((cpu, cpu / (before + after) * 2))


def cost(
    server: Server, callers: Sequence[Client], seconds: float, idle: Sequence[Client] = ()
) -> float:
    """Return the microseconds of CPU time that a request takes."""
    before = server.cpu_seconds()
    latencies = run_closed_loop(callers, seconds, idle=idle)
    return (server.cpu_seconds() - before) / len(latencies) * 1e6


def run(run: Run) -> None:
    """Measure in each round."""
    sizes = [size for size in run.sizes.flat if affordable(run, size) == size]
    warm_up = WarmUp(run)
    with contextlib.ExitStack() as stack:
        [floor] = stack.enter_context(run.start([CATALOGUE[FLOOR]]))
        learn = run.sizes.exchanges
        on_floor = stack.enter_context(floor.clients(sizes[0], learn, prefix="floor"))
        servers = stack.enter_context(run.running(OURS))
        for number in range(min(ROUNDS, run.sizes.rounds)):
            for server in servers:
                run.say(f"flat: round {number + 1}, {server.name}")
                with server.clients(sizes[0], learn) as callers:
                    run_closed_loop(callers, warm_up.seconds(server))
                    subject = Subject(run, server, callers, floor, on_floor)
                    subject.grow_and_shrink(sizes)
                server.settle()
                for size, figures in subject.found.items():
                    cpu, floors = (sum(column) / len(column) for column in zip(*figures))
                    run.results.add("flat", peers(server.name, size), "cpu", cpu)
                    run.results.add("flat", peers(server.name, size), "floors", floors)


def peers(server: str, size: int) -> str:
    """Name a server with its crowd."""
    return f"{server}, {size} peers"


def size_of(name: str) -> int:
    """Return how many peers are in the name that :func:`peers` has made."""
    return int(name.split()[-2])


def unevenness(results: Results) -> float | None:
    """Return the ratio of the largest cost to the smallest, if there is more than one."""
    servers = [name for name in results.servers("flat") if name.startswith(f"{OURS}, ")]
    if len(servers) < 2:
        return None
    keys = [Key("flat", server, "floors") for server in servers]
    ratios = [results.ratio(key, keys[0]) for key in keys]
    found = [ratio for ratio in ratios if ratio is not None]
    return max(found) / min(found) if found else None


KIND = Kind(
    "flat",
    "a request and its reply, with so many connected peers",
    run,
    (Metric("floors", "CPU, of the floor's", "x"), CPU),
    (Target("the most expensive crowd size, compared with the cheapest", LIMIT, "x", unevenness),),
)
