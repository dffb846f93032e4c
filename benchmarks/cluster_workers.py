"""Some workers of one site, and the Redis that joins them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from typing import Iterator

from . import accounting, machine
from .catalogue import CATALOGUE, Entry
from .client import HOST
from .process import Server, ServerFailed


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

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        return accounting.cpu_seconds(self.pid)

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

    def move_apart(self) -> None:
        """Have all workers but the first, and Redis, run on the processor of the load generator."""
        for pid in (self.redis.pid, *(server.pid for server in self.servers[1:])):
            machine.move(pid, machine.processors()[1])

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
