"""A server that runs: started, accounted for, and ended."""

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

#: While so many clients connect, a server has hardly begun to wait for answers to its pings.
ATTENDED_EACH = 100


class ServerFailed(Exception):
    """A server did not start, or ended by itself."""


class Server:
    """A process with a server in it, bound to the first processor.

    :ivar pid: the process that does the work: gunicorn's worker, not its master.
    """

    def __init__(self, entry: Entry, *, pywsgi: bool = False) -> None:
        self.entry = entry
        self.name = entry.name
        self.port = _free_port()
        # A file, because nobody would read a pipe; unnamed, so that it goes by itself.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        search_path = os.pathsep.join([str(entry.checkout), str(SITES)])
        # The same hashes in all of them, and in each run: by chance, some collide more.
        environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": search_path}
        with machine.bound(machine.processors()[0]):
            self._process = subprocess.Popen(
                entry.command(self.port, pywsgi),
                # gunicorn imports from where it is started, first of all.
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
        """Return the last of what the server has printed."""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-20:])

    def stop(self) -> None:
        """End the process, gently first."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    # Talking to it -------------------------------------------------------------------

    def get(self, path: str) -> None:
        """Make a plain HTTP request; what is answered does not matter."""
        with socket.create_connection((HOST, self.port), START_TIMEOUT) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            if not connection.recv(4096):
                raise ConnectionError("no answer")

    def connect(self, number: int, prefix: str = "u") -> Client:
        """Connect a client, whose user has this number."""
        username = f"{prefix}{number}"
        cookie = cookie_of(username) if self.entry.is_flask else ""
        return Client(self.port, self.entry.wire, username, cookie=cookie)

    @contextlib.contextmanager
    def clients(
        self, count: int, learn: int = 0, prefix: str = "u", others: Sequence[Client] = ()
    ) -> Iterator[list[Client]]:
        """Connect clients, each of which :meth:`~.client.Client.learn` so many exchanges.

        :param others: who is connected already, and to stay so meanwhile.
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

    # Its books -----------------------------------------------------------------------

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has taken so far."""
        return accounting.cpu_seconds(self.pid)

    def settle(self) -> None:
        """Wait until it has nothing more to do, for clients that have left, say."""
        deadline = time.monotonic() + START_TIMEOUT
        before, now = -1.0, self.cpu_seconds()
        while now - before > 0.001 and time.monotonic() < deadline:
            time.sleep(0.05)
            before, now = now, self.cpu_seconds()

    def collect(self) -> None:
        """Let it collect its garbage, so that what has been is not on the books of what comes."""
        self.get("/collect")

    def private_bytes(self) -> int | None:
        """Return its private memory, after it has collected its garbage."""
        self.collect()
        return accounting.private_bytes(self.pid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(entries: Any, *, pywsgi: bool = False) -> Iterator[list[Server]]:
    """Start servers, which all run at once and have work in turn; stop them in the end."""
    with contextlib.ExitStack() as stack:
        servers = []
        for entry in entries:
            server = Server(entry, pywsgi=pywsgi)
            stack.callback(server.stop)
            servers.append(server)
        yield servers
