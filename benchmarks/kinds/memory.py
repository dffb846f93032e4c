"""The memory of an idle connection, before and after its first request.

This is the growth of the process's private memory (pages that no other process has) by the
second 1000 connections. The base memory of a server, and the memory for its first use, are
in the first 1000 and do not count. All servers collect their garbage first. Each server is
started anew for this, because memory freed by earlier connections would hide the growth.

Target: at most 20 KiB.
"""

from __future__ import annotations

from functools import partial
from typing import Mapping

from ..catalogue import ATTACHED, FLASK_SOCK, FLASK_SOCKETIO, OURS, PROTOO_SERVER, SOCKET_IO, Entry
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import figure
from .kind import Kind, Metric

ROUNDS = 3


def run(run: Run) -> None:
    """Start all servers in turn, in each round."""
    entries = run.choose(OURS, ATTACHED, PROTOO_SERVER, SOCKET_IO, FLASK_SOCK, FLASK_SOCKETIO)
    run.alternate("memory", {entry.name: partial(measure, run, entry) for entry in entries}, ROUNDS)


def measure(run: Run, entry: Entry) -> Mapping[str, float]:
    """Start a server, connect two crowds, and return the memory of the second."""
    idle = run.sizes.idle
    with run.start([entry]) as [server]:
        with server.clients(idle, learn=1):
            first = weigh(server)
            with server.clients(idle, prefix="second") as clients:
                silent = weigh(server)
                for client in clients:
                    client.learn(1)
                after = weigh(server)
    if first is None or silent is None or after is None:
        run.results.leave_out("memory: this system does not report it")
        return {}
    return {"idle": (after - first) / idle / 1024, "silent": (silent - first) / idle / 1024}


def weigh(server: Server) -> int | None:
    """Return the private memory: the second reading, as the first request for it uses some."""
    server.private_bytes()
    return server.private_bytes()


KIND = Kind(
    "memory",
    "memory of an idle connection",
    run,
    (
        Metric("idle", "after a request", "KiB"),
        Metric("silent", "before the first", "KiB"),
    ),
    (figure("an idle connection", 20, "KiB", Key("memory", OURS, "idle")),),
)
