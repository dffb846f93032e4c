"""A redis-server of a test's own, on a free port; it keeps nothing on the disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, NoReturn

import hiredis
import pytest

from protoo_flask.cluster.connection import pack

#: Seconds for a server to start or to stop.
PATIENCE = 20.0

#: Debian's package; a host that has only Valkey is fine, too. The variable names another one.
PROGRAM = (
    os.environ.get("PROTOO_TEST_REDIS_SERVER")
    or shutil.which("redis-server")
    or shutil.which("valkey-server")
)

#: Ports that Linux gives to no connection as its own: a server that is stopped and started again
#: finds its port free, whatever other tests do meanwhile. So is the port that is 10000 higher, as
#: a server in cluster mode takes that, too.
PORTS = range(20_000, 22_700)


def find_program() -> str:
    """Return the server to test with. Without one, the test is skipped; in CI it fails."""
    if PROGRAM is None:
        skip("redis-server is not installed")
    if shutil.which(PROGRAM) is None:
        pytest.fail(f"PROTOO_TEST_REDIS_SERVER must be the path of a program, not {PROGRAM!r}")
    return PROGRAM


def skip(reason: str) -> NoReturn:
    """Skip the test; in CI, nothing is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; under CI=true nothing is skipped")
    pytest.skip(reason)


def find_port() -> int:
    """Return a port on which nobody listens."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port of {PORTS} is free")


class RedisServer:
    """A server, which has started.

    :param folder: for its socket.
    :param options: of the command line: ``"--maxmemory", "1mb"``.
    :param program: what is started; a Sentinel keeps no data.
    :ivar url: for ``PROTOO_CLUSTER_URL``.
    """

    def __init__(self, folder: Path, *options: str, program: list[str] | None = None) -> None:
        self.port = find_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_socket = folder / "redis.sock"
        self._options = [*options] if program else ["--save", "", "--appendonly", "no", *options]
        self._program = program or [find_program()]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty; returns when it answers."""
        arguments = [*self._program, "--port", str(self.port), "--bind", "127.0.0.1"]
        arguments += ["--unixsocket", str(self.unix_socket), *self._options]
        self._process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, cwd=self.unix_socket.parent
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, f"it has not started: {arguments}"
            assert self._process.poll() is None, f"it has ended: {arguments}"
            time.sleep(0.01)

    def _answers(self) -> bool:
        # An error is an answer, too: it may ask for a password.
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self.unix_socket))
                sock.sendall(b"PING\r\n")
                return sock.recv(100)[:1] in (b"+", b"-")
        except OSError:
            return False

    def stop(self) -> None:
        """End it; everything it knew is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def pause(self) -> None:
        """Let it hang: its connections stay, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str, database: int = 0) -> str:
        """Return what ``redis-cli`` prints for a command, when its output is no terminal."""
        reader = hiredis.Reader(encoding="utf-8")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.unix_socket))
            for command in (("SELECT", str(database)), words) if database else (words,):
                sock.sendall(pack(*command))
                reply = reader.gets()
                while reply is False:
                    data = sock.recv(65536)
                    assert data, f"Redis has hung up instead of a reply to {command}"
                    reader.feed(data)
                    reply = reader.gets()
        return _print(reply)

    def left_keys(self) -> list[str]:
        """Return the keys, without those that only remember something, and go by themselves."""
        return [key for key in self.ask("KEYS", "*").split() if not self._is_memory(key)]

    def _is_memory(self, key: str) -> bool:
        """Whether a key tells when a user was seen last, or which nodes are dead."""
        if key.endswith(":{nodes}:dead"):
            is_memory = True
        else:
            fields = self.ask("HKEYS", key).split() if ":u:" in key else ["d:"]
            is_memory = not any(field.startswith("d:") for field in fields)
        return is_memory and int(self.ask("TTL", key)) > 0


def _print(reply: Any) -> str:
    if isinstance(reply, list):
        return "\n".join(map(_print, reply))
    return "" if reply is None else str(reply).strip()
