"""A handshake, up to the point where the first message could be sent.

With this project the handshake has a Flask session cookie, which the site checks. With
Socket.IO it includes opening a Socket.IO session. Closing is not included.

Target: at most 1.5 times the cost with protoo-server 4, which checks nothing.
"""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import Iterator, Mapping

from ..catalogue import FLASK_SOCK, FLASK_SOCKETIO, OURS, PROTOO_SERVER, SOCKET_IO
from ..client import Client
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import ratio
from .kind import CPU, Kind, WarmUp

#: Seconds in which a server finishes its work after the answer to the last handshake.
AFTERWORK = 0.05


def run(run: Run) -> None:
    """Measure all servers in turn."""
    warm_up = WarmUp(run)
    # Every user has a new number, as the server may not have removed those of the last round yet.
    numbers = itertools.count()
    with run.running(OURS, PROTOO_SERVER, SOCKET_IO, FLASK_SOCK, FLASK_SOCKETIO) as servers:
        run.alternate(
            "handshake",
            {item.name: partial(measure, run, warm_up, numbers, item) for item in servers},
        )


def measure(
    run: Run, warm_up: WarmUp, numbers: Iterator[int], server: Server
) -> Mapping[str, float]:
    """Connect some clients one after the other."""
    seconds = warm_up.seconds(server)
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        server.connect(next(numbers)).close()
    time.sleep(AFTERWORK)
    clients: list[Client] = []
    before = server.cpu_seconds()
    try:
        for _ in range(run.sizes.handshakes):
            clients.append(server.connect(next(numbers)))
        time.sleep(AFTERWORK)
        cpu = server.cpu_seconds() - before
    finally:
        for client in clients:
            client.close()
    time.sleep(AFTERWORK)
    return {"cpu": cpu / run.sizes.handshakes * 1e6}


KIND = Kind(
    "handshake",
    "a handshake, with a session cookie on Flask",
    run,
    (CPU,),
    (
        ratio(
            "a handshake, compared with protoo-server 4",
            1.5,
            Key("handshake", OURS, "cpu"),
            Key("handshake", PROTOO_SERVER, "cpu"),
        ),
    ),
)
