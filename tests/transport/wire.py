"""The client's side of the wire, written without the code under test."""

from __future__ import annotations

import itertools
import json
import socket
import struct
from typing import Any, NamedTuple

import pytest

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA

HANDSHAKE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

#: Seconds after which a test that waits has failed.
PATIENCE = 20


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    size: int | None = None,
) -> bytes:
    """Write a frame as clients send them, or as they must not.

    :param mask: ``None`` for a frame without one.
    :param size: how many bytes the length takes (1, 2 or 8); the shortest when not given.
    """
    length = len(payload)
    if size is None:
        size = 1 if length < 126 else 2 if length < 65536 else 8
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0 if mask is None else 0x80
    if size == 1:
        head = struct.pack("!BB", first, masked | length)
    else:
        code, form = (126, "!BBH") if size == 2 else (127, "!BBQ")
        head = struct.pack(form, first, masked | code, length)
    if mask is None:
        return head + payload
    return head + mask + bytes(a ^ b for a, b in zip(payload, itertools.cycle(mask)))


def text(message: Any, **options: Any) -> bytes:
    """Write a text frame: a JSON message, or a string as it is."""
    string = message if isinstance(message, str) else json.dumps(message)
    return frame(TEXT, string.encode(), **options)


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


class Frame(NamedTuple):
    """A frame that the server sent."""

    opcode: int
    payload: bytes

    @property
    def close(self) -> tuple[int, str]:
        """The code and the reason of a Close frame."""
        assert self.opcode == CLOSE, self
        (code,) = struct.unpack("!H", self.payload[:2])
        return code, self.payload[2:].decode()


class Client:
    """A WebSocket client that may misbehave.

    :param sock: connected, and blocking in the world of the test.
    :param connection: the server's side.
    :param closed: the event of its end.
    """

    def __init__(self, sock: Any, connection: Any, closed: Any) -> None:
        self.sock = sock
        self.connection = connection
        self.closed = closed
        sock.settimeout(PATIENCE)
        self._received = bytearray()
        self._ids = itertools.count(1)

    # Sending -----------------------------------------------------------------------

    def send_bytes(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages, in one write."""
        self.send_bytes(b"".join(text(message) for message in messages))

    def send_request(self, method: str, path: str = "/", **data: Any) -> int:
        """Send a request; returns its id."""
        id = next(self._ids)
        self.send({"method": method, "path": path, "id": id, "data": data})
        return id

    def request(self, method: str, path: str = "/", **data: Any) -> dict[str, Any]:
        """Send a request and take the next message, which must answer it."""
        id = self.send_request(method, path, **data)
        response = self.take()
        assert response.get("id") == id, response
        return response

    def respond(self, request: dict[str, Any], status: int = 200, **data: Any) -> None:
        self.send({"status": status, "reason": "", "id": request["id"], "data": data})

    # Receiving ---------------------------------------------------------------------

    def receive_handshake(self) -> None:
        assert self._read(len(HANDSHAKE)) == HANDSHAKE

    def receive(self) -> Frame:
        """Receive a frame, which must be one that servers may send."""
        first, second = self._read(2)
        assert first & 0x70 == 0, "a reserved bit is set"
        assert first & 0x80, "servers of this protocol do not fragment"
        length = second
        assert length < 128, "servers do not mask"
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return Frame(first & 0x0F, self._read(length))

    def take(self) -> dict[str, Any]:
        """Receive a message."""
        received = self.receive()
        assert received.opcode == TEXT, received
        message: dict[str, Any] = json.loads(received.payload)
        return message

    def take_many(self, count: int) -> list[dict[str, Any]]:
        return [self.take() for _ in range(count)]

    def take_close(self) -> tuple[int, str]:
        """Receive a Close frame, and after it nothing but the end."""
        closed = self.receive().close
        self.take_end()
        return closed

    def take_end(self) -> None:
        """See that nothing more comes, and that the connection was not reset."""
        assert bytes(self._received) == b""
        assert self.sock.recv(1) == b""

    def hear_nothing(self, seconds: float) -> None:
        """See that nothing comes for some time."""
        self.sock.settimeout(seconds)
        with pytest.raises(socket.timeout):
            self.sock.recv(1, socket.MSG_PEEK)
        self.sock.settimeout(PATIENCE)

    def wait_for_end(self) -> None:
        """Wait until the server has given everything back."""
        assert self.closed.wait(PATIENCE)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Vanish, as with a cable that is pulled: no end, a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the connection ended with {bytes(self._received)[:100]!r}")
            self._received += data
        data = bytes(self._received[:size])
        del self._received[:size]
        return data
