"""What a peer costs in a cluster: its handshake, and its memory while it is idle.

The worker without a cluster and the worker in one take turns, as always. A handshake claims the
device in Redis; one after the other here: benchmarks/registry.py has many at a time.
"""

from __future__ import annotations

import itertools
import time
from typing import Callable, Iterator, Mapping

from . import stats
from .catalogue import CATALOGUE, OURS
from .cluster_workers import started
from .kinds.memory import weigh
from .process import Server
from .tables import Table, as_text, number

HANDSHAKES = 200
#: Seconds in which a server finishes its work after the answer to the last handshake.
AFTERWORK = 0.05
IDLE = 1000


def compare_handshakes(rounds: int) -> str:
    """Return a table: a handshake without a cluster, and with the claim."""
    numbers = itertools.count()
    alone, claimed = [], []
    plain = Server(CATALOGUE[OURS])
    try:
        with started(OURS, 1) as workers:
            [clustered] = workers.servers
            for index in range(rounds + 1):
                figures = [
                    _shake_hands(plain, numbers, lambda: 0.0),
                    _shake_hands(clustered, numbers, workers.redis.cpu_seconds),
                ]
                if index:  # the first round is for warming up
                    alone.append(figures[0])
                    claimed.append(figures[1])
    finally:
        plain.stop()
    ratio = stats.median([two["cpu"] / one["cpu"] for one, two in zip(alone, claimed)])
    table: Table = [
        ("a handshake", "CPU of the worker, µs", "ratio", "of Redis, µs"),
        ("without a cluster", number(_median(alone, "cpu")), "1", ""),
        (
            "in a cluster",
            number(_median(claimed, "cpu")),
            f"{ratio:.2f}",
            number(_median(claimed, "redis")),
        ),
    ]
    return f"\n{as_text(table)}\n"


def _shake_hands(
    server: Server, numbers: Iterator[int], redis_seconds: Callable[[], float]
) -> Mapping[str, float]:
    before, redis_before = server.cpu_seconds(), redis_seconds()
    clients = [server.connect(next(numbers)) for _ in range(HANDSHAKES)]
    time.sleep(AFTERWORK)
    figures = {
        "cpu": (server.cpu_seconds() - before) / HANDSHAKES * 1e6,
        "redis": (redis_seconds() - redis_before) / HANDSHAKES * 1e6,
    }
    for client in clients:
        client.close()
    server.settle()
    return figures


def _median(rounds: list[Mapping[str, float]], metric: str) -> float:
    return stats.median([figures[metric] for figures in rounds])


def weigh_peers() -> str:
    """Return a table: what the second thousand idle connections take."""
    plain = Server(CATALOGUE[OURS])
    try:
        alone = _weigh(plain)
    finally:
        plain.stop()
    with started(OURS, 1) as workers:
        clustered = _weigh(workers.servers[0])
    table: Table = [
        ("an idle connection", "memory of the worker, KiB"),
        ("without a cluster", number(alone)),
        ("in a cluster", number(clustered)),
    ]
    return f"\n{as_text(table)}\n"


def _weigh(server: Server) -> float:
    """Return KiB for each of the second thousand connections."""
    with server.clients(IDLE, learn=1):
        first = weigh(server)
        with server.clients(IDLE, learn=1, prefix="second"):
            after = weigh(server)
    assert first is not None
    assert after is not None
    return (after - first) / IDLE / 1024
