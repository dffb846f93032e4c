"""Proxies between clients and a server: one that disturbs by a seed, and one that speaks TLS."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
from typing import Any

import gevent
from gevent.server import StreamServer

#: Makes close() send RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

READ_SIZE = 16384


class Link:
    """Forwards connections to a port.

    :ivar port: of the proxy.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._pairs: set[tuple[Any, Any]] = set()
        self._server = StreamServer(("127.0.0.1", 0), self._serve, backlog=512)
        self._server.start()
        self.port: int = self._server.server_port

    def _connect(self) -> Any:
        return socket.create_connection(("127.0.0.1", self._target_port))

    def _serve(self, client: Any, address: Any) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server = self._connect()
        except OSError:
            _reset(client)
            return
        pair = (client, server)
        self._pairs.add(pair)
        try:
            back = gevent.spawn(self._pass_on, server, client)
            self._pass_on(client, server)
            back.join()
        finally:
            self._pairs.discard(pair)
            for sock in pair:
                sock.close()

    def _pass_on(self, source: Any, target: Any) -> None:
        try:
            while data := source.recv(READ_SIZE):
                self._send(target, data)
        except (OSError, ValueError):
            # One of the ends has reset the connection, or the proxy was cut: so are both. A
            # ValueError says the same where TLS is spoken.
            _reset(target)
            _reset(source)
            return
        with contextlib.suppress(OSError):
            _end(target)

    def _send(self, target: Any, data: bytes) -> None:
        target.sendall(data)

    def cut(self) -> int:
        """Reset all connections; returns how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            for sock in pair:
                _reset(sock)
        return len(pairs)

    def close(self) -> None:
        self._server.stop()
        self.cut()


class TlsLink(Link):
    """Forwards connections by TLS, for clients that speak none."""

    def __init__(self, target_port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        super().__init__(target_port)

    def _connect(self) -> Any:
        sock = super()._connect()
        try:
            return self._context.wrap_socket(sock)
        except BaseException:
            sock.close()
            raise


class Proxy(Link):
    """A bad network: a third of the connections is split into small pieces, another one delayed.

    :param seed: decides which, and how.
    """

    def __init__(self, target_port: int, seed: str) -> None:
        self._rnd = random.Random(seed)
        #: Seconds more for each part of the data.
        self.delay = 0.0
        super().__init__(target_port)

    def _send(self, target: Any, data: bytes) -> None:
        mode = self._rnd.random()
        if mode < 0.33:
            gevent.sleep(self.delay + self._rnd.random() * 0.02)
        elif self.delay:
            gevent.sleep(self.delay)
        if mode < 0.67:
            target.sendall(data)
            return
        # Each piece is a segment of its own, as TCP_NODELAY is set. The rest of a long part
        # is not: it takes too long.
        for start in range(0, min(len(data), 40), size := self._rnd.randrange(1, 8)):
            target.sendall(data[start : min(start + size, 40)])
            gevent.sleep(0)
        if len(data) > 40:
            target.sendall(data[40:])


def _reset(sock: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _end(sock: Any) -> None:
    if isinstance(sock, ssl.SSLSocket):
        # The end of one direction cannot be told without that of the other.
        sock.shutdown(socket.SHUT_RDWR)
    else:
        sock.shutdown(socket.SHUT_WR)
