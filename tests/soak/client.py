"""A client of the soak: one WebSocket connection, on gevent.

It does no more than it is told, and may break off at any time. It speaks permessage-deflate if it
is told so, with the same window for all messages of a direction (RFC 7692).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import zlib
from typing import Any, Callable

import gevent

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

#: The first reserved bit says that a message is compressed. The tail of such a message is not sent.
RSV1, TAIL = 0x40, b"\0\0\xff\xff"

#: Seconds for a handshake.
PATIENCE = 20.0


class Refused(Exception):
    """The handshake was answered with another status than 101."""


class Connection:
    """One connection.

    :param on_message: called with each message, in order.
    :param on_end: called once, with the code of the server's Close; 1006 without one.
    :param is_compressed: offer permessage-deflate, and insist on it.
    """

    def __init__(
        self,
        port: int,
        query: str,
        on_message: Callable[[dict[str, Any]], Any],
        on_end: Callable[[Connection, int], Any],
        is_compressed: bool = False,
    ) -> None:
        self.port = port
        self._deflate = zlib.compressobj(wbits=-15) if is_compressed else None
        self._inflate = zlib.decompressobj(wbits=-15)
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
        if self._deflate is not None:
            lines.append("Sec-WebSocket-Extensions: permessage-deflate")
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        status = self._file.readline().split()
        if len(status) < 2 or status[1] != b"101":
            raise Refused(b" ".join(status).decode() or "no answer")
        headers = b"".join(iter(lambda: self._file.readline().strip(), b""))
        if self._deflate is not None and b"permessage-deflate" not in headers:
            raise Refused("no compression")

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one that does not arrive is lost."""
        payload = json.dumps(message).encode()
        if self._deflate is None:
            self._send_frame(TEXT, payload)
            return
        data = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._send_frame(TEXT | RSV1, data[: -len(TAIL)])

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
                if opcode == TEXT | RSV1:
                    self._on_message(json.loads(self._inflate.decompress(payload + TAIL)))
                elif opcode == TEXT:
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
        return head[0] & 0x4F, self._take(length)

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _free(self) -> None:
        self._file.close()
        self._socket.close()
