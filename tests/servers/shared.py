"""Journals and gates of the sites: of one process, or shared by several servers.

Servers that are one site share the files of a folder, which the environment names.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

#: The environment variable with the folder.
SHARED = "TEST_SHARED"

#: Seconds that a handler waits at a gate.
PATIENCE = 10.0


class Journal(Protocol):
    """The events of a site, for each user in order."""

    def add(self, username: str, entry: str) -> None: ...

    def of(self, username: str) -> list[str]: ...


class Gates(Protocol):
    """Gates at which handlers wait like a database driver that knows nothing about greenlets."""

    def wait(self, name: str) -> bool: ...

    def open(self, name: str) -> None: ...


def make_journal(name: str) -> Journal:
    """Return the journal of the site with a name."""
    return SharedJournal(Path(os.environ[SHARED]), name) if SHARED in os.environ else OwnJournal()


def make_gates() -> Gates:
    return SharedGates(Path(os.environ[SHARED])) if SHARED in os.environ else OwnGates()


class OwnJournal:
    def __init__(self) -> None:
        self._entries: dict[str, list[str]] = defaultdict(list)

    def add(self, username: str, entry: str) -> None:
        self._entries[username].append(entry)

    def of(self, username: str) -> list[str]:
        return list(self._entries[username])


class OwnGates:
    def __init__(self) -> None:
        self._gates: dict[str, threading.Event] = defaultdict(threading.Event)

    def wait(self, name: str) -> bool:
        return self._gates[name].wait(PATIENCE)

    def open(self, name: str) -> None:
        self._gates[name].set()


class SharedJournal:
    """A file for each user. The order is that of the calls, in whatever process they are made."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / f"journal of {name}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, username: str) -> Path:
        return self._folder / ("of " + quote(username, safe=""))

    def add(self, username: str, entry: str) -> None:
        # One write at the end of the file is one step, for all processes.
        with open(self._path(username), "ab", buffering=0) as file:
            file.write(quote(entry).encode() + b"\n")

    def of(self, username: str) -> list[str]:
        path = self._path(username)
        return [unquote(line) for line in path.read_text().split()] if path.exists() else []


class SharedGates:
    """A file for each open gate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, name: str) -> Path:
        return self._folder / ("gate " + quote(name, safe=""))

    def wait(self, name: str) -> bool:
        # Another process opens it; a file cannot be awaited.
        deadline = time.monotonic() + PATIENCE
        while not self._path(name).exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def open(self, name: str) -> None:
        self._path(name).touch()
