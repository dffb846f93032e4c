"""What the registry of a cluster costs: claims, lookups, the rebuild of an emptied Redis.

    python benchmarks/registry.py [ROUNDS]

It starts a redis-server of its own, and has two nodes on gevent's hub in this process. CPU time is
that of this process and, beside it, that of Redis. Each round measures everything once, in turn,
and the figures are medians of the rounds: compare them with the ``PING`` of the same run, not with
those of another run.

=================  ==========================================================================
row                what is measured
=================  ==========================================================================
ping               one command, one at a time: what any question to Redis costs
claim, release     of a device, one at a time
64 claims          in flight at the same time, as when many clients connect
find, cached       of a user that is in the cache
find, not cached   of a user that is not
64 finds           of users that are not, at the same time
invalidation       a watched user changes at the other node: until the watcher is told
=================  ==========================================================================

The rebuild is wall time: from FLUSHALL until two nodes, with half of the peers each, are up again.
Memory is the growth of Redis by as many devices, and when each node then looks their users up.
"""

from __future__ import annotations

import logging
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gevent
import gevent.queue

from benchmarks.accounting import cpu_seconds
from protoo_flask.cluster.keys import Keys
from protoo_flask.cluster.opening import RedisAddress
from protoo_flask.cluster.redis_cluster import RedisCluster
from protoo_flask.core.cluster.protocol import UP
from protoo_flask.transport.greenlets.loop import GreenletLoop
from tests.cluster.redis_servers import RedisServer
from tests.cluster.registry_nodes import NotingHost

ROUNDS = 9
#: Operations in one measurement.
COUNT = 1000
IN_FLIGHT = 64
REBUILT_PEERS = 10_000


