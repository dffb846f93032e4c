"""What an item between two processes of a cluster costs.

    python benchmarks/bus.py [ROUNDS]

It starts a redis-server of its own and another process, whose node answers every Ask. CPU time is
that of both processes together and, beside it, that of Redis. Each round measures everything once,
in turn, and the figures are medians of the rounds. The machine drifts: compare the figures with the
rows of redis-py in the same run, not with those of another run.

===============  ============================================================================
row              what is measured
===============  ============================================================================
one way          an Answer to the other node, 64, 8 and 1 at a time; the last of them is an
                 Ask, whose answer is awaited before the next ones are sent
there and back   an Ask to the other node, and its Answer
redis-py         ``PUBLISH`` of the same bytes, one at a time, and 64 in a pipeline: one way, and
                 nobody reads them
===============  ============================================================================
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gevent
import gevent.event
import redis

from benchmarks.accounting import cpu_seconds
from protoo_flask.cluster import make_cluster
from protoo_flask.core.cluster.items import Answer, Ask
from protoo_flask.transport.greenlets.loop import GreenletLoop
from tests.cluster.redis_servers import RedisServer
from tests.cluster.registry_nodes import NotingHost

ROUNDS = 9
#: Items in one measurement.
COUNT = 6400
IN_FLIGHT = (64, 8, 1)

#: A chat message, as a client of the browser sends it.
PAYLOAD = (
    b'{"request":true,"method":"post","path":"/message/bob","data":{"text":"See you at eight in '
    b'front of the cinema, and bring the tickets!"},"sender":{"username":"alice","uuid":"a1"}}'
)


class Site(NotingHost):
    """A node that answers, or counts answers."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__()
        prefix = "signed" if key else "plain"
        logger = logging.getLogger("bus")
        self.cluster: Any = make_cluster(url, key, prefix, loop=GreenletLoop(), logger=logger)
        self.answers = 0
        self.awaited = 0
        self.event = gevent.event.Event()

    def receive(self, node: str, item: Any) -> None:
        if type(item) is Ask:
            self.cluster.send(node, Answer(item.ask, 200, "ok", b""))
        elif item.ask >= 0:
            self.answers += 1
            if self.answers == self.awaited:
                self.event.set()

    def lost(self, node: str, items: Any) -> None:
        sys.exit("items were lost")

    def await_answers(self, count: int) -> None:
        if self.answers < count:
            self.awaited = count
            self.event.wait()
            self.event.clear()


def serve(url: str, key: str) -> None:
    """Be the other process."""
    site = Site(url, key)
    site.cluster.start(site)
    print(site.cluster.node, flush=True)
    while True:
        gevent.sleep(10)


def one_way(site: Site, other: str, in_flight: int) -> None:
    answer, ask = Answer(-1, 200, "ok", PAYLOAD), Ask(1, "bob", "b1", PAYLOAD, "alice", "site")
    for number in range(COUNT // in_flight):
        for _ in range(in_flight - 1):
            site.cluster.send(other, answer)
        site.cluster.send(other, ask)
        site.await_answers(number + 1)


def there_and_back(site: Site, other: str, in_flight: int) -> None:
    """Have each answer bring the next Ask, as the requests of as many clients would."""
    receive, left = site.receive, [COUNT - in_flight]
    ask = Ask(1, "bob", "b1", PAYLOAD, "alice", "site")

    def go_on(node: str, item: Any) -> None:
        receive(node, item)
        if left[0]:
            left[0] -= 1
            site.cluster.send(other, ask)

    site.cluster._parts.bus._receive = go_on
    for _ in range(in_flight):
        site.cluster.send(other, ask)
    site.await_answers(COUNT)
    site.cluster._parts.bus._receive = receive


def publish(client: Any, in_flight: int) -> None:
    for _ in range(COUNT // in_flight):
        pipeline = client.pipeline(transaction=False) if in_flight > 1 else client
        for _ in range(in_flight):
            pipeline.publish("nobody", PAYLOAD)
        if in_flight > 1:
            pipeline.execute()


def measure(function: Callable[[], Any], pids: list[int], redis_pid: int) -> list[float]:
    """Return microseconds of an item: CPU of the processes, of Redis, and wall."""
    before = [sum(map(cpu_seconds, pids)), cpu_seconds(redis_pid), time.perf_counter()]
    function()
    after = [sum(map(cpu_seconds, pids)), cpu_seconds(redis_pid), time.perf_counter()]
    return [(end - start) / COUNT * 1e6 for start, end in zip(before, after)]


def main(rounds: int = ROUNDS) -> None:
    figures: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        redis_pid = server._process.pid  # type: ignore[union-attr]
        others = []
        try:
            sites = {}
            for name, key in (("", ""), (", signed", "a secret")):
                prefix = [sys.executable, __file__, "--serve", server.url, key]
                other = subprocess.Popen(prefix, stdout=subprocess.PIPE, text=True)
                others.append(other)
                node = other.stdout.readline().strip()  # type: ignore[union-attr]
                site = Site(server.url, key)
                site.cluster.start(site)
                sites[name] = site, node, [os.getpid(), other.pid]
            client = redis.Redis(port=server.port)
            for _ in range(rounds):
                for name, (site, node, pids) in sites.items():
                    for in_flight in IN_FLIGHT if not name else IN_FLIGHT[:1]:
                        for function in (one_way, there_and_back):
                            site.answers = 0
                            row = f"{function.__name__.replace('_', ' ')}, {in_flight}{name}"
                            call = partial(function, site, node, in_flight)
                            found = measure(call, pids, redis_pid)
                            figures.setdefault(row, []).append(found)
                for in_flight in (64, 1):
                    row = f"redis-py publishes, {in_flight}"
                    found = measure(partial(publish, client, in_flight), [os.getpid()], redis_pid)
                    figures.setdefault(row, []).append(found)
            client.close()
            for site, _, _ in sites.values():
                site.cluster.close()
        finally:
            for other in others:
                other.kill()
                other.wait()
            server.stop()
    base = statistics.median(row[0] for row in figures["redis-py publishes, 64"])
    print(f"{'microseconds for an item':28} CPU A + B   Redis    wall   x redis-py, 64")
    for row, rows in figures.items():
        ours, theirs, wall = (statistics.median(column) for column in zip(*rows))
        print(f"{row:28} {ours:9.2f} {theirs:7.2f} {wall:7.1f}   {ours / base:.2f}")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(*sys.argv[2:4])
    else:
        main(*map(int, sys.argv[1:2]))
