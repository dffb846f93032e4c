"""A redis-server of a test's own, on a free port; it keeps nothing on the disk."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

#: Seconds for a server to start or to stop.
PATIENCE = 10.0

#: Debian's package; a host that has only Valkey is fine, too.
PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"


class RedisServer:
    """A server, which has started.

    :param folder: for its socket.
    :param options: of the command line: ``"--maxmemory", "1mb"``.
    :param program: what is started; a Sentinel keeps no data.
    :ivar url: for ``PROTOO_CLUSTER_URL``.
    """

    def __init__(self, folder: Path, *options: str, program: list[str] | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_socket = folder / "redis.sock"
        self._options = [*options] if program else ["--save", "", "--appendonly", "no", *options]
        self._program = program or [PROGRAM]
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
            assert time.monotonic() < deadline, "redis-server has not started"
            assert self._process.poll() is None, "redis-server has ended"
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

    def ask(self, *words: str) -> str:
        """Return what ``redis-cli`` prints for a command."""
        command = ["redis-cli", "-p", str(self.port), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout.strip()

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
