"""What is said over the WebSocket, for each kind of server.

Every request of a connection has an id of its own, and asks for an item of its own, so
that no server gets away with having seen these very bytes before.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: What a message carries, with every server.
DATA = {"type": "text", "text": "hi Bob!"}

_ID = re.compile(rb'"id": ?(\d+)')


class WrongAnswer(Exception):
    """A server did not answer what it should; measuring it would mean nothing."""


class Wire:
    """Plain JSON: what a server gets is what it sends back."""

    path = "/echo"
    subprotocol: str | None = None

    def opening(self) -> list[tuple[bytes | None, bytes]]:
        """Return what follows the handshake: what to send, and how the answer begins."""
        return []

    def keep_alive(self, payload: bytes) -> bytes | None:
        """Return what a message must be answered with to stay connected, if it asks that."""
        return None

    def request(self, id: int) -> bytes:
        """Return a request for an item: the one whose number is the id."""
        return _encode({"method": "get", "path": f"/item/{id}", "id": id, "data": DATA})

    def check(self, payload: bytes, id: int) -> None:
        """Look closely at an answer to :meth:`request`."""
        expect(payload == self.request(id), payload)


class Constant(Wire):
    """The answer is always the same: that server reads no messages."""

    def check(self, payload: bytes, id: int) -> None:
        expect(payload == b'{"status":200}', payload)


class Protoo(Wire):
    """The wire format of this project."""

    path = "/protoo"
    subprotocol = "protoo"

    def check(self, payload: bytes, id: int) -> None:
        answer = json.loads(payload)
        expect(answer["status"] == 200 and answer["id"] == id, payload)
        expect(answer["data"] == {"id": str(id)}, payload)

    def request_to(self, method: str, path: str, id: int, data: dict[str, Any]) -> bytes:
        """Return a request of any kind."""
        return _encode({"method": method, "path": path, "id": id, "data": data})

    def message(self, username: str, uuid: str, id: int) -> bytes:
        """Return a message to another peer."""
        return self.request_to("message", f"/users/{username}/{uuid}", id, DATA)

    def answer(self, payload: bytes) -> bytes:
        """Return what the other peer answers to a message that it got."""
        return b'{"status":200,"reason":"OK","id":%b,"data":{}}' % _id_of(payload)

    def check_accepted(self, payload: bytes, id: int) -> None:
        """Look closely at what the sender of a message is answered."""
        answer = json.loads(payload)
        expect(answer.get("status") == 200 and answer.get("id") == id, payload)


class Protoo4(Protoo):
    """protoo-server 4. It has no paths: what they would say is in the data."""

    path = "/"

    def request(self, id: int) -> bytes:
        return self.request_to("get", f"/item/{id}", id, DATA)

    def request_to(self, method: str, path: str, id: int, data: dict[str, Any]) -> bytes:
        data = {**data, "path": path}
        return _encode({"request": True, "method": method, "id": id, "data": data})

    def message(self, username: str, uuid: str, id: int) -> bytes:
        data = {**DATA, "to": username}
        return _encode({"request": True, "method": "message", "id": id, "data": data})

    def check(self, payload: bytes, id: int) -> None:
        self.check_accepted(payload, id)
        expect(json.loads(payload)["data"] == {"id": str(id)}, payload)

    def answer(self, payload: bytes) -> bytes:
        return b'{"response":true,"id":%b,"ok":true,"data":{}}' % _id_of(payload)

    def check_accepted(self, payload: bytes, id: int) -> None:
        answer = json.loads(payload)
        expect(answer.get("response") and answer.get("ok") and answer.get("id") == id, payload)


class SocketIO(Wire):
    """Socket.IO 5 over Engine.IO 4, by WebSocket from the start; events with acknowledgement."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def opening(self) -> list[tuple[bytes | None, bytes]]:
        return [(None, b"0{"), (b"40", b"40{")]

    def keep_alive(self, payload: bytes) -> bytes | None:
        return b"3" if payload == b"2" else None

    def request(self, id: int) -> bytes:
        return b"42%d%b" % (id, _encode(["item", {**DATA, "path": f"/item/{id}"}]))

    def check(self, payload: bytes, id: int) -> None:
        start = b"43%d" % id
        expect(payload.startswith(start), payload)
        expect(json.loads(payload[len(start) :]) == [{"id": str(id)}], payload)


def expect(condition: Any, payload: bytes) -> None:
    """Raise :class:`WrongAnswer` unless the condition holds."""
    if not condition:
        raise WrongAnswer(f"unexpected: {payload[:200]!r}")


def _id_of(payload: bytes) -> bytes:
    found = _ID.search(payload)
    expect(found, payload)
    assert found is not None
    return found.group(1)


def _encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
