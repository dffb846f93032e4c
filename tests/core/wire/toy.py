"""A second dialect, with keys of one letter, and a client that speaks it."""

from __future__ import annotations

import json
from typing import Any

from protoo_flask.core.wire import messages
from protoo_flask.core.wire.dialect import PROTOO
from protoo_flask.core.wire.messages import Incoming
from tests.fakes import FakeClient

KEYS = {
    "method": "m",
    "path": "p",
    "id": "i",
    "data": "d",
    "status": "s",
    "reason": "r",
    "sender": "f",
}
NAMES = {key: name for name, key in KEYS.items()}


def rename(payload: bytes, names: dict[str, str]) -> bytes:
    """Write a JSON object again with other keys; leaves anything else as it is."""
    try:
        fields = json.loads(payload)
    except ValueError:
        return payload
    if not isinstance(fields, dict):
        return payload
    return json.dumps({names.get(key, key): value for key, value in fields.items()}).encode()


class ToyDialect:
    """Messages with short keys; notes how often a notification is written."""

    subprotocol = "toy"

    def __init__(self) -> None:
        self.notifications = 0

    def parse(self, payload: bytes) -> Incoming:
        return messages.parse(rename(payload, NAMES))

    def serialize_request(
        self, method: str, id: int, data: dict[str, Any], sender: dict[str, str] | None
    ) -> bytes:
        return rename(PROTOO.serialize_request(method, id, data, sender), KEYS)

    def serialize_notification(
        self, method: str, data: dict[str, Any], sender: dict[str, str] | None
    ) -> bytes:
        self.notifications += 1
        return rename(PROTOO.serialize_notification(method, data, sender), KEYS)

    def serialize_response(self, status: int, reason: str, id: int, data: dict[str, Any]) -> bytes:
        return rename(PROTOO.serialize_response(status, reason, id, data), KEYS)


TOY = ToyDialect()


class ToyClient(FakeClient):
    """A client that speaks the toy dialect; the test uses the long names."""

    dialect = TOY

    def encode(self, message: dict[str, Any]) -> bytes:
        return rename(super().encode(message), KEYS)

    def take(self) -> dict[str, Any]:
        message = self.link.take()
        assert set(message) <= set(NAMES), "not written in the toy dialect"
        return {NAMES[key]: value for key, value in message.items()}

    def take_all(self) -> list[dict[str, Any]]:
        return [self.take() for _ in list(self.link.payloads)]
