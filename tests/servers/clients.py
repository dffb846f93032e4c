"""Clients for the tests: HTTP, WebSocket messages, and single frames."""

from __future__ import annotations

import base64
import contextlib
import http.client
import inspect
import itertools
import json
import os
import socket
import struct
import time
from typing import Any, Callable, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .processes import DEADLINE

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

# Newer releases of websockets look for a proxy.
NO_PROXY: dict[str, Any] = (
    {"proxy": None} if "proxy" in inspect.signature(connect).parameters else {}
)


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    text: str


def eventually(look: Callable[[], Any], expected: Any) -> None:
    """Call ``look``, which asks a server, until it returns the expected value."""
    deadline = time.monotonic() + DEADLINE
    found = look()
    while found != expected and time.monotonic() < deadline:
        time.sleep(0.005)  # the server needs the processor more than this process
        found = look()
    assert found == expected


class Site:
    """One of the sites of a server, as its users see it."""

    def __init__(self, port: int, prefix: str = "") -> None:
        self.port = port
        self.prefix = prefix
        self.host = f"127.0.0.1:{port}"

    # HTTP ------------------------------------------------------------------------

    def http(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        with contextlib.closing(self.open_http()) as connection:
            connection.request(method, self.prefix + path, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    def choose_server(self, purpose: str) -> None:
        """Choose the server of the next connection; a site on several servers has a choice.

        :param purpose: "http" or "websocket".
        """

    def open_http(self) -> http.client.HTTPConnection:
        self.choose_server("http")
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    def get(self, path: str) -> Any:
        """GET a page that must exist. Returns its text, or its decoded JSON."""
        return self._take(self.http("GET", path))

    def expect(self, path: str, expected: Any) -> None:
        """GET a page, whose content is known. Other servers of a cluster may hear later of it."""
        assert self.get(path) == expected

    def post(self, path: str) -> Any:
        return self._take(self.http("POST", path))

    def login(self, username: str, page: str = "/login/") -> str:
        """Log in; returns the cookie for the next requests."""
        answer = self.http("GET", f"{page}{username}")
        assert answer.status == 200, answer.text
        cookies = answer.headers.get_all("Set-Cookie", [])
        return "; ".join(cookie.split(";")[0] for cookie in cookies)

    def knock(self, query: str = "", **headers: str | None) -> Answer:
        """Ask for an upgrade and hang up. ``headers`` change the headers of a good handshake."""
        return self.http("GET", "/protoo" + query, handshake_headers(headers))

    @staticmethod
    def _take(answer: Answer) -> Any:
        assert answer.status == 200, f"{answer.status} {answer.text}"
        if answer.headers.get_content_type() == "application/json":
            return json.loads(answer.text)
        return answer.text

    # WebSocket -------------------------------------------------------------------

    def connect(self, username: str, uuid: str = "a1", query: str = "", **headers: str) -> Client:
        """Log in and connect."""
        cookie = self.login(username)
        return self.connect_with(f"?uuid={uuid}{query}", Cookie=cookie, **headers)

    def connect_with(self, query: str, compression: str | None = None, **headers: str) -> Client:
        self.choose_server("websocket")
        return Client(
            f"ws://{self.host}{self.prefix}/protoo{query}",
            additional_headers=_spell(headers),
            compression=compression,
        )

    def connect_raw(self, username: str, uuid: str = "a1", receive_buffer: int = 0) -> RawClient:
        """Log in and connect a client without any automatic behaviour."""
        cookie = self.login(username)
        self.choose_server("websocket")
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE)
        sock.connect(("127.0.0.1", self.port))
        target = f"{self.prefix}/protoo?uuid={uuid}"
        client = RawClient(sock, target, Host=self.host, Cookie=cookie)
        assert client.status == 101
        return client


def handshake_headers(changes: dict[str, str | None]) -> dict[str, str]:
    """Return the headers of a good handshake with changes; ``None`` removes a header."""
    headers: dict[str, str | None] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "protoo",
    }
    headers.update(_spell(changes))
    return {name: value for name, value in headers.items() if value is not None}


