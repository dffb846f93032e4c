"""A routed request and its reply.

There are 64 connections. Each one sends its next request after the reply to the last. With
this project, the request passes a logger, and a handler at ``/item/:id`` answers with the
parameter. With a teardown function on the app, each message has its own app context.

Targets: at most the cost with protoo-server 4 on Node, a third of the cost of a flask-sock
echo, and 0.066 of the cost with Flask-SocketIO. With a teardown function, at most 1.35 times
the cost without.
"""

from __future__ import annotations

from functools import partial
from typing import Mapping

from ..catalogue import (
    ATTACHED,
    FLASK_SOCK,
    FLASK_SOCKETIO,
    FLOOR,
    OURS,
    PROTOO_SERVER,
    SOCKET_IO,
    TEARDOWN,
)
from ..load import run_closed_loop
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import Target, ratio
from .kind import CPU, LATENCIES, Kind, WarmUp, latencies_in_ms

SERVERS = (OURS, TEARDOWN, ATTACHED, PROTOO_SERVER, SOCKET_IO, FLASK_SOCK, FLASK_SOCKETIO, FLOOR)


def run(run: Run) -> None:
    """Measure all servers in turn."""
    warm_up = WarmUp(run)
    with run.running(*SERVERS) as servers:
        run.alternate(
            "request", {item.name: partial(measure, run, warm_up, item) for item in servers}
        )


def measure(run: Run, warm_up: WarmUp, server: Server) -> Mapping[str, float]:
    """Connect, warm up, and let all clients make requests for a while."""
    sizes = run.sizes
    with server.clients(sizes.connections, learn=sizes.exchanges) as clients:
        run_closed_loop(clients, warm_up.seconds(server))
        before = server.cpu_seconds()
        latencies = run_closed_loop(clients, sizes.seconds)
        cpu = server.cpu_seconds() - before
    return {
        "cpu": cpu / len(latencies) * 1e6,
        **latencies_in_ms(latencies, 50, 99),
    }


def _limit(text: str, limit: float, server: str, base: str) -> Target:
    return ratio(text, limit, Key("request", server, "cpu"), Key("request", base, "cpu"))


KIND = Kind(
    "request",
    "a routed request and its reply, over 64 connections",
    run,
    (CPU, *LATENCIES),
    (
        _limit("a request, compared with protoo-server 4", 1.0, OURS, PROTOO_SERVER),
        _limit("a request, compared with a bare flask-sock echo", 0.33, OURS, FLASK_SOCK),
        _limit("a request, compared with Flask-SocketIO", 0.066, OURS, FLASK_SOCKETIO),
        _limit(
            "a request with a teardown function, compared with one without", 1.35, TEARDOWN, OURS
        ),
    ),
)
