"""A client of the soak: one WebSocket connection, on gevent.

It does no more than it is told, and may break off at any time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
from typing import Any, Callable

import gevent

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

#: Seconds for a handshake.
PATIENCE = 20.0


class Refused(Exception):
    """The handshake was answered with another status than 101."""


class Connection:
    """One connection.

    :param on_message: called with each message, in order.
    :param on_end: called once, with the code of the server's Close; 1006 without one.
    """

    def __init__(
        self,
        port: int,
        query: str,
        on_message: Callable[[dict[str, Any]], Any],
        on_end: Callable[[Connection, int], Any],
    ) -> None:
        self.port = port
        self._on_message = on_message
        self._on_end = on_end
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        try:
            self._shake_hands(query)
        except BaseException:
            self._free()
            raise
        self._socket.settimeout(None)
        self.is_open = True

    def start(self) -> None:
        """Begin to read."""
        gevent.spawn(self._read)

    def _shake_hands(self, query: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /protoo?{query} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Protocol: protoo",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        status = self._file.readline().split()
        if len(status) < 2 or status[1] != b"101":
            raise Refused(b" ".join(status).decode() or "no answer")
        while self._file.readline().strip():
            pass

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one that does not arrive is lost."""
        self._send_frame(TEXT, json.dumps(message).encode())

    def close(self, code: int = 1000) -> None:
        """Say goodbye."""
        self._send_frame(CLOSE, struct.pack("!H", code))

    def break_off(self) -> None:
        """Reset the connection: the server gets no Close."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        with contextlib.suppress(OSError):
            self._socket.sendall(head + bytes(4) + payload)

    def _read(self) -> None:
        code = 1006
        try:
            while True:
                opcode, payload = self._read_frame()
                if opcode == TEXT:
                    self._on_message(json.loads(payload))
                elif opcode == PING:
                    self._send_frame(PONG, payload)
                elif opcode == CLOSE:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    self._send_frame(CLOSE, payload[:2])
                    break
        except (OSError, EOFError):
            pass
        self.is_open = False
        self._free()
        self._on_end(self, code)

    def _read_frame(self) -> tuple[int, bytes]:
        head = self._take(2)
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return head[0] & 0x0F, self._take(length)

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _free(self) -> None:
        self._file.close()
        self._socket.close()
