"""The floor of a relay: a message from one client to another, by one process or by two.

``recv`` and ``send`` on gevent's hub, no WebSocket, no JSON, always the same messages. A message of
the client ``u7`` is for ``peer7``, and its answer goes back. If ``peer7`` is not connected here, it
is connected to the other process. What is for that one in an iteration of the hub leaves as one
packet of a Unix socket. No cluster of processes on gevent can be cheaper.

    python benchmarks/servers/relay_floor.py PORT

BENCH_FLOOR_SOCKETS has the paths of two sockets, of this process and of the other one.
BENCH_FLOOR_WORK is the number of steps of an empty loop for each message: the work of a site.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from typing import Any, Callable

import gevent
from gevent.server import StreamServer

from benchmarks.servers.gevent_floor import HANDSHAKE

#: As long as those of a site.
MESSAGE = b"\x81\x7e\x00\x90" + b"m" * 144
ANSWER = b'\x81\x0e{"status":200}'
#: The first byte of a close frame.
CLOSE = b"\x88"
READ = 1
#: What stands for the work of a site on a message.
WORK = range(int(os.environ.get("BENCH_FLOOR_WORK", "0")))


class Floor:
    """The clients of this process, and the way to the other."""

    def __init__(self, own: str, other: str) -> None:
        self._loop: Any = gevent.get_hub().loop
        self._clients: dict[bytes, socket.socket] = {}
        self._out: list[tuple[socket.socket, bytes]] = []
        self._batch: list[bytes] = []
        self._other = other
        self._watchers: dict[socket.socket | None, Any] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(own)
        self._listener.listen()
        self._watch(self._listener, self._accept)
        self._way: socket.socket | None = None
        self._watch_iterations()

    def _watch(self, sock: socket.socket, function: Callable[..., None], *args: object) -> None:
        watcher = self._watchers[sock] = self._loop.io(sock.fileno(), READ)
        watcher.start(function, *args)

    def _watch_iterations(self) -> None:
        check = self._watchers[None] = self._loop.check(ref=False)
        check.priority = self._loop.MINPRI  # after the sockets
        check.start(self._write)

    def serve(self, sock: socket.socket, address: object) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        sock.sendall(HANDSHAKE)
        found = re.search(rb"username=(\w+)", head)
        if found is None:
            return
        name = found.group(1)
        number = name.lstrip(b"upeer")
        is_sender = name.startswith(b"u")
        plain = socket.socket(fileno=os.dup(sock.fileno()))
        plain.setblocking(False)
        self._clients[name] = plain
        to, message = (b"peer" + number, MESSAGE) if is_sender else (b"u" + number, ANSWER)
        self._watch(plain, self._take, plain, name, to, message)

    def _take(self, sock: socket.socket, name: bytes, to: bytes, message: bytes) -> None:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data or data[:1] == CLOSE:
            self._watchers.pop(sock).close()
            if self._clients.get(name) is sock:
                del self._clients[name]
            sock.close()
            return
        self._pass_on(to, message)

    def _pass_on(self, to: bytes, message: bytes) -> None:
        for _ in WORK:
            pass
        client = self._clients.get(to)
        if client is not None:
            self._out.append((client, message))
        else:
            self._batch.append(to + b"\0" + message)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self._watch(sock, self._take_batch, sock)

    def _take_batch(self, sock: socket.socket) -> None:
        for item in sock.recv(65536).split(b"\1"):
            to, _, message = item.partition(b"\0")
            client = self._clients.get(to)
            if client is not None:
                self._out.append((client, message))

    def _write(self) -> None:
        if self._batch:
            if self._way is None:
                self._way = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._way.connect(self._other)
            self._way.send(b"\1".join(self._batch))
            self._batch.clear()
        out, self._out = self._out, []
        for client, message in out:
            with contextlib.suppress(OSError):  # it has left
                client.send(message)


if __name__ == "__main__":
    floor = Floor(*os.environ["BENCH_FLOOR_SOCKETS"].split(","))
    StreamServer(("127.0.0.1", int(sys.argv[1])), floor.serve, backlog=2048).serve_forever()