def _spell(headers: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Client:
    """A protoo client that sends and receives messages without interpreting them."""

    def __init__(self, url: str, **options: Any) -> None:
        self._context = contextlib.ExitStack()
        self.connection = self._context.enter_context(
            connect(
                url,
                subprotocols=["protoo"],  # type: ignore[list-item]
                max_size=None,
                open_timeout=DEADLINE,
                close_timeout=DEADLINE,
                **NO_PROXY,
                **options,
            )
        )
        assert self.connection.subprotocol == "protoo"
        self._ids = itertools.count(1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def send(self, message: dict[str, Any]) -> None:
        self.connection.send(json.dumps(message))

    def start(self, method: str, path: str, data: dict[str, Any] | None = None) -> int:
        """Send a request without waiting; returns its id."""
        id = next(self._ids)
        self.send({"method": method, "path": path, "id": id, "data": data or {}})
        return id

    def request(self, method: str, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, and return its response, which must be the next message."""
        id = self.start(method, path, data)
        message = self.receive()
        assert message.get("id") == id, f"expected the response to {id}, got {message}"
        assert "status" in message, message
        return message

    def notify(self, method: str, path: str, data: dict[str, Any] | None = None) -> None:
        self.send({"method": method, "path": path, "data": data or {}})

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self.connection.recv(DEADLINE))
        return message

    def expect(self, method: str) -> dict[str, Any]:
        """Return the next message, which must be a request or notification."""
        message = self.receive()
        assert message.get("method") == method, message
        return message

    def respond(self, request: dict[str, Any], status: int, reason: str = "", **data: Any) -> None:
        self.send({"status": status, "reason": reason, "id": request["id"], "data": data})

    def nothing_came(self) -> None:
        """Assert that no message was sent to this client, by requesting an echo."""
        assert self.request("get", "/echo", {"n": 1})["data"] == {"n": 1}

    def journal(self) -> list[str]:
        """Return the user's journal; all earlier requests of this client are in it."""
        entries: list[str] = self.request("get", "/journal")["data"]["entries"]
        return entries

    def wait_for_close(self) -> tuple[int | None, str]:
        """Wait for the end, and return the code and the reason given by the server."""
        try:
            message = self.connection.recv(DEADLINE)
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                return closed.rcvd.code, closed.rcvd.reason
            raise
        raise AssertionError(f"expected the end of the connection, got {message!r}")

    def close(self, code: int = 1000) -> None:
        self.connection.close(code)
        self._context.close()


class RawClient:
    """Single frames over a socket. It answers no pings, and reads only on request."""

    def __init__(self, sock: socket.socket, target: str, **headers: str) -> None:
        lines = [f"GET {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in handshake_headers(dict(headers)).items()]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self._take_answer(sock)

    @classmethod
    def of_answer(cls, sock: socket.socket) -> RawClient:
        """Return the client of a handshake that was sent already."""
        client = cls.__new__(cls)
        client._take_answer(sock)
        return client

    def _take_answer(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")
        #: The HTTP status.
        self.status = int(self._file.readline().split()[1])
        self.headers = http.client.parse_headers(self._file)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._file.close()
        self._sock.close()

    @staticmethod
    def frame(opcode: int, payload: bytes = b"", first: int = 0x80) -> bytes:
        """Return a frame, masked with a mask of zeros."""
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", first | opcode, 0x80 | length)
        else:
            head = struct.pack("!BBH", first | opcode, 0x80 | 126, length)
        return head + bytes(4) + payload

    def send_frame(self, opcode: int, payload: bytes = b"", first: int = 0x80) -> None:
        self.send_bytes(self.frame(opcode, payload, first))

    def send_bytes(self, data: bytes) -> None:
        """Send frames, or parts of them."""
        self._sock.sendall(data)

    def send_part_of_request(self, method: str, path: str, id: int) -> None:
        """Send only the beginning of a frame."""
        payload = json.dumps({"method": method, "path": path, "id": id, "data": {}}).encode()
        self._sock.sendall(struct.pack("!BB", 0x81, 0x80 | len(payload)) + bytes(4) + payload[:-5])

    def break_off(self) -> None:
        """Reset the connection; data in transit in either direction is lost."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self._sock.close()

    def send_request(self, method: str, path: str, id: int, **data: Any) -> None:
        message = {"method": method, "path": path, "id": id, "data": data}
        self.send_frame(TEXT, json.dumps(message).encode())

    def read_frame(self) -> tuple[int, bytes]:
        head = self._file.read(2)
        if not head:
            raise EOFError
        first, length = head
        assert first & 0x80, "a server of ours sends whole messages"
        if length == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        payload = self._file.read(length)
        assert len(payload) == length
        return first & 0x0F, payload

    def read_message(self) -> dict[str, Any]:
        opcode, payload = self.read_frame()
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        return message

    def take_waiting(self) -> None:
        """Take the bytes that have come, and forget them; no message can be read any more."""
        self._sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self._sock.recv(1 << 20):
                pass
        self._sock.settimeout(DEADLINE)

    def read_close(self) -> tuple[int, str]:
        """Read a Close frame and then the end of the connection."""
        opcode, payload = self.read_frame()
        assert opcode == CLOSE, (opcode, payload)
        (code,) = struct.unpack("!H", payload[:2])
        self.send_frame(CLOSE, payload[:2])
        assert self._file.read(1) == b""
        return code, payload[2:].decode()
