"""The servers of a cell: they are started, killed, ended and started again."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

from benchmarks import footprint
from tests.cluster.redis_servers import find_port
from tests.servers.processes import find_complaints
from tests.soak import site as soak
from tests.soak.servers import PATIENCE, ROOT, Process, Redis, Worker

from . import site
from .cells import FLASK_RUN, GUNICORN, PYWSGI, Cell
from .proxies import Proxy, TlsLink

CERTIFICATE = ROOT / "tests" / "transport" / "certificate.pem"

#: The last lines of tracebacks that the site of the campaign is there for.
EXPECTED = (r"Deliberate: ",)


class Supervised(Process):
    """A server of one process. What ends is started again at the same port, as systemd does."""

    def __init__(self, cell: Cell, number: int, **environment: str) -> None:
        self.port = find_port()
        # Only releases of Flask since 2.2 have an option for it.
        environment["FLASK_APP"] = site.PLACE
        super().__init__(number, command_of(cell, self.port), **environment)

    def _start(self) -> None:
        super()._start()
        self.pid = self._process.pid
        wait_until_it_answers(self.port)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._start()

    def end(self) -> None:
        """End it in good order, and start it again."""
        # Users of Flask's development server press Ctrl-C; it has no other end in good order.
        is_flask = "flask" in self._command
        self._process.send_signal(signal.SIGINT if is_flask else signal.SIGTERM)
        wait_for_end(self._process)
        self._start()


class Gunicorn(Worker):
    """A gunicorn with one worker."""

    def end(self) -> None:
        """End gunicorn and its worker in good order, and start it again."""
        self._process.terminate()
        wait_for_end(self._process)
        self._start()


def wait_for_end(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answers(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody listens at port {port}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    # The kernel's table, and no connection: a server with TLS would complain of one.
    entry = f"0100007F:{port:04X} 00000000:0000 0A"
    return entry in Path("/proc/net/tcp").read_text()


def command_of(cell: Cell, port: int) -> Sequence[str]:
    """Return the arguments of Python of all servers but gunicorn."""
    if cell.server == PYWSGI:
        return ["-m", "tests.chaos.pywsgi", str(port), *[str(CERTIFICATE)] * cell.has_tls]
    if cell.server == FLASK_RUN:
        files = ["--cert", str(CERTIFICATE), "--key", str(CERTIFICATE)] if cell.has_tls else []
        return ["-m", "flask", "run", "--port", str(port), *files]
    return ["-m", "protoo_flask", site.PLACE, "--port", str(port)]


def start(cell: Cell, number: int, url: str | None, events: str, **environment: str) -> Process:
    """Start one of the servers of a cell.

    :param url: of the cluster.
    :param events: the path of a file; see :mod:`tests.soak.site`.
    """
    if cell.server != GUNICORN:
        return Supervised(cell, number, **{soak.EVENTS: events, **environment})
    files = ["--certfile", str(CERTIFICATE), "--keyfile", str(CERTIFICATE)]
    options = files if cell.has_tls else []
    return Gunicorn(
        number, url, events, *options, place=site.PLACE, port=find_port(), **environment
    )


class Servers:
    """The servers of a cell, and the ways to them.

    :ivar ports: of the servers; where TLS ends in them, of proxies that speak TLS with them. They
        are the same after a restart.
    :ivar proxies: one before each server, which delays, splits and cuts.
    """

    def __init__(self, cell: Cell, seed: str) -> None:
        self.cell = cell
        self._stack = contextlib.ExitStack()
        self.redis: Redis | None = None
        self.all: list[Any] = []
        self.ports: list[int] = []
        self.proxies: list[Proxy] = []
        try:
            self._start(seed)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, seed: str) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        self.events = str(folder / "events")
        Path(self.events).touch()
        environment = {site.DATABASE: str(folder / "database")}
        environment[site.COMPRESSION] = "yes" if self.cell.is_compressed else ""
        if self.cell.has_cluster:
            self.redis = Redis()
            self._stack.callback(self.redis.stop)
        url = self.redis.url if self.redis else None
        for number in range(self.cell.workers):
            server = start(self.cell, number, url, self.events, **environment)
            self._stack.callback(server.stop)
            self.all.append(server)
            port = server.port
            if self.cell.has_tls:
                link = TlsLink(server.port)
                self._stack.callback(link.close)
                server.page_port = port = link.port
            self.ports.append(port)
            proxy = Proxy(port, f"{seed}/proxy {number}")
            self._stack.callback(proxy.close)
            self.proxies.append(proxy)

    # What is seen of them ------------------------------------------------------------------

    def resident(self) -> int:
        """Return the bytes of memory of those that serve."""
        return sum(footprint.resident(server.pid) for server in self.all)

    def count_descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{server.pid}/fd")) for server in self.all)

    def complaints(self) -> list[str]:
        """Return what is wrong in their logs.

        A traceback without a frame of ours is of the HTTP server itself: gevent's prints one for
        each client that hangs up where TLS is spoken.
        """
        lines = [line for server in self.all for line in server.output().splitlines(keepends=True)]
        ours = [
            *find_complaints(lines, EXPECTED, owner=f"{ROOT}/protoo_flask/"),
            *find_complaints(lines, EXPECTED, owner=f"{ROOT}/tests/"),
        ]
        return [line.strip() for line in dict.fromkeys(ours)]

    def output(self) -> str:
        return "\n".join(server.output() for server in self.all)

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def limited(server: Process, kind: int, limit: int) -> Iterator[None]:
    """Set a limit of the kernel for a server that runs, and take it back."""
    former = resource.prlimit(server.pid, kind)
    resource.prlimit(server.pid, kind, (limit, former[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(server.pid, kind, former)
