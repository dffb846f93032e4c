"""The messages on the WebSocket, for each kind of server.

Every request of a connection has its own id and asks for a different item. So a server gains
nothing from caching the bytes of an earlier message.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: The data of a message, the same with every server.
DATA = {"type": "text", "text": "hi Bob!"}

_ID = re.compile(rb'"id": ?(\d+)')


class WrongAnswer(Exception):
    """A server has sent a wrong answer, so its figures would mean nothing."""


class Wire:
    """Plain JSON for an echo: the server sends each message back."""

    path = "/echo"
    subprotocol: str | None = None

    def opening(self) -> list[tuple[bytes | None, bytes]]:
        """Return (message to send or ``None``, start of the answer) pairs after the handshake."""
        return []

    def keep_alive(self, payload: bytes) -> bytes | None:
        """Return the reply to a keep-alive message, or ``None`` for any other message."""
        return None

    def request(self, id: int) -> bytes:
        """Return a request for the item with the number ``id``."""
        return encode({"method": "get", "path": f"/item/{id}", "id": id, "data": DATA})

    def check(self, payload: bytes, id: int) -> None:
        """Check an answer to :meth:`request` in detail."""
        expect(payload == self.request(id), payload)

    def message(self, username: str, uuid: str, id: int) -> bytes:
        """Return a message to another client, where the server relays messages."""
        raise NotImplementedError

    def answer(self, payload: bytes) -> bytes:
        """Return the other client's answer to a received message."""
        raise NotImplementedError

    def check_accepted(self, payload: bytes, id: int) -> None:
        """Check that a message was accepted, from the answer to its sender."""
        raise NotImplementedError


class Constant(Wire):
    """The wire of a server that always sends the same answer, without reading messages."""

    def check(self, payload: bytes, id: int) -> None:
        expect(payload == b'{"status":200}', payload)


class Relayed(Constant):
    """The wire of a server that passes every message on, without reading it."""

    def message(self, username: str, uuid: str, id: int) -> bytes:
        return b"m" * 110

    def answer(self, payload: bytes) -> bytes:
        return b"a" * 44

    def check_accepted(self, payload: bytes, id: int) -> None:
        self.check(payload, id)


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
        return encode({"method": method, "path": path, "id": id, "data": data})

    def message(self, username: str, uuid: str, id: int) -> bytes:
        return self.request_to("message", f"/users/{username}/{uuid}", id, DATA)

    def answer(self, payload: bytes) -> bytes:
        return b'{"status":200,"reason":"OK","id":%b,"data":{}}' % _id_of(payload)

    def check_accepted(self, payload: bytes, id: int) -> None:
        answer = json.loads(payload)
        expect(answer.get("status") == 200 and answer.get("id") == id, payload)


class Protoo4(Protoo):
    """protoo-server 4. It has no paths, so the path is in the data."""

    path = "/"

    def request(self, id: int) -> bytes:
        return self.request_to("get", f"/item/{id}", id, DATA)

    def request_to(self, method: str, path: str, id: int, data: dict[str, Any]) -> bytes:
        data = {**data, "path": path}
        return encode({"request": True, "method": method, "id": id, "data": data})

    def message(self, username: str, uuid: str, id: int) -> bytes:
        data = {**DATA, "to": username}
        return encode({"request": True, "method": "message", "id": id, "data": data})

    def check(self, payload: bytes, id: int) -> None:
        self.check_accepted(payload, id)
        expect(json.loads(payload)["data"] == {"id": str(id)}, payload)

    def answer(self, payload: bytes) -> bytes:
        return b'{"response":true,"id":%b,"ok":true,"data":{}}' % _id_of(payload)

    def check_accepted(self, payload: bytes, id: int) -> None:
        answer = json.loads(payload)
        expect(answer.get("response") and answer.get("ok") and answer.get("id") == id, payload)


class SocketIO(Wire):
    """Socket.IO 5 over Engine.IO 4, on WebSocket from the start; events with acknowledgement."""

    path = "/socket.io/?EIO=4&transport=websocket"

    def opening(self) -> list[tuple[bytes | None, bytes]]:
        return [(None, b"0{"), (b"40", b"40{")]

    def keep_alive(self, payload: bytes) -> bytes | None:
        return b"3" if payload == b"2" else None

    def request(self, id: int) -> bytes:
        return b"42%d%b" % (id, encode(["item", {**DATA, "path": f"/item/{id}"}]))

    def check(self, payload: bytes, id: int) -> None:
        start = b"43%d" % id
        expect(payload.startswith(start), payload)
        expect(json.loads(payload[len(start) :]) == [{"id": str(id)}], payload)

    def message(self, username: str, uuid: str, id: int) -> bytes:
        """Return an event for a room; the sender's own room has the number of the other's."""
        return b"42" + encode(["relay", {**DATA, "to": username, "id": id}])

    def answer(self, payload: bytes) -> bytes:
        name, data = json.loads(payload[2:])
        return b"42" + encode([name, {**data, "to": data["to"].replace("peer", "u")}])

    def check_accepted(self, payload: bytes, id: int) -> None:
        expect(
            payload.startswith(b'42["relay"') and json.loads(payload[2:])[1]["id"] == id, payload
        )


def expect(condition: Any, payload: bytes) -> None:
    """Raise :class:`WrongAnswer` unless the condition holds."""
    if not condition:
        raise WrongAnswer(f"unexpected: {payload[:200]!r}")


def _id_of(payload: bytes) -> bytes:
    found = _ID.search(payload)
    expect(found, payload)
    assert found is not None
    return found.group(1)


def encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
