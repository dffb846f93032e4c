"""A cluster: relays and broadcasts across workers, beside the same within one.

    python dev.py bench cluster [--rounds N] [--only relay,broadcast]

A relay is a message of a client to another one, and its answer back. The sender is at worker A,
and the other one at worker A, too ("within") or at worker B ("across"). CPU is that of A and B
together; that of Redis is shown beside it. So many senders wait for their answers at a time: 64, 8
or 1. The three servers have one processor, and the load generator the other.

Flask-SocketIO with Redis as its message queue does the same, since that is the usual way: each
message is an event to the room of its recipient, and its answer is an event back.

A broadcast is one notification to 1000 clients: all at one worker, or 250 at each of four.

Needs redis-server.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Iterator, Mapping, Sequence

from . import accounting, machine, stats
from .catalogue import CATALOGUE, FLASK_SOCKETIO, OURS, Entry
from .client import HOST
from .kinds.broadcast import TALKS, join, measure_room
from .kinds.relay import learn_messages
from .load import run_closed_loop
from .process import Server, ServerFailed
from .tables import Table, as_text, number
from .wires import WrongAnswer

IN_FLIGHT = (64, 8, 1)

#: {senders at a time: the most that a relay across workers may cost, as a multiple of one within}
TARGETS = {64: 1.5, 8: 2.2, 1: 3.5}

SECONDS, WARM_UP = 0.5, 0.2
RECIPIENTS = 1000
WORKERS = 4


class Redis:
    """A redis-server of its own, without persistence."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        self.url = f"redis://{HOST}:{port}"
        self._directory = tempfile.TemporaryDirectory()
        options = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        with machine.bound(machine.processors()[0]):
            self._process = subprocess.Popen(
                ["redis-server", *options, "--dir", self._directory.name],
                stdout=subprocess.DEVNULL,
            )
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
                return
            time.sleep(0.05)
        raise ServerFailed("redis-server has not started")

    def cpu_seconds(self) -> float:
        return accounting.cpu_seconds(self._process.pid)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._directory.cleanup()


class Workers:
    """Some workers of one site, and their Redis."""

    def __init__(self, entry: Entry, count: int, redis: Redis) -> None:
        self.redis = redis
        self.servers: list[Server] = []
        for index in range(count):
            environment = {**entry.environment, "BENCH_REDIS_URL": redis.url}
            name = f"{entry.name}, worker {index + 1}"
            self.servers.append(Server(entry._replace(name=name, environment=environment)))

    def cpu_seconds(self) -> float:
        """Return the CPU time of all workers so far."""
        return sum(server.cpu_seconds() for server in self.servers)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


@contextlib.contextmanager
def started(name: str, count: int) -> Iterator[Workers]:
    """Start a Redis, and workers of this kind of server."""
    redis = Redis()
    try:
        workers = Workers(CATALOGUE[name], count, redis)
        try:
            yield workers
        finally:
            workers.stop()
    finally:
        redis.stop()


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


def compare_relays(name: str, rounds: int) -> dict[int, float]:
    """Print the table of one kind of server; returns ``{senders at a time: ratio}``."""
    title = ("in flight", "within, µs", "across, µs", "ratio", "with Redis")
    table: Table = [(*title, "p50 / p99 within, ms", "across, ms")]
    ratios: dict[int, float] = {}
    with started(name, 2) as workers:
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


def measure_broadcast(count: int) -> Mapping[str, float]:
    """Let one member of a room talk to 1000 others at so many workers."""
    with started(OURS, count) as workers, contextlib.ExitStack() as stack:
        clients = []
        for index, server in enumerate(workers.servers):
            share = RECIPIENTS // count + (index == 0)
            clients += stack.enter_context(server.clients(share, prefix=f"w{index}-"))
        join(clients)
        measure_room(workers.cpu_seconds, clients)
        before = workers.redis.cpu_seconds()
        cpu = measure_room(workers.cpu_seconds, clients)
        of_redis = (workers.redis.cpu_seconds() - before) / (TALKS * RECIPIENTS) * 1e6
    return {"cpu": cpu, "with redis": cpu + of_redis}


def compare_broadcasts(rounds: int) -> None:
    """Print what a recipient costs at one worker, and at four."""
    one, several = [], []
    for index in range(rounds):
        one.append(measure_broadcast(1))
        several.append(measure_broadcast(WORKERS))
        say(f"broadcast: round {index + 1} of {rounds}")
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
    print(f"\nA message to a room of {RECIPIENTS} members\n\n{as_text(table)}\n")


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
    parser.add_argument("--only", metavar="PARTS", default="relay,broadcast")
    options = parser.parse_args(args)
    if shutil.which("redis-server") is None:
        print("there is no redis-server here", file=sys.stderr)
        return 1
    machine.bind(machine.processors()[1])
    machine.raise_file_limit()
    missed = False
    try:
        if "relay" in options.only.split(","):
            ratios = compare_relays(OURS, options.rounds)
            for count, target in TARGETS.items():
                verdict = "holds" if ratios[count] <= target else "is missed"
                missed = missed or ratios[count] > target
                print(f"{count} in flight: {ratios[count]:.2f}, at most {target}: {verdict}")
            if CATALOGUE[FLASK_SOCKETIO].obstacle() is None:
                compare_relays(FLASK_SOCKETIO, options.rounds)
        if "broadcast" in options.only.split(","):
            compare_broadcasts(min(options.rounds, 3))
    except (WrongAnswer, ServerFailed, OSError) as error:
        print(f"\nfailed: {error!r}", file=sys.stderr)
        return 1
    return int(missed)
