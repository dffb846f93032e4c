"""The servers of the soak: a Redis, and workers of gunicorn, each with a port of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

from tests.cluster.redis_servers import find_port, find_program

from . import site

ROOT = Path(__file__).resolve().parents[2]

#: Of gunicorn: one worker process, and time for the drain of the site.
OPTIONS = ["-k", "gevent", "--graceful-timeout", f"{site.DRAIN_TIMEOUT + 3:g}"]

#: Seconds for a server to start, or to end.
PATIENCE = 30.0

_BOOTING = r"Booting worker with pid: (\d+)"


class Redis:
    """A redis-server without persistence."""

    def __init__(self) -> None:
        self.port = find_port()
        self._directory = tempfile.TemporaryDirectory(prefix="soak-redis-")
        self.start()

    def start(self) -> None:
        """Start it; it is empty."""
        command = [find_program(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", self._directory.name]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.ask("PING")
                return
            time.sleep(0.05)
        raise TimeoutError("redis-server has not started")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def ask(self, *words: str) -> bytes:
        """Send a command; returns the first line of the reply, or all of an array's."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall((" ".join(words) + "\r\nQUIT\r\n").encode())
            with sock.makefile("rb") as file:
                return file.read()

    def list_keys(self) -> list[str]:
        """Return all keys, without those of users of whom only the last visit is remembered."""
        lines = self.ask("KEYS", "*").decode().split("\r\n")
        keys = sorted(line for line in lines if line and line[0] not in "*$+")
        return [key for key in keys if not self._is_of_the_past(key)]

    def _is_of_the_past(self, key: str) -> bool:
        if not key.startswith("soak:u:"):
            return False
        has_devices = any(line.startswith(b"d:") for line in self.ask("HKEYS", key).split(b"\r\n"))
        return not has_devices and b"\r\n:-1\r\n" not in b"\r\n" + self.ask("TTL", key)

    def kill(self) -> None:
        """End it; what it knows is lost."""
        self._process.kill()
        self._process.wait(PATIENCE)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill()
        self._directory.cleanup()


class Process:
    """A server's process, or the process above its workers, and its log.

    :ivar port: of the server.
    :ivar page_port: of its pages; another one than the port where TLS ends in the server.
    :ivar pid: of the process that serves.
    """

    port = 0
    page_port = 0
    pid = 0

    def __init__(self, number: int, command: Sequence[str], **environment: str) -> None:
        self.number = number
        self._command = command
        self._environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        self._log = tempfile.NamedTemporaryFile("w+b", prefix=f"soak-{number}-")  # noqa: SIM115
        self._start()

    def _start(self) -> None:
        # What runs in the background of a shell ignores SIGINT, and children inherit that.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self._process = subprocess.Popen(
                [sys.executable, *self._command],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
        finally:
            signal.signal(signal.SIGINT, previous)

    def _wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.findall(pattern, self.output())
            if found:
                return found[-1]
            time.sleep(0.05)
        raise TimeoutError(f"never printed {pattern}:\n{self.output()}")

    def output(self) -> str:
        """Return the log so far; of a process that was stopped, all of it."""
        if self._log.closed:
            return self._whole_log
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the process that serves hang meanwhile."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def get(self, path: str) -> Any:
        """GET a page of JSON."""
        port = self.page_port or self.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._whole_log = self.output()
            self._log.close()


class Worker(Process):
    """A gunicorn with one worker process.

    :param options: more of gunicorn's.
    """

    def __init__(
        self,
        number: int,
        url: str | None,
        events: str,
        *options: str,
        place: str = site.PLACE,
        port: int = 0,
        **environment: str,
    ) -> None:
        environment[site.EVENTS] = events
        if url is not None:
            environment[site.CLUSTER] = url
        bind = ["--bind", f"127.0.0.1:{port}"]
        command = ["-m", "gunicorn", *OPTIONS, *bind, *options, f"{place}()"]
        super().__init__(number, command, **environment)

    def _start(self) -> None:
        super()._start()
        self.port = int(self._wait_for(r"Listening at: https?://127\.0\.0\.1:(\d+)"))
        self._wait_for_another()

    def kill(self) -> None:
        """Kill the worker process; gunicorn starts another one."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send the worker process a signal that ends it; gunicorn starts another one."""
        os.kill(self.pid, number)
        self._wait_for_another()

    def replace(self) -> None:
        """Have gunicorn replace the worker process in good order, by SIGHUP."""
        self._process.send_signal(signal.SIGHUP)
        self._wait_for_another()

    def _wait_for_another(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.findall(_BOOTING, self.output())
            if found and int(found[-1]) != self.pid:
                self.pid = int(found[-1])
                return
            time.sleep(0.05)
        raise TimeoutError("gunicorn has not started another worker")


@contextlib.contextmanager
def started(
    count: int, has_cluster: bool, events: str
) -> Iterator[tuple[list[Worker], Redis | None]]:
    """Run a Redis and so many workers.

    :param events: the path of a file for the events of all of them.
    """
    with contextlib.ExitStack() as stack:
        redis = None
        if has_cluster:
            redis = Redis()
            stack.callback(redis.stop)
        workers = []
        for number in range(count):
            worker = Worker(number, redis.url if redis else None, events)
            stack.callback(worker.stop)
            workers.append(worker)
        yield workers, redis
