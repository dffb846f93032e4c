"""Clients that come back after a restart: all of them at once, or spread as the server has asked.

    python -m benchmarks restart [--count N] [--windows SECONDS,SECONDS] [--pywsgi]

Each client comes at a time of its own to a server that has just started. Without a hint in the
reason of the close, protoo.js comes at a random time of its first half second. With one, it comes
at a time that the old server has spread evenly over a window, and a random time of half a second
later. Meanwhile another client, who has been connected all the time, makes a request every 5 ms,
like the users of the other workers of a machine. A client is back with its 101.

The server and the load generator have a processor each. Nothing is compared with other servers.
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import socket
import sys
import time
from typing import NamedTuple, Sequence

from . import machine, stats
from .catalogue import CATALOGUE, OURS
from .client import HOST, Client
from .cookies import cookie_of
from .process import Server, running
from .tables import Table, as_text, number

COUNT = 2000
WINDOWS = "0,2,5,10"
#: Seconds: the first random delay of protoo.js.
JITTER = 0.5
#: Seconds between two requests of the client that is connected all the time.
PAUSE = 0.005
#: Seconds for the last client to come back after its time.
PATIENCE = 60.0


class Figures(NamedTuple):
    """What a return has cost, in seconds; ``refused``: handshakes without a 101."""

    handshakes: list[float]
    requests: list[float]
    last: float
    refused: int


def main(args: Sequence[str]) -> int:
    """Measure, and print a table; returns 1 when a client was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks restart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--count", type=int, default=COUNT, metavar="N", help=f"clients ({COUNT})")
    add("--windows", default=WINDOWS, metavar="SECONDS", help=f"0: no hint ({WINDOWS})")
    add("--pywsgi", action="store_true", help="serve with gevent's pywsgi instead of gunicorn")
    options = parser.parse_args(args)
    windows = [float(text) for text in options.windows.split(",")]
    machine.bind(machine.processors()[1])
    count = min(options.count, machine.raise_file_limit() - 100)
    head = ["window", "handshake p50, ms", "p99", "request p50, ms", "p99", "last is back, s"]
    table: Table = [[*head, "refused"]]
    refused = 0
    for window in windows:
        with running([CATALOGUE[OURS]], pywsgi=options.pywsgi) as [server]:
            figures = measure(server, count, window)
        table.append(_row(window, figures))
        refused += figures.refused
        print(f"{count} clients: {', '.join(table[-1])}", file=sys.stderr, flush=True)
    print(as_text(table))
    return int(refused > 0)


def _row(window: float, figures: Figures) -> list[str]:
    parts = (figures.handshakes, figures.requests)
    cells = [
        number(stats.percentile(part, share) * 1000) if part else "-"
        for part in parts
        for share in (50, 99)
    ]
    title = f"{window:g} s" if window else "no hint"
    return [title, *cells, f"{figures.last:.1f}", str(figures.refused)]


def measure(server: Server, count: int, window: float) -> Figures:
    """Let ``count`` clients come back, each at its time."""
    plan = [(n * window / count + random.uniform(0, JITTER), n) for n in range(count)]
    heapq.heapify(plan)
    heads = [_handshake(server, n) for n in range(count)]
    with server.clients(1, learn=1, prefix="probe") as [probe]:
        crowd = Crowd(probe)
        try:
            return crowd.run(server.port, plan, heads)
        finally:
            crowd.close()


def _handshake(server: Server, number: int) -> bytes:
    wire = server.entry.wire
    separator = "&" if "?" in wire.path else "?"
    lines = [
        f"GET {wire.path}{separator}uuid=d&username=r{number} HTTP/1.1",
        f"Host: {HOST}:{server.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Sec-WebSocket-Protocol: {wire.subprotocol}",
        f"Cookie: {cookie_of(f'r{number}')}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Crowd:
    """The clients that come back, and the one that was there all the time."""

    def __init__(self, probe: Client) -> None:
        self._probe = probe
        self._selector = selectors.DefaultSelector()
        self._selector.register(probe.socket, selectors.EVENT_READ)
        self._asked: float | None = None
        self._ask_at = 0.0
        self._sockets: dict[int, tuple[socket.socket, float, bytes]] = {}
        self._kept: list[socket.socket] = []

    def run(self, port: int, plan: list[tuple[float, int]], heads: list[bytes]) -> Figures:
        """Begin each handshake at its time, and wait for all answers."""
        handshakes: list[float] = []
        requests: list[float] = []
        refused, last = 0, 0.0
        began = time.perf_counter()
        deadline = began + max(plan)[0] + PATIENCE
        while plan or self._sockets:
            now = time.perf_counter()
            if now > deadline:
                refused += len(self._sockets)
                break
            while plan and began + plan[0][0] <= now:
                due, n = heapq.heappop(plan)
                self._connect(port, began + due, heads[n])
            self._ask(now)
            for key, _ in self._selector.select(PAUSE / 2):
                now = time.perf_counter()
                if key.fd == self._probe.fd:
                    self._probe.socket.recv(1 << 16)
                    if self._asked is not None:
                        requests.append(now - self._asked)
                        self._asked, self._ask_at = None, now + PAUSE
                    continue
                answer = self._go_on(key.fd)
                if answer is None:
                    continue
                sock, due, _ = self._sockets.pop(key.fd)
                self._selector.unregister(sock)
                self._kept.append(sock)
                if answer.startswith(b"HTTP/1.1 101"):
                    handshakes.append(now - due)
                    last = now - began
                else:
                    refused += 1
        return Figures(handshakes, requests, last, refused)

    def _connect(self, port: int, due: float, head: bytes) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((HOST, port))
        self._selector.register(sock, selectors.EVENT_WRITE)
        self._sockets[sock.fileno()] = (sock, due, head)

    def _go_on(self, fd: int) -> bytes | None:
        """Send the handshake, or return its answer; ``None``: it has not come yet."""
        sock, due, head = self._sockets[fd]
        try:
            if not head:
                return sock.recv(1 << 16)
            sock.send(head)
        except OSError as error:
            return str(error).encode()
        self._sockets[fd] = (sock, due, b"")
        self._selector.modify(sock, selectors.EVENT_READ)
        return None

    def _ask(self, now: float) -> None:
        if self._asked is None and now >= self._ask_at:
            self._asked = now
            self._probe.socket.send(self._probe.exchanges[0].frame)

    def close(self) -> None:
        for sock in [*self._kept, *(each[0] for each in self._sockets.values())]:
            sock.close()
        self._selector.close()
