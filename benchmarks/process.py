"""A running server: start it, read its CPU time and memory, stop it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from typing import Any, Iterator, Sequence

from . import accounting, machine
from .actors import Crowd
from .catalogue import SITES, Entry
from .client import HOST, Client
from .cookies import cookie_of

START_TIMEOUT = 30.0

#: Answer pings after so many new clients; connecting these takes far less than a ping timeout.
ATTENDED_EACH = 100


class ServerFailed(Exception):
    """A server did not start, or ended by itself."""


class Server:
    """A server in its own process, bound to the first processor.

    :ivar pid: the id of the process that does the work: gunicorn's worker, not its master.
    """

    def __init__(self, entry: Entry, *, pywsgi: bool = False) -> None:
        self.entry = entry
        self.name = entry.name
        self.port = _free_port()
        # A file, because a pipe that nobody reads would block; unnamed, so it removes itself.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        search_path = os.pathsep.join([str(entry.checkout), str(SITES)])
        # A fixed hash seed for all servers and runs: with random seeds, some collide more often.
        environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": search_path}
        with machine.bound(machine.processors()[0]):
            self._process = subprocess.Popen(
                entry.command(self.port, pywsgi),
                # gunicorn imports from its working directory first.
                cwd=entry.checkout,
                env={**os.environ, **entry.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )
        try:
            self._wait_until_it_answers()
            has_master = entry.is_flask and not pywsgi
            pid = self._process.pid
            self.pid = accounting.children(pid)[0] if has_master else pid
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.get("/")
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed(f"{self.name}: {error}\n{self.log_tail()}") from error
                time.sleep(0.05)

    def log_tail(self) -> str:
        """Return the last lines that the server has printed."""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-20:])

    def log_bytes(self) -> int:
        """Return how many bytes the server has printed."""
        return os.fstat(self._log.fileno()).st_size

    def stop(self) -> None:
        """End the process with SIGTERM, or with SIGKILL if that is not enough."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    # Talking to it -------------------------------------------------------------------

    def get(self, path: str) -> None:
        """Make a plain HTTP request. Any answer is good."""
        with socket.create_connection((HOST, self.port), START_TIMEOUT) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            if not connection.recv(4096):
                raise ConnectionError("no answer")

    def connect(self, number: int, prefix: str = "u") -> Client:
        """Connect a client; its username ends with this number."""
        return self.connect_device(f"{prefix}{number}")

    def connect_device(self, username: str, uuid: str = "d", headers: Sequence[str] = ()) -> Client:
        """Connect a client with a name of its own."""
        cookie = cookie_of(username) if self.entry.is_flask else ""
        return Client(self.port, self.entry.wire, username, uuid, cookie, headers)

    @contextlib.contextmanager
    def clients(
        self, count: int, learn: int = 0, prefix: str = "u", others: Sequence[Client] = ()
    ) -> Iterator[list[Client]]:
        """Connect clients, and let each :meth:`~.client.Client.learn` some exchanges.

        :param learn: the number of exchanges for each client.
        :param others: connected clients; their pings are answered meanwhile, so that they stay
            connected.
        """
        connected: list[Client] = []
        try:
            with contextlib.closing(Crowd(others)) as crowd:
                for number in range(count):
                    client = self.connect(number, prefix)
                    connected.append(client)
                    crowd.add(client)
                    if number % ATTENDED_EACH == 0:
                        crowd.attend()
            for client in connected:
                client.learn(learn)
            yield connected
        finally:
            for client in connected:
                client.close()

    # CPU time and memory -------------------------------------------------------------

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server so far."""
        return accounting.cpu_seconds(self.pid)

    def settle(self) -> None:
        """Wait until the server has no more work, for example for clients that have left."""
        deadline = time.monotonic() + START_TIMEOUT
        before, now = -1.0, self.cpu_seconds()
        while now - before > 0.001 and time.monotonic() < deadline:
            time.sleep(0.05)
            before, now = now, self.cpu_seconds()

    def collect(self) -> None:
        """Let the server collect garbage, so that the next measurement does not pay for it."""
        self.get("/collect")

    def private_bytes(self) -> int | None:
        """Return the private memory of the server, after a garbage collection."""
        self.collect()
        return accounting.private_bytes(self.pid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(entries: Any, *, pywsgi: bool = False) -> Iterator[list[Server]]:
    """Start servers, which run at the same time and work in turn; stop them in the end."""
    with contextlib.ExitStack() as stack:
        servers = []
        for entry in entries:
            server = Server(entry, pywsgi=pywsgi)
            stack.callback(server.stop)
            servers.append(server)
        yield servers
