"""A server that does what a test tells it to, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from typing import Any, Callable

DEADLINE = 20.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Line:
    """One accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE)
        self.sock = sock
        self.head = b""
        self._buffer = b""

    def read_head(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._recv()
        self.head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return self.head

    def accept(self, more: bytes = b"", headers: bytes = b"") -> Line:
        """Answer the handshake; ``more`` is sent in the same packet."""
        key = re.search(rb"(?i)\r\nsec-websocket-key: (\S+)", self.read_head())
        assert key is not None
        answer = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: protoo\r\nSec-WebSocket-Accept: " + answer + b"\r\n"
            + headers + b"\r\n" + more
        )  # fmt: skip
        return self

    def send(self, text: str) -> None:
        self.sock.sendall(frame(0x1, text.encode()))

    def close(self, code: int | None = None, reason: str = "") -> None:
        payload = b"" if code is None else struct.pack(">H", code) + reason.encode()
        self.sock.sendall(frame(0x8, payload))

    def read_frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload; (-1, b"") at the end of the connection."""
        try:
            first, second = self._take(2)
            length = second & 0x7F
            if length > 125:
                length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
            mask = self._take(4)
            data = self._take(length)
        except EOFError:
            return -1, b""
        pad = (mask * (length // 4 + 1))[:length]
        number = int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")
        return first & 0xF, number.to_bytes(length, "big")

    def read_text(self) -> str:
        opcode, payload = self.read_frame()
        assert opcode == 0x1, opcode
        return payload.decode()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._recv()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _recv(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    size = len(payload)
    first = opcode | 0x80 * is_last
    if size < 126:
        return bytes([first, size]) + payload
    return bytes([first, 126]) + struct.pack(">H", size) + payload


class ScriptedServer:
    """Runs a script for each connection, one after the other.

    The scripts that fail make :meth:`stop` fail.
    """

    def __init__(self, *scripts: Callable[[Line], Any], host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen()
        self._listener.settimeout(DEADLINE)
        self.port = self._listener.getsockname()[1]
        self.url = f"ws://{f'[{host}]' if family == socket.AF_INET6 else host}:{self.port}/protoo"
        self._scripts = scripts
        self.error: BaseException | None = None
        self.results: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="scripted server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for script in self._scripts:
            try:
                sock, _ = self._listener.accept()
                with sock:
                    self.results.append(script(Line(sock)))
            except BaseException as error:  # noqa: BLE001
                self.error = error
                return

    def stop(self) -> list[Any]:
        """Wait until all scripts have run; returns their results."""
        self._thread.join(DEADLINE)
        self._listener.close()
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.results

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is None:
            self.stop()
        else:
            self._listener.close()
