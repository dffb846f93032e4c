"""The cost of a request with 10, 100, 1000 and 10 000 connected peers.

The number of peers that make requests is the same in each crowd: the size of the smallest
one. All other peers are idle. (With 10 callers in one crowd and 64 in another, two things
would differ: the cost also depends on how many requests wait each time the server looks.)

All sizes are measured on one server: two processes of the same code, each with its own crowd,
differed by up to a fifth. In each round the crowd grows and shrinks again, and each size on the
way is measured both times. So a machine that becomes slower during the round does so for all
sizes. A round takes half a minute, in which a virtual machine may change its speed. So each
figure is also divided by the cost of the floor (``recv`` and ``send``) right before and after.
The target is for these quotients.

Target: the same cost, within 15 %.
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
    """A server, its callers, and a floor to compare with.

    :ivar found: the cost of a request, in microseconds and in floors, by crowd size.
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
        """Measure with the current crowd, with each larger one, and with this one again."""
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
        """Let the callers make requests for a while.

        Before that, the idle clients answer waiting pings, and the server collects garbage.
        After thousands of new connections Python soon runs a full collection, which takes half
        a second and is not part of the cost of a request. (``crowd`` shows its effect on
        latencies.)
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
    """Return the CPU time of a request in microseconds."""
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
    """Return the number of peers in a name made by :func:`peers`."""
    return int(name.split()[-2])


def unevenness(results: Results) -> float | None:
    """Return the ratio of the largest cost to the smallest, if there are several sizes."""
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
