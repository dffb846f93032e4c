"""The ground of fuzzers and floods: one of the servers of a cell, and raw clients of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import zlib
from typing import Any

from tests.servers.clients import BINARY, CLOSE, PONG, TEXT, RawClient
from tests.servers.processes import DEADLINE
from tests.soak.client import RSV1, TAIL
from tests.transport.wire import frame

_numbers = itertools.count(1)


class Heard(list):
    """The messages of the server until the end of the connection.

    :ivar code: of its Close frame; ``None`` without one.
    :ivar pongs: how many have come.
    """

    code: int | None = None
    pongs = 0


class RawPeer(RawClient):
    """A client of the campaign, which sends any bytes, and tells what has come."""

    uuid = ""

    def _take_answer(self, sock: socket.socket) -> None:
        super()._take_answer(sock)
        self._inflate = zlib.decompressobj(wbits=-15)

    def read_frame(self) -> tuple[int, bytes]:
        """Read a frame; a message that was compressed is inflated."""
        head = self._file.peek(1)[:1]
        opcode, payload = super().read_frame()
        if head[0] & RSV1:
            payload = self._inflate.decompress(payload + TAIL)
        return opcode, payload

    def listen(self) -> Heard:
        """Read until the server ends the connection."""
        heard = Heard()
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                opcode, payload = self.read_frame()
                if opcode == TEXT:
                    heard.append(json.loads(payload))
                elif opcode == PONG:
                    heard.pongs += 1
                elif opcode == CLOSE:
                    heard.code = int.from_bytes(payload[:2], "big") if payload else 1005
                    # The server waits for ours, or for the end.
                    self._shut_down()
                elif opcode == BINARY:
                    raise AssertionError("a binary message of the server")
        return heard

    def send_frame_of(self, payload: bytes) -> None:
        """Send a text message of any length."""
        self.send_bytes(frame(TEXT, payload, mask=bytes(4)))

    def set_patience(self, seconds: float) -> None:
        """Let reading and writing fail that takes longer."""
        self._sock.settimeout(seconds)

    def finish(self) -> None:
        """Send nothing more."""
        self._shut_down()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """Read until the end, and answer nothing."""
        with contextlib.suppress(OSError, ValueError):
            while self._file.read1(1 << 16):
                pass

    def await_answer(self, id: int) -> list[dict[str, Any]]:
        """Read until the final response to a request; returns all messages, it is the last one.

        Requests of the server are answered 404.
        """
        messages = []
        while True:
            opcode, payload = self.read_frame()
            if opcode == CLOSE:
                raise AssertionError(f"closed with {int.from_bytes(payload[:2], 'big')}")
            if opcode != TEXT:
                continue
            message = json.loads(payload)
            if "method" in message:
                if "id" in message:
                    self.send_frame(TEXT, json.dumps({"status": 404, "id": message["id"]}).encode())
                continue
            messages.append(message)
            if message["id"] == id and message["status"] >= 200:
                return messages


class Ground:
    """A server on which fuzzers and floods play.

    :param has_half_close: whether a client may say that it sends nothing more, and still read.
    """

    def __init__(self, port: int, has_half_close: bool = True) -> None:
        self.port = port
        self.has_half_close = has_half_close

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE)

    def connect(self, username: str = "fuzz", uuid: str = "", **headers: str) -> RawPeer:
        """Connect a device; a new one by default."""
        uuid = uuid or f"f{next(_numbers)}"
        target = f"/protoo?username={username}&uuid={uuid}"
        client = RawPeer(self.dial(), target, Host=f"127.0.0.1:{self.port}", **headers)
        client.uuid = uuid
        if client.status != 101:
            client.__exit__()
            raise AssertionError(f"a good handshake was answered {client.status}")
        return client
