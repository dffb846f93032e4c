"""The latency of one client while others flood the server.

    python dev.py bench floods [--only NAME,NAME] [--seconds N] [--checkout PATH] [--pywsgi]

A flooding client sends as fast as the server reads, and reads its answers. Meanwhile another client
makes a request every few milliseconds, and its latency counts from the sending. "16" are the
devices of one user. Otherwise each flooding client is a user of its own.

The server and the load generator have a processor each. The latency without a flood shows the
delay that the load generator and other programs add.

A flood of bad messages ends soon, as the server closes the connection.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import select
import sys
import time
import zlib
from pathlib import Path
from typing import Callable, Iterator, Sequence

from . import machine, stats
from .catalogue import CATALOGUE, OURS, Entry
from .client import RECEIVE, Client
from .frames import PONG, TEXT, client_frame, split_frames
from .process import Server, running
from .tables import Table, as_text
from .wires import WrongAnswer, encode

#: The numbers of flooding clients.
COUNTS = (1, 10, 16)
#: As many devices as a user may have.
DEVICES = 16
#: Seconds between two requests of the client that is measured.
PAUSE = 0.004
#: Bytes that a flooding client sends over and over.
BLOCK = 256 * 1024
SECONDS = 2.0
#: The target: the 99th percentile in milliseconds.
TARGET = 50.0

CONTINUATION, PING = 0x0, 0x9
LONGEST = 64 * 1024 - 500


def _request(path: str, data: object = None) -> bytes:
    """Return a notification, which may be sent again and again."""
    return client_frame(encode({"method": "get", "path": path, "data": data}))


def _fragment(payload: bytes, first: int) -> bytes:
    """Return a frame with this first byte instead of that of a whole text message."""
    return bytes((first,)) + client_frame(payload)[1:]


def _fragments() -> bytes:
    text = b'{"method":"get","path":"/item/7","data":{"text":"%b"}}' % (b"x" * 60_000)
    frames = [_fragment(text[index : index + 1], CONTINUATION) for index in range(len(text))]
    frames[0] = _fragment(text[:1], TEXT)
    frames[-1] = _fragment(text[-1:], 0x80 | CONTINUATION)
    return b"".join(frames)


def _compressed() -> bytes:
    text = b'{"method":"get","path":"/item/7","data":{"text":"%b"}}' % (b"x" * LONGEST)
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return _fragment(data[:-4], 0xC0 | TEXT)


#: {name of a flood: a function that returns its frames}
FLOODS: dict[str, Callable[[], bytes]] = {
    "short requests": lambda: b"".join(
        client_frame(b'{"method":"get","path":"/item/7","id":%d}' % id) for id in range(1, 3000)
    ),
    "notifications": lambda: _request("/item/7"),
    "404": lambda: client_frame(b'{"method":"get","path":"/none","id":1}'),
    "pings": lambda: client_frame(b"", PING),
    "pongs": lambda: client_frame(b"", PONG),
    "empty messages": lambda: client_frame(b""),
    "responses to nothing": lambda: client_frame(b'{"status":200,"id":1}'),
    "fragments of a byte": _fragments,
    "large messages": lambda: _request("/item/7", {"text": "x" * LONGEST}),
    "compressed messages": _compressed,
    "nested arrays": lambda: _request("/item/7", {"a": [[[[[]]]]] * 7200}),
    "deep arrays": lambda: client_frame(b'{"a":%b%b}' % (b"[" * 32000, b"]" * 32000)),
    "long paths": lambda: _request("/range/" + "a" * 4000),
    "many dashes": lambda: _request("/range/" + "-" * 4000),
    "many segments": lambda: _request("/a" * 2000),
    "many escapes": lambda: _request("/item/" + "%41" * 1300),
}


class Flooder:
    """A client that sends as much as it can, and reads what comes."""

    def __init__(self, client: Client, block: bytes) -> None:
        self.client = client
        client.socket.setblocking(False)
        self._block = memoryview(block)
        self._sent = 0

    def go_on(self) -> None:
        """Read and send, without waiting.

        :raises OSError: when the server has closed the connection.
        """
        sock = self.client.socket
        with contextlib.suppress(BlockingIOError):
            if not sock.recv(RECEIVE):
                raise ConnectionError
        with contextlib.suppress(BlockingIOError):
            rest = self._block[self._sent : self._sent + RECEIVE]
            self._sent = (self._sent + sock.send(rest)) % len(self._block)


class Load:
    """The flooding clients, and the one that is measured."""

    def __init__(self, probe: Client, flooders: Sequence[Flooder]) -> None:
        self._probe = probe
        self._exchanges = itertools.cycle(probe.exchanges)
        self._poll = select.epoll()
        self._poll.register(probe.fd, select.EPOLLIN)
        self._flooders = {flooder.client.fd: flooder for flooder in flooders}
        for fd in self._flooders:
            self._poll.register(fd, select.EPOLLIN | select.EPOLLOUT)

    def run(self, seconds: float) -> list[float]:
        """Return the latencies of the requests that the measured client makes meanwhile."""
        now = time.perf_counter
        latencies: list[float] = []
        end = now() + seconds
        due, sent, answer = now(), 0.0, b""
        while now() < end or answer:
            if not answer and now() >= due:
                frame, answer = next(self._exchanges)
                sent = now()
                self._probe.socket.sendall(frame)
                due = sent + PAUSE
            for fd, _ in self._poll.poll(0 if not answer else 0.001):
                if fd != self._probe.fd:
                    self._go_on(fd)
                elif self._take(answer):
                    latencies.append(now() - sent)
                    answer = b""
        return latencies

    def _take(self, answer: bytes) -> bool:
        data = self._probe.socket.recv(RECEIVE)
        if data != answer and self._probe.take(data) != [split_frames(answer)[0][0].payload]:
            raise WrongAnswer(f"expected {answer!r}, got {data!r}")
        return True

    def _go_on(self, fd: int) -> None:
        try:
            self._flooders[fd].go_on()
        except OSError:
            self._poll.unregister(fd)

    def close(self) -> None:
        self._poll.close()
        for flooder in self._flooders.values():
            flooder.client.close()


def measure(server: Server, flood: str | None, count: int, seconds: float) -> list[float]:
    """Return the latencies of one client while ``count`` others flood the server."""
    with flooding(server, flood, count) as load:
        load.run(seconds / 4)
        return load.run(seconds)


@contextlib.contextmanager
def flooding(server: Server, flood: str | None, count: int) -> Iterator[Load]:
    """Connect the client that is measured, and those that flood."""
    frames = FLOODS[flood]() if flood is not None else b""
    block = frames * max(1, BLOCK // len(frames)) if frames else b""
    prefix = next(_PREFIXES)
    compresses = flood == "compressed messages"
    headers = ["Sec-WebSocket-Extensions: permessage-deflate"] if compresses else []

    def connect(number: int) -> Client:
        username = f"{prefix}{0 if count == DEVICES else number}"
        return server.connect_device(username, f"d{number}", headers)

    with server.clients(1, learn=64, prefix="probe") as [probe]:
        flooders = [Flooder(connect(number), block) for number in range(count if block else 0)]
        with contextlib.closing(Load(probe, flooders)) as load:
            yield load
    server.settle()


_PREFIXES = (f"flood{number}-" for number in itertools.count())


def main(args: Sequence[str]) -> int:
    """Measure, and print a table; returns 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="dev.py bench floods")
    parser.add_argument("--only", default=",".join(FLOODS), metavar="FLOODS")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--pywsgi", action="store_true")
    parser.add_argument("--checkout", type=Path, default=CATALOGUE[OURS].checkout, metavar="PATH")
    options = parser.parse_args(args)
    machine.bind(machine.processors()[1])
    entry = CATALOGUE[OURS]._replace(
        checkout=options.checkout.resolve(), environment={"BENCH_FLOODS": "1"}
    )
    return run(entry, options.only.split(","), options.seconds, options.pywsgi)


def run(entry: Entry, floods: Sequence[str], seconds: float, pywsgi: bool) -> int:
    """Measure each flood with each number of clients."""
    table: Table = [["latency, ms: median / 99 %", *(f"{count}" for count in COUNTS)]]
    worst = 0.0
    with running([entry], pywsgi=pywsgi) as [server]:
        alone = measure(server, None, 0, seconds)
        table.append(["no flood", *[_cell(alone)] * len(COUNTS)])
        for flood in floods:
            row = [flood]
            for count in COUNTS:
                latencies = measure(server, flood, count, seconds)
                row.append(_cell(latencies))
                worst = max(worst, stats.percentile(latencies, 99) * 1000)
                print(f"{flood}, {count}: {row[-1]}", file=sys.stderr, flush=True)
            table.append(row)
    print(as_text(table))
    verdict = "holds" if worst <= TARGET else "is missed"
    print(f"\ntarget: 99 % of the latencies are at most {TARGET:g} ms: {verdict} ({worst:.1f})")
    return int(worst > TARGET)


def _cell(latencies: Sequence[float]) -> str:
    median, most = (stats.percentile(latencies, share) * 1000 for share in (50, 99))
    return f"{median:.1f} / {most:.1f}"