class Site:
    """Two nodes, and a Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.loop = GreenletLoop()
        self.hosts = [NotingHost(), NotingHost()]
        self.nodes = [self._join(host) for host in self.hosts]
        self.number = 0

    def _join(self, host: NotingHost) -> Any:
        logger = logging.getLogger("benchmark")
        node = RedisCluster(RedisAddress(self.server.url), "bench", "", 10.0, self.loop, logger)
        node.start(host)
        assert node.status == UP, node.reason
        return node

    def names(self, count: int) -> list[str]:
        self.number += count
        return [f"user{number}" for number in range(self.number - count, self.number)]

    # The rows ------------------------------------------------------------------------------

    def ping(self) -> int:
        writer = self.nodes[0]._wires.writer
        for _ in range(COUNT):
            writer.call(b"PING")
        return COUNT

    def claim(self) -> int:
        node = self.nodes[0]
        for name in self.names(COUNT):
            self._release(node.claim(name, "device", b"", 16).token, name)
        return COUNT

    def _release(self, token: int, name: str) -> None:
        self.nodes[0].release(name, "device", token, lambda release: None)

    def claim_many(self) -> int:
        names = self.names(COUNT)
        node = self.nodes[0]
        tokens = self._in_flight(lambda name: (name, node.claim(name, "device", b"", 16)), names)
        for name, claim in tokens:
            self._release(claim.token, name)
        node.find("nobody")
        return COUNT

    def find_cached(self) -> int:
        find = self.nodes[0].find
        find("nobody")
        for _ in range(100 * COUNT):
            find("nobody")
        return 100 * COUNT

    def find(self) -> int:
        for name in self.names(COUNT):
            self.nodes[0].find(name)
        return COUNT

    def find_many(self) -> int:
        self._in_flight(self.nodes[0].find, self.names(COUNT))
        return COUNT

    def invalidate(self) -> int:
        a, b = self.nodes
        states: Any = gevent.queue.Queue()

        def tell(user: Any) -> None:
            states.put([place.online for place in user.places])

        def wait(online: bool) -> None:
            while states.get() != [online]:
                pass

        claim = a.claim("watched", "device", b"", 16)
        b.watch("watched", tell)
        wait(True)
        count = COUNT // 10
        for number in range(count):
            a.mark("watched", "device", claim.token, bool(number % 2))
            wait(bool(number % 2))
        self._release(claim.token, "watched")
        b.unwatch("watched", tell)
        return count

    def _in_flight(self, function: Callable[[str], Any], names: list[str]) -> list[Any]:
        found: list[Any] = []

        def work(some: list[str]) -> None:
            found.extend(map(function, some))

        gevent.joinall([gevent.spawn(work, names[i::IN_FLIGHT]) for i in range(IN_FLIGHT)])
        return found

    # The rebuild -----------------------------------------------------------------------------

    def rebuild(self) -> tuple[float, float]:
        """Return the seconds of it, and those of CPU time here."""
        for index, host in enumerate(self.hosts):
            host.notes.clear()
            for number in range(REBUILT_PEERS // 2):
                host.peers[f"peer{index}-{number}", "device"] = (b"", 60.0, True)
        before, began = time.process_time(), time.perf_counter()
        writer = self.nodes[0]._wires.writer
        writer.ask(None, b"FLUSHALL")
        keys = Keys("bench")
        while not (
            all(len(host.noted("claimed")) == REBUILT_PEERS // 2 for host in self.hosts)
            and all(node.status == UP for node in self.nodes)
        ):
            gevent.sleep(0.01)
        seconds = time.perf_counter() - began, time.process_time() - before
        for index, node in enumerate(self.nodes):
            key = keys.claims(node.node)
            assert node._wires.writer.call(b"SCARD", key) == REBUILT_PEERS // 2, index
            self.hosts[index].peers.clear()
        return seconds

    # Memory ----------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        about = self.nodes[0]._wires.writer.call(b"INFO", b"memory").decode()
        found = re.search(r"used_memory:(\d+)", about)
        assert found is not None
        return int(found.group(1))

    def weigh(self) -> list[float]:
        """Return bytes: of a device; and of its user, whom one node, and another one, looks up."""
        names = self.names(REBUILT_PEERS)
        weights = [self.used_bytes()]
        for name in names:
            self.nodes[0].claim(name, f"device-of-{name}", b"", 16)
        weights.append(self.used_bytes())
        for node in self.nodes:
            for name in names:
                node.find(name)
            weights.append(self.used_bytes())
        return [(after - before) / len(names) for before, after in zip(weights, weights[1:])]

    def close(self) -> None:
        for node in self.nodes:
            node.close()


ROWS = {
    "ping": Site.ping,
    "claim, release": Site.claim,
    "64 claims": Site.claim_many,
    "find, cached": Site.find_cached,
    "find, not cached": Site.find,
    "64 finds": Site.find_many,
    "invalidation": Site.invalidate,
}


def measure(site: Site, row: Callable[[Site], int], pid: int) -> tuple[float, float, float]:
    """Return microseconds of an operation: CPU time here, and of Redis, and wall time."""
    here, redis, began = time.process_time(), cpu_seconds(pid), time.perf_counter()
    count = row(site)
    wall = time.perf_counter() - began
    gevent.sleep(0.01)  # what was sent without waiting is handled, too
    return (
        1e6 * (time.process_time() - here) / count,
        1e6 * (cpu_seconds(pid) - redis) / count,
        1e6 * wall / count,
    )


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        assert server._process is not None
        pid = server._process.pid
        try:
            site = Site(server)
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ROWS}
            for number in range(rounds + 1):
                for name, row in ROWS.items():
                    figures = measure(site, row, pid)
                    if number:  # the first round is for warming up
                        found[name].append(figures)
            report(found)
            rebuilds = [site.rebuild() for _ in range(3)]
            wall, cpu = (statistics.median(part) for part in zip(*rebuilds))
            print(f"\nrebuild of {REBUILT_PEERS} peers: {wall:.2f} s, {cpu:.2f} s of CPU time here")
            device, first, second = site.weigh()
            print(
                f"Redis: {device:.0f} bytes for a device, {first:.0f} for a user that one worker "
                f"has looked up, {second:.0f} for each further worker"
            )
            site.close()
        finally:
            server.stop()


def report(found: dict[str, list[tuple[float, float, float]]]) -> None:
    print("                     CPU here       of Redis       wall     CPU here / ping")
    for name, figures in found.items():
        here, redis, wall = (statistics.median(part) for part in zip(*figures))
        ratio = statistics.median(mine[0] / ping[0] for mine, ping in zip(figures, found["ping"]))
        print(f"{name:18} {here:8.2f} us {redis:11.2f} us {wall:9.2f} us {ratio:12.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
