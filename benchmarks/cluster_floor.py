"""What the sharing of a relay by two processes costs, whatever they say to each other.

Two figures are measured:

* The floor: two bare processes on gevent (``servers/relay_floor.py``), joined by a Unix socket.
  They compute for as long as a site does, and have nothing to encode. Beside it: the same in one.
* A turn of a worker, on the processor of another one. Some relays within one worker are made at a
  time. Either the next ones are the same worker's, or those of another worker, which knows nothing
  of the first. All the difference is in the caches of the processor: each worker fills them anew.

The more turns the workers take for a relay, the more of the second comes on top of the first.
"""

from __future__ import annotations

import contextlib
import select
import tempfile
import time
from pathlib import Path
from typing import List, Sequence, Tuple

from . import accounting, stats
from .actors import Callee, Caller
from .catalogue import OURS, Entry
from .client import Client
from .cluster_workers import started
from .kinds.relay import learn_messages
from .load import run_closed_loop
from .process import Server
from .tables import Table, as_text, number
from .wires import Relayed

IN_FLIGHT = (64, 8, 1)
AT_A_TIME = (8, 3, 1)

#: Steps of an empty loop for each message, which has two in a relay: with them, a relay within one
#: process takes as long as one of a site.
WORK = 1000

SECONDS, WARM_UP = 0.3, 0.1

#: Senders and their peers.
Group = Tuple[List[Client], List[Client]]


# The floor ------------------------------------------------------------------------------


def compare_floors(rounds: int) -> str:
    """Return a table: a relay by one bare process, and by two."""
    table: Table = [("in flight", "within, µs", "across, µs", "ratio", "turns across")]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = []
        for own, other in (("a", "b"), ("b", "a")):
            sockets = f"{folder / own},{folder / other}"
            environment = {"BENCH_FLOOR_SOCKETS": sockets, "BENCH_FLOOR_WORK": str(WORK)}
            entry = Entry(f"floor {own}", Relayed(), "relay_floor.py", ("gevent",), environment)
            servers.append(Server(entry))
            stack.callback(servers[-1].stop)
        for count in IN_FLIGHT:
            within, across = [], []
            for _ in range(rounds):
                within.append(_measure_floor(servers, count, servers[0]))
                across.append(_measure_floor(servers, count, servers[1]))
            ratios = [two / one for (one, _), (two, _) in zip(within, across)]
            table.append(
                (
                    str(count),
                    number(stats.median([cpu for cpu, _ in within])),
                    number(stats.median([cpu for cpu, _ in across])),
                    f"{stats.median(ratios):.2f}",
                    f"{stats.median([turns for _, turns in across]):.2f}",
                )
            )
    return f"\nThe floor of a relay\n\n{as_text(table)}\n"


def _measure_floor(servers: Sequence[Server], count: int, other: Server) -> tuple[float, float]:
    """Return microseconds of both processes for a relay, and their turns."""
    with servers[0].clients(count) as senders, other.clients(count, prefix="peer") as peers:
        learn_messages(senders, peers, 8)
        run_closed_loop(senders, WARM_UP, peers)
        before, turns_before = _cpu_seconds(servers), _turns(servers)
        relays = len(run_closed_loop(senders, SECONDS, peers))
        cpu, turns = _cpu_seconds(servers) - before, _turns(servers) - turns_before
    return cpu / relays * 1e6, turns / relays


def _cpu_seconds(servers: Sequence[Server]) -> float:
    return sum(server.cpu_seconds() for server in servers)


def _turns(servers: Sequence[Server]) -> int:
    return sum(accounting.context_switches(server.pid) for server in servers)


# Turns ----------------------------------------------------------------------------------


def compare_turns(rounds: int) -> str:
    """Return a table: relays within a worker after others there, and after others elsewhere."""
    head = ("relays in a turn", "same worker, µs", "two in turn, µs", "more for a turn, µs")
    table: Table = [head]
    with started(OURS, 2) as workers, contextlib.ExitStack() as stack:
        first, second = workers.servers
        for count in AT_A_TIME:
            groups: list[Group] = []
            for index, server in enumerate((first, first, second)):
                senders = stack.enter_context(server.clients(count, prefix=f"u{count}-{index}-"))
                peers = stack.enter_context(server.clients(count, prefix=f"peer{count}-{index}-"))
                learn_messages(senders, peers, 8)
                groups.append((senders, peers))
            same: list[float] = []
            other: list[float] = []
            for _ in range(rounds):
                for found, pair in ((same, groups[:2]), (other, groups[::2])):
                    _alternate(pair, WARM_UP)
                    before = workers.cpu_seconds()
                    turns = _alternate(pair, SECONDS)
                    found.append((workers.cpu_seconds() - before) / turns * 1e6)
            table.append(
                (
                    str(count),
                    number(stats.median(same)),
                    number(stats.median(other)),
                    number(stats.median([two - one for one, two in zip(same, other)])),
                )
            )
    return f"\nA turn of a worker\n\n{as_text(table)}\n"


def _alternate(groups: Sequence[Group], seconds: float) -> int:
    """Let each group make a relay, one group after the other; returns the number of turns."""
    turns = 0
    actors: list[tuple[list[Caller], dict[int, Caller | Callee], select.epoll]] = []
    for senders, peers in groups:
        callers = [Caller(client) for client in senders]
        by_fd: dict[int, Caller | Callee] = {caller.client.fd: caller for caller in callers}
        by_fd.update((client.fd, Callee(client)) for client in peers)
        poll = select.epoll()
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        actors.append((callers, by_fd, poll))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for callers, by_fd, poll in actors:
            for caller in callers:
                caller.start()
            left = len(callers)
            while left:
                # Without waiting, which would leave the processor of the workers idle for longer.
                for fd, _ in poll.poll(0):
                    left -= by_fd[fd].finish()
            turns += 1
    for _, _, poll in actors:
        poll.close()
    return turns
