"""A WebSocket connection of the load generator, written by hand on a plain socket."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import sys
from typing import NamedTuple, Sequence
from urllib.parse import quote

from .frames import CLOSE, PING, PONG, TEXT, client_frame, split_frames
from .wires import Wire, WrongAnswer, expect

HOST = "127.0.0.1"
#: Seconds; nothing here takes that long unless it hangs.
TIMEOUT = 30
RECEIVE = 1 << 16
#: On Linux all of 127.0.0.0/8 is this machine. With several source addresses, closed connections
#: that still linger do not use up the ports.
_SOURCES = itertools.cycle([f"127.0.0.{number}" for number in range(2, 18)])


class Exchange(NamedTuple):
    """A request and its answer, both as frames, so that their bytes can be compared."""

    frame: bytes
    answer: bytes


class Client:
    """A connected client.

    :param headers: more lines of the handshake.
    :ivar exchanges: the exchanges that a closed loop repeats in turn; :meth:`learn` fills it.
    """

    def __init__(
        self,
        port: int,
        wire: Wire,
        username: str = "u0",
        uuid: str = "d",
        cookie: str = "",
        headers: Sequence[str] = (),
    ) -> None:
        self.wire = wire
        self.username = username
        self.uuid = uuid
        self.exchanges: list[Exchange] = []
        self._buffer = b""
        self._messages: list[bytes] = []
        self._ids = itertools.count(1)
        self.socket = socket.socket()
        self.fd = self.socket.fileno()
        try:
            self._connect(port)
            self._shake_hands(port, cookie, headers)
        except BaseException:
            self.socket.close()
            raise

    def _connect(self, port: int) -> None:
        # Not settimeout(), which needs two system calls for each recv().
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", TIMEOUT, 0))
        if sys.platform == "linux":
            self.socket.bind((next(_SOURCES), 0))
        self.socket.connect((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _shake_hands(self, port: int, cookie: str, headers: Sequence[str]) -> None:
        who = f"uuid={quote(self.uuid)}&username={quote(self.username)}"
        path = f"{self.wire.path}{'&' if '?' in self.wire.path else '?'}{who}"
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {HOST}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        ]
        if self.wire.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {self.wire.subprotocol}")
        if cookie:
            lines.append(f"Cookie: {cookie}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(RECEIVE)
            if not data:
                raise WrongAnswer(f"refused: {head[:300]!r}")
            head += data
        head, self._buffer = head.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise WrongAnswer(f"refused: {head[:300]!r}")
        for message, answer in self.wire.opening():
            if message is not None:
                self.socket.sendall(client_frame(message))
            payload = self.receive()
            expect(payload.startswith(answer), payload)

    def close(self) -> None:
        """Close with 1000, without waiting for the server's close frame."""
        with contextlib.suppress(OSError):  # the server has closed first
            self.socket.sendall(client_frame(b"\x03\xe8", CLOSE))
        self.socket.close()

    # One thing after the other -------------------------------------------------------

    def next_id(self) -> int:
        """Return an id that this client has not used."""
        return next(self._ids)

    def call(self, payload: bytes) -> bytes:
        """Send a message and return the next received one."""
        self.socket.sendall(client_frame(payload))
        return self.receive()

    def receive(self) -> bytes:
        """Wait for the next message."""
        if not self._messages:
            self._messages += self.take(b"")
        while not self._messages:
            self._messages += self.take(self.read())
        return self._messages.pop(0)

    def read(self) -> bytes:
        """Wait for bytes and return them."""
        data = self.socket.recv(RECEIVE)
        if not data:
            raise WrongAnswer("the server has closed the connection")
        return data

    def take(self, data: bytes) -> list[bytes]:
        """Return the messages in the received bytes, and answer pings.

        This slow way is for all data that is not exactly one frame with the expected bytes.
        """
        if not data and not self._buffer:
            return []
        frames, self._buffer = split_frames(self._buffer + data)
        messages = []
        for opcode, payload, _ in frames:
            if opcode == PING:
                self.socket.sendall(client_frame(payload, PONG))
            elif opcode == CLOSE:
                raise WrongAnswer(f"the server has closed the connection: {payload!r}")
            elif opcode == TEXT:
                pong = self.wire.keep_alive(payload)
                if pong is None:
                    messages.append(payload)
                else:
                    self.socket.sendall(client_frame(pong))
        return messages

    def learn(self, count: int) -> None:
        """Make some requests, check the answers in detail, and store both to be repeated.

        A closed loop only has time to compare bytes.
        """
        for _ in range(count):
            id = self.next_id()
            payload = self.wire.request(id)
            answer = self.call(payload)
            self.wire.check(answer, id)
            self.exchanges.append(Exchange(client_frame(payload), server_frame(answer)))


def server_frame(payload: bytes) -> bytes:
    """Return a text message as the frame that a server sends."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    return bytes((0x81, 126)) + length.to_bytes(2, "big") + payload
