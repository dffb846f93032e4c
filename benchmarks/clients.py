"""What a client in Python costs: ours, and other libraries with the same messages.

    python -m benchmarks clients [--count N] [--rounds N] [--connections N]

Each client is in a process of its own, and all of them talk to the same server. ``protoo_flask``
makes requests by ``client.request()``, with transactions, time limits and the thread that reads.
The others send the same text, and take the next text for its answer: they have no more than a
connection. The rounds alternate; a figure is the median over the rounds, and a ratio the median of
those within each round.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Sequence

from . import accounting, machine, stats
from .catalogue import CATALOGUE, OURS
from .cookies import cookie_of
from .process import running
from .tables import Table, as_text

OURS_TITLE = "protoo_flask"
TITLES = (OURS_TITLE, "simple_websocket", "websockets, sync")


def main(args: Sequence[str]) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks clients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--count", type=int, default=2000, metavar="N", help="requests in a round (2000)")
    add("--rounds", type=int, default=7, metavar="N", help="(7)")
    add("--connections", type=int, default=200, metavar="N", help="for the memory (200)")
    add("--client", choices=TITLES, help=argparse.SUPPRESS)
    add("--url", help=argparse.SUPPRESS)
    add("--cookies", help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.client:
        print(json.dumps(measure(options)), flush=True)
        os._exit(0)  # the threads of simple_websocket would keep the process
    figures: dict[str, list[dict[str, float]]] = {title: [] for title in TITLES}
    with running([CATALOGUE[OURS]]) as (server,):
        for _ in range(options.rounds):
            for title in TITLES:
                figures[title].append(_run(title, server, options))
    print(as_text(_table(figures)))
    return 0


def _run(title: str, server: Any, options: argparse.Namespace) -> dict[str, float]:
    # Sixteen devices are allowed for each user.
    cookies = [cookie_of(f"client-{n}") for n in range(options.connections // 10 + 1)]
    command = [sys.executable, "-m", "benchmarks", "clients", "--client", title]
    command += ["--url", f"ws://127.0.0.1:{server.port}/protoo", "--cookies", json.dumps(cookies)]
    command += ["--count", str(options.count), "--connections", str(options.connections)]
    with machine.bound(machine.processors()[-1]):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _table(figures: dict[str, list[dict[str, float]]]) -> Table:
    table: Table = [["", "CPU of a request, us", "ratio", "memory of a connection, KiB", "ratio"]]
    for title in TITLES:
        row = [title]
        for name in ("cpu", "memory"):
            values = [each[name] for each in figures[title]]
            ours = [each[name] for each in figures[OURS_TITLE]]
            ratios = [value / other for value, other in zip(values, ours)]
            row += [f"{stats.median(values):.1f}", f"{stats.median(ratios):.2f}"]
        table.append(row)
    return table


# In the process of a client


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one client: CPU in microseconds, memory in KiB."""
    cookies = json.loads(options.cookies)
    connect = {
        OURS_TITLE: _connect_ours,
        "simple_websocket": _connect_simple_websocket,
        "websockets, sync": _connect_websockets,
    }[options.client]

    def open_one(number: int) -> Callable[[int], None]:
        url = f"{options.url}?uuid={options.client.split(',')[0]}-{number}"
        return connect(url, cookies[number // 10])

    request = open_one(0)
    for number in range(200):
        request(number + 1)
    began = time.process_time()
    for number in range(options.count):
        request(number + 1000)
    cpu = (time.process_time() - began) / options.count
    kept = [request, *map(open_one, range(1, options.connections // 2))]
    before = _memory()
    kept += map(open_one, range(options.connections // 2, options.connections))
    for each in kept[options.connections // 2 :]:
        each(7)
    memory = (_memory() - before) / (options.connections - options.connections // 2)
    return {"cpu": cpu * 1e6, "memory": memory / 1024}


def _memory() -> int:
    gc.collect()
    return accounting.private_bytes(os.getpid()) or 0


def _connect_ours(url: str, cookie: str) -> Callable[[int], None]:
    from protoo_flask.client import Client

    client = Client(url, url.rpartition("=")[2], headers={"Cookie": cookie}).connect(20)

    def request(number: int) -> None:
        assert client.request("get", "/item/42").status == 200

    return request


def _connect_simple_websocket(url: str, cookie: str) -> Callable[[int], None]:
    import simple_websocket  # type: ignore[import-untyped,unused-ignore]

    ws = simple_websocket.Client(url, subprotocols="protoo", headers={"Cookie": cookie})

    def request(number: int) -> None:
        ws.send(_text(number))
        _check(ws.receive(20))

    return request


def _connect_websockets(url: str, cookie: str) -> Callable[[int], None]:
    from websockets.sync.client import connect

    ws = connect(
        url,
        subprotocols=["protoo"],  # type: ignore[list-item]
        additional_headers={"Cookie": cookie},
        compression=None,
        proxy=None,
    )

    def request(number: int) -> None:
        ws.send(_text(number))
        _check(ws.recv(20))

    return request


def _text(number: int) -> str:
    return json.dumps({"method": "get", "path": "/item/42", "id": number, "data": {}})


def _check(text: Any) -> None:
    assert json.loads(text)["status"] == 200
