"""A cluster: relays and broadcasts across workers, beside the same within one.

    python dev.py bench cluster [--rounds N]
    python dev.py bench cluster --only relay,floor,broadcast,presence,handshake,memory
    python dev.py bench cluster --only relay --apart

A relay is a message of a client to another one, and its answer back. The sender is at worker A,
and the other one at worker A, too ("within") or at worker B ("across"). CPU is that of A and B
together; that of Redis is shown beside it. So many senders wait for their answers at a time: 64, 8
or 1. The three servers have one processor, and the load generator the other. With ``--apart``,
worker A has a processor of its own, as in most deployments; worker B and Redis then share that of
the load generator. On one processor, each frame makes three processes run in turn, and each of
them finds the caches filled by the one before.

The floor tells what no design of a cluster can save; :mod:`.cluster_floor` measures it.

Flask-SocketIO with Redis as its message queue does the same, since that is the usual way: each
message is an event to the room of its recipient, and its answer is an event back.

A broadcast is one notification to 1000 clients: all at one worker, or 250 at each of four. A change
of presence is told to as many watchers. Handshakes and the memory of idle connections are those of
one worker without a cluster, and of one in a cluster; :mod:`.cluster_peers` has them.

Needs redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from typing import Callable, Iterator, Mapping, Sequence

from . import cluster_floor, cluster_peers, machine, stats
from .catalogue import CATALOGUE, FLASK_SOCKETIO, OURS
from .client import Client
from .cluster_workers import Workers, started
from .kinds import presence
from .kinds.broadcast import TALKS, join, measure_room
from .kinds.relay import learn_messages
from .load import run_closed_loop
from .process import ServerFailed
from .tables import Table, as_text, number
from .wires import WrongAnswer

IN_FLIGHT = (64, 8, 1)

#: {senders at a time: the most that a relay across workers may cost, as a multiple of one within}
TARGETS = {64: 1.5, 8: 2.2, 1: 3.5}

PARTS = "relay,floor,broadcast,presence,handshake,memory"

SECONDS, WARM_UP = 0.5, 0.2
RECIPIENTS = 1000
WORKERS = 4


# Relays ---------------------------------------------------------------------------------


def measure_relays(workers: Workers, count: int, is_across: bool) -> Mapping[str, float]:
    """Let so many senders write to their peers for a while; microseconds and milliseconds."""
    first, second = workers.servers
    other = second if is_across else first
    with first.clients(count) as senders, other.clients(count, prefix="peer") as peers:
        learn_messages(senders, peers, 8)
        run_closed_loop(senders, WARM_UP, peers)
        before, redis_before = workers.cpu_seconds(), workers.redis.cpu_seconds()
        latencies = run_closed_loop(senders, SECONDS, peers)
        cpu = workers.cpu_seconds() - before
        of_redis = workers.redis.cpu_seconds() - redis_before
    return {
        "cpu": cpu / len(latencies) * 1e6,
        "with redis": (cpu + of_redis) / len(latencies) * 1e6,
        "p50": stats.percentile(latencies, 50) * 1000,
        "p99": stats.percentile(latencies, 99) * 1000,
    }


def compare_relays(name: str, rounds: int, are_apart: bool = False) -> dict[int, float]:
    """Print the table of one kind of server; returns ``{senders at a time: ratio}``.

    :param are_apart: whether the second worker and Redis are on the other processor.
    """
    title = ("in flight", "within, µs", "across, µs", "ratio", "with Redis")
    table: Table = [(*title, "p50 / p99 within, ms", "across, ms")]
    ratios: dict[int, float] = {}
    with started(name, 2) as workers:
        if are_apart:
            workers.move_apart()
        for count in IN_FLIGHT:
            within, across = [], []
            for index in range(rounds):
                within.append(measure_relays(workers, count, is_across=False))
                across.append(measure_relays(workers, count, is_across=True))
                say(f"{name}: {count} in flight, round {index + 1} of {rounds}")
            ratios[count] = find_ratio(across, "cpu", within, "cpu")
            table.append(
                (
                    str(count),
                    number(find_median(within, "cpu")),
                    number(find_median(across, "cpu")),
                    f"{ratios[count]:.2f}",
                    f"{find_ratio(across, 'with redis', within, 'cpu'):.2f}",
                    " / ".join(number(find_median(within, metric)) for metric in ("p50", "p99")),
                    " / ".join(number(find_median(across, metric)) for metric in ("p50", "p99")),
                )
            )
    print(f"\nA relay, {name}\n\n{as_text(table)}\n")
    return ratios


# Broadcasts -----------------------------------------------------------------------------


@contextlib.contextmanager
def spread(count: int) -> Iterator[tuple[Workers, list[Client]]]:
    """Start so many workers, with 1001 clients at all of them together."""
    with started(OURS, count) as workers, contextlib.ExitStack() as stack:
        clients = []
        for index, server in enumerate(workers.servers):
            share = RECIPIENTS // count + (index == 0)
            clients += stack.enter_context(server.clients(share, prefix=f"w{index}-"))
        yield workers, clients


def measure_broadcast(count: int) -> Mapping[str, float]:
    """Let one member of a room talk to 1000 others at so many workers."""
    with spread(count) as (workers, clients):
        join(clients)
        measure_room(workers.cpu_seconds, clients)
        before = workers.redis.cpu_seconds()
        cpu = measure_room(workers.cpu_seconds, clients)
        of_redis = (workers.redis.cpu_seconds() - before) / (TALKS * RECIPIENTS) * 1e6
    return {"cpu": cpu, "with redis": cpu + of_redis}


def measure_presence(count: int) -> Mapping[str, float]:
    """Tell 1000 watchers at so many workers what one user publishes."""
    with spread(count) as (workers, [watched, *watchers]):
        presence.subscribe(watched, watchers)
        presence.measure(workers.cpu_seconds, watched, watchers)
        before = workers.redis.cpu_seconds()
        cpu = presence.measure(workers.cpu_seconds, watched, watchers)["cpu"]
        of_redis = (workers.redis.cpu_seconds() - before) / (presence.CHANGES * RECIPIENTS) * 1e6
    return {"cpu": cpu, "with redis": cpu + of_redis}


def compare_fan_outs(
    title: str, measure: Callable[[int], Mapping[str, float]], rounds: int
) -> None:
    """Print what a recipient costs at one worker, and at four."""
    one, several = [], []
    for index in range(rounds):
        one.append(measure(1))
        several.append(measure(WORKERS))
        say(f"{title}: round {index + 1} of {rounds}")
    ratio = find_ratio(several, "cpu", one, "cpu")
    table: Table = [
        ("workers", "CPU for each recipient, µs", "ratio", "with Redis"),
        ("1", number(find_median(one, "cpu")), "1", ""),
        (
            str(WORKERS),
            number(find_median(several, "cpu")),
            f"{ratio:.2f}",
            f"{find_ratio(several, 'with redis', one, 'cpu'):.2f}",
        ),
    ]
    print(f"\n{title}\n\n{as_text(table)}\n")


# The command ----------------------------------------------------------------------------


def find_median(rounds: Sequence[Mapping[str, float]], metric: str) -> float:
    """Return the median over the rounds."""
    return stats.median([figures[metric] for figures in rounds])


def find_ratio(
    above: Sequence[Mapping[str, float]],
    metric: str,
    below: Sequence[Mapping[str, float]],
    base: str,
) -> float:
    """Return the median of the ratios within each round."""
    return stats.median([a[metric] / b[base] for a, b in zip(above, below)])


def say(text: str) -> None:
    print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)


def main(args: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="dev.py bench cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", metavar="PARTS", default=PARTS)
    parser.add_argument("--apart", action="store_true", help="worker A has a processor of its own")
    options = parser.parse_args(args)
    parts = options.only.split(",")
    if shutil.which("redis-server") is None:
        print("there is no redis-server here", file=sys.stderr)
        return 1
    machine.bind(machine.processors()[1])
    machine.raise_file_limit()
    missed = False
    try:
        if "relay" in parts:
            ratios = compare_relays(OURS, options.rounds, options.apart)
            for count, target in TARGETS.items():
                verdict = "holds" if ratios[count] <= target else "is missed"
                missed = missed or ratios[count] > target
                print(f"{count} in flight: {ratios[count]:.2f}, at most {target}: {verdict}")
            if CATALOGUE[FLASK_SOCKETIO].obstacle() is None:
                compare_relays(FLASK_SOCKETIO, options.rounds, options.apart)
        if "floor" in parts:
            print(cluster_floor.compare_floors(options.rounds))
            print(cluster_floor.compare_turns(options.rounds))
        if "broadcast" in parts:
            title = f"A message to a room of {RECIPIENTS} members"
            compare_fan_outs(title, measure_broadcast, min(options.rounds, 3))
        if "presence" in parts:
            title = f"A change of presence, told to {RECIPIENTS} watchers"
            compare_fan_outs(title, measure_presence, min(options.rounds, 3))
        if "handshake" in parts:
            print(cluster_peers.compare_handshakes(options.rounds))
        if "memory" in parts:
            print(cluster_peers.weigh_peers())
    except (WrongAnswer, ServerFailed, OSError) as error:
        print(f"\nfailed: {error!r}", file=sys.stderr)
        return 1
    return int(missed)
