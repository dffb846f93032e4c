"""The arena of an attack: a server, its attackers, and a neighbour who only wants an echo.

A thread reads for all attackers, so that a server which answers is not stopped by a client
that does not read. Attackers write frames with a mask of zeros, which are cheap to make.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import threading
import time
import urllib.request
from collections import Counter
from typing import Any, Callable, Iterable, Iterator, Sequence

from ..client import HOST, Client
from ..cookies import cookie_of
from ..footprint import MIB, count_descriptors, count_threads, resident
from ..frames import CLOSE, PING, PONG, TEXT, split_frames
from ..process import Server
from ..wires import WrongAnswer
from .neighbour import Neighbour

#: Seconds between two looks at the server.
INTERVAL = 0.1

#: Bytes for one write, so that many small frames are few writes.
CHUNK = 64 * 1024

#: Seconds without progress after which a server counts as one that has stopped reading.
PATIENCE = 2.0


def frame(payload: bytes, opcode: int = TEXT, last: bool = True) -> bytes:
    """Return a frame of a client whose mask changes nothing."""
    first, length = (0x80 if last else 0) | opcode, len(payload)
    if length < 126:
        return bytes((first, 0x80 | length)) + b"\0\0\0\0" + payload
    if length < 65536:
        return struct.pack("!BBH", first, 0xFE, length) + b"\0\0\0\0" + payload
    return struct.pack("!BBQ", first, 0xFF, length) + b"\0\0\0\0" + payload


def request(id: int | None, method: str, path: str, data: bytes = b"{}") -> bytes:
    """Return the frame of a request, or of a notification without an id.

    :param data: JSON, as it is written.
    """
    head = f'{{"method":"{method}","path":{json.dumps(path, ensure_ascii=False)}'
    middle = "" if id is None else f',"id":{id}'
    return frame(head.encode() + middle.encode() + b',"data":' + data + b"}")


def nested(size: int) -> bytes:
    """Return data of so many bytes with as many objects as possible: each takes 64 bytes."""
    return b'{"n":[' + b",".join([b"[]"] * ((size - 8) // 3)) + b"]}"


class Attacker:
    """A connected client of an attack.

    :ivar told: how often it got each status, method or close code.
    :ivar answer: called with each decoded message of the server.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.socket = client.socket
        self.told: Counter[str] = Counter()
        self.answer: Callable[[dict[str, Any]], None] | None = None
        self.has_ended = False
        self._rest = b""
        self._lock = threading.Lock()
        self.socket.setblocking(False)

    def take(self) -> bool:
        """Read what is there; ``False`` at the end of the connection."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.has_ended = True
            return False
        frames, self._rest = split_frames(self._rest + data)
        for opcode, payload, raw in frames:
            if opcode == PING:
                self.write(frame(payload, PONG), PATIENCE)
            elif opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                self.told[f"close {code} {payload[2:].decode()}".strip()] += 1
                self.has_ended = True
            elif raw[0] & 0x40:
                self.told["a compressed message"] += 1
            else:
                message = json.loads(payload)
                name = message.get("status", message.get("method"))
                self.told[str(name)] += 1
                if self.answer is not None:
                    self.answer(message)
        return True

    def write(self, data: bytes, seconds: float) -> int:
        """Write as many bytes as the server takes within this time; returns how many."""
        with self._lock:
            view, sent = memoryview(data), 0
            deadline = time.monotonic() + seconds
            while sent < len(data) and time.monotonic() < deadline and not self.has_ended:
                try:
                    sent += self.socket.send(view[sent:])
                    deadline = max(deadline, time.monotonic() + 0.01)
                except BlockingIOError:
                    time.sleep(0.002)
                except OSError:
                    self.has_ended = True
            return sent


class Arena:
    """What an attack works with.

    :param seconds: the time of an attack.
    :param most: bytes of growth at which an attack is stopped, for the sake of the machine.
    :ivar operations: how many things were tried.
    :ivar notes: what else is to be said.
    """

    def __init__(self, server: Server, seconds: float, most: int) -> None:
        self.server = server
        self.operations = 0
        self.notes: list[str] = []
        self.refusals: Counter[str] = Counter()
        self.most_descriptors = 0
        self.most_threads = 0
        self.attackers: list[Attacker] = []
        self._kept: list[Client] = []
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self._most = resident(server.pid) + most
        self._is_over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._is_too_large = False

    # The attackers ---------------------------------------------------------------------

    def connect(
        self,
        username: str = "mallory",
        uuid: str = "m1",
        listens: bool = True,
        headers: Sequence[str] = (),
    ) -> Attacker:
        """Connect an attacker; with ``listens``, its messages are read and counted."""
        client = self.connect_client(username, uuid, headers)
        if not listens:
            # Else the kernel takes some MiB before the server notices.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        attacker = Attacker(client)
        self.attackers.append(attacker)
        if listens:
            self._selector.register(attacker.socket, selectors.EVENT_READ, attacker)
        return attacker

    def connect_client(self, username: str, uuid: str, headers: Sequence[str] = ()) -> Client:
        """Connect a client whose messages are not read."""
        cookie = cookie_of(username)
        wire = self.server.entry.wire
        return Client(self.server.port, wire, username, uuid, cookie, headers)

    def try_to_connect(
        self, username: str, uuid: str, headers: Sequence[str] = ()
    ) -> Client | None:
        """Connect a client as an operation of the attack; ``None`` if it is refused."""
        try:
            client = self.connect_client(username, uuid, headers)
        except (OSError, WrongAnswer) as error:
            self.refusals[str(error)[:44]] += 1
            return None
        self.operations += 1
        return client

    def disconnect(self, attacker: Attacker) -> None:
        """Close an attacker's connection without a Close frame."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(attacker.socket)
        self.attackers.remove(attacker)
        attacker.socket.close()

    def flood(self, attacker: Attacker, frames: Iterable[bytes], each: int = 1) -> None:
        """Send frames until the time is over, or the server does not take them any more.

        :param each: how many operations a frame is.
        """
        batch: list[bytes] = []
        size = 0
        for one in frames:
            batch.append(one)
            size += len(one)
            if size < CHUNK:
                continue
            if not self._pour(attacker, b"".join(batch), len(batch) * each):
                return
            batch, size = [], 0
        self._pour(attacker, b"".join(batch), len(batch) * each)

    def _pour(self, attacker: Attacker, data: bytes, operations: int) -> bool:
        seconds = min(PATIENCE, max(0.0, self.deadline - time.monotonic()))
        sent = attacker.write(data, seconds)
        self.operations += operations * sent // max(1, len(data))
        if attacker.has_ended:
            return False
        if sent < len(data) and not self.is_over:
            self.note("reading paused")
        return sent == len(data) and not self.is_over

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    @property
    def is_over(self) -> bool:
        """Whether the time is over, or the server has become too large."""
        return self._is_too_large or time.monotonic() >= self.deadline

    def wait(self, seconds: float | None = None) -> None:
        """Wait, for the rest of the time if no other is given."""
        end = self.deadline if seconds is None else time.monotonic() + seconds
        while time.monotonic() < end and not self._is_too_large:
            time.sleep(0.02)

    def settle(self, most: float = 10.0) -> None:
        """Wait until the server has hardly anything to do but the neighbour's echoes."""
        end = time.monotonic() + most
        while time.monotonic() < end and not self._is_too_large:
            before = self.server.cpu_seconds()
            time.sleep(0.2)
            if self.server.cpu_seconds() - before < 0.03:
                return

    # What goes on beside it ------------------------------------------------------------------

    @contextlib.contextmanager
    def watched(self) -> Iterator[Neighbour]:
        """Read for the attackers, look at the server, and have a neighbour make echoes."""
        neighbour = Neighbour(self.server.port)
        threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._look)]
        for thread in threads:
            thread.start()
        try:
            yield neighbour
        finally:
            neighbour.stop()
            self._is_over.set()
            for thread in threads:
                thread.join(5)

    def told(self) -> str:
        """Return what the attackers were told, the most frequent first."""
        told = sum((attacker.told for attacker in self.attackers), self.refusals)
        if self._is_too_large:
            self.note("stopped: too large")
        found = [f"{count} x {name}" for name, count in told.most_common(4)]
        return "; ".join([*found, *self.notes]) or "nothing"

    def weigh(self, name: str | None, before: int) -> str:
        """Return how many objects pile up, and the bytes of memory for each.

        :param name: see :data:`~.attacks.HOLDS`.
        :param before: the memory of the server without them, in bytes.
        """
        if name is None:
            return "-"
        now = resident(self.server.pid)
        url = f"http://{HOST}:{self.server.port}/count/{name}"
        with urllib.request.urlopen(url) as answer:
            count = int(answer.read())
        return f"{count} {name}, {max(0, now - before) / count:.0f} B each" if count else "-"

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON that the server has at a path."""
        with urllib.request.urlopen(f"http://{HOST}:{self.server.port}{path}") as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def _read(self) -> None:
        while not self._is_over.is_set():
            for key, _ in self._selector.select(INTERVAL) if self.attackers else ():
                if not key.data.take():
                    # The attack may have closed it just now.
                    with contextlib.suppress(KeyError, ValueError):
                        self._selector.unregister(key.fileobj)
            if not self.attackers:
                time.sleep(INTERVAL)

    def _look(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError):
                self._is_too_large = self._is_too_large or resident(self.server.pid) > self._most
                self.most_descriptors = max(
                    self.most_descriptors, count_descriptors(self.server.pid)
                )
                self.most_threads = max(self.most_threads, count_threads(self.server.pid))
            time.sleep(INTERVAL)

    def keep(self, clients: Iterable[Client | None]) -> None:
        """Keep connections open until the end."""
        self._kept += filter(None, clients)

    def end(self) -> None:
        """Close all connections of the attack."""
        for client in self._kept:
            client.socket.close()
        for attacker in self.attackers:
            attacker.socket.close()
        self._selector.close()


def mib(number: float) -> str:
    return f"{number / MIB:.0f}" if number >= 10 * MIB else f"{number / MIB:.1f}"
