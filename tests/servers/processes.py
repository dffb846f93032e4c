"""Servers in separate processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Iterable, Sequence

import pytest

#: Seconds. Every expected event happens within this time, also on a busy machine.
DEADLINE = 20.0

ROOT = Path(__file__).resolve().parents[2]
SITES = "tests.servers.sites:create_app"

_UNPATCHED = "import sys; from protoo_flask.cli import main; sys.exit(main(sys.argv[1:]))"

#: gunicorn, with connections that all stay with its greenlets; see :mod:`.attached_sites`.
ATTACHED = "gunicorn, all attached"

#: {kind of server: (arguments for Python, the signal with which users stop it)}
KINDS: dict[str, tuple[list[str], int]] = {
    "gunicorn": (
        ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", SITES + "()"],
        signal.SIGTERM,
    ),
    "pywsgi": (["-m", "protoo_flask", SITES, "--port", "0"], signal.SIGTERM),
    "pywsgi-unpatched": (["-c", _UNPATCHED, SITES, "--port", "0"], signal.SIGTERM),
    "flask-run": (["-m", "flask", "run", "--port", "0"], signal.SIGINT),
}

_ATTACHED_SITES = "tests.servers.attached_sites:create_app()"
COMMANDS = {
    **KINDS,
    ATTACHED: (
        ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", _ATTACHED_SITES],
        signal.SIGTERM,
    ),
}

#: Two servers that are one site; see :mod:`.server_cluster`.
CLUSTER = "cluster"

#: For tests that block in a way that needs threads, or a patched standard library.
WHERE_BLOCKING_IS_FINE = pytest.mark.parametrize(
    "running_server",
    [kind for kind in [*KINDS, CLUSTER] if kind != "pywsgi-unpatched"],
    indirect=True,
)

_ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|\[::1\]):(\d+)|unix:")
_COMPLAINTS = (
    "Exception ignored",
    "ResourceWarning: unclosed",
    "RuntimeWarning",
    "was never awaited",
)

#: The prefixes of warnings about objects that are left over when Python exits.
_AT_EXIT = ("sys:1: ", "<sys>:0: ")


class Server:
    """A server process and its output.

    :ivar port: the port that the server has chosen.
    """

    def __init__(self, kind: str, process: subprocess.Popen[str], stop_signal: int) -> None:
        self.kind = kind
        self.process = process
        self.port = 0
        #: The first line of the output of the current test.
        self.first_line = 0
        self._stop_signal = stop_signal
        self._lines: list[str] = []
        self._expected: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"output of {kind}", daemon=True)
        self._reader.start()

    def wait_until_it_listens(self, start: int = 0) -> None:
        found = _ADDRESS.search(self.wait_for_output(_ADDRESS.pattern, start))
        assert found is not None
        self.port = int(found.group(1) or 0)

    def wait_for_output(self, pattern: str, start: int = 0) -> str:
        """Wait for a line that matches, and return it. Fails if there is none."""
        wanted = re.compile(pattern)
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._find(wanted, start), DEADLINE)
            line = self._find(wanted, start)
        assert line is not None, f"{self.kind} never printed {pattern!r}, but:\n{self.output()}"
        return line

    def expect_traceback(self, pattern: str) -> None:
        """Wait for a traceback with this end. It does not count as a complaint."""
        self.allow_traceback(pattern)
        self.wait_for_output(pattern, self.first_line)

    def allow_traceback(self, pattern: str) -> None:
        """Do not count a traceback with this end as a complaint, if there is one."""
        self._expected.append(pattern)

    def has_printed(self, pattern: str, start: int = 0) -> bool:
        """Whether there is a line that matches."""
        return self._find(re.compile(pattern), start) is not None

    def output(self, start: int = 0) -> str:
        return "".join(self._lines[start:])

    @property
    def line_count(self) -> int:
        return len(self._lines)

    def complaints(self, start: int = 0) -> list[str]:
        """Return the last lines of unexpected tracebacks, and the warnings of Python."""
        return find_complaints(self._lines[start:], self._expected)

    def interrupt(self) -> None:
        """Ask the server to end, with the signal that its users send."""
        self.process.send_signal(self._stop_signal)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.interrupt()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(DEADLINE)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def _find(self, pattern: re.Pattern[str], start: int) -> str | None:
        return next((line for line in self._lines[start:] if pattern.search(line)), None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def find_complaints(
    lines: Iterable[str], expected: Sequence[str] = (), owner: str = ""
) -> list[str]:
    """Return the last lines of tracebacks, and the warnings of Python, in a log.

    :param expected: patterns of the last lines of tracebacks that are no complaints.
    :param owner: a path; a traceback without a frame in a file there is no complaint, either.
    """
    found = []
    in_traceback = is_ours = False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            in_traceback, is_ours = True, not owner
        elif in_traceback and not line.startswith((" ", "\t")) and line.strip():
            in_traceback = False
            if is_ours and not any(re.search(pattern, line) for pattern in expected):
                found.append(line)
        elif any(text in line for text in _COMPLAINTS) and not line.startswith(_AT_EXIT):
            found.append(line)
        is_ours = is_ours or owner in line
    return found


def start_server(kind: str, **env: str) -> Server:
    """Start one of :data:`COMMANDS` with the sites of the tests."""
    command, stop_signal = COMMANDS[kind]
    return start(kind, command, stop_signal=stop_signal, **env)


def start(
    name: str,
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    stop_signal: int = signal.SIGTERM,
    **env: str,
) -> Server:
    """Run Python with these arguments, and wait until the server listens."""
    server = run(name, command, cwd=cwd, stop_signal=stop_signal, **env)
    try:
        server.wait_until_it_listens()
    except BaseException:
        server.process.kill()
        server.stop()
        raise
    return server


def run(
    name: str,
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    stop_signal: int = signal.SIGTERM,
    **env: str,
) -> Server:
    """Run Python with these arguments."""
    # A test run in the background of a shell ignores SIGINT, and children inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, previous)
    return Server(name, process, stop_signal)


def _environment(changes: dict[str, str]) -> dict[str, Any]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("FLASK_")},
        "FLASK_APP": SITES,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
        **changes,
    }
