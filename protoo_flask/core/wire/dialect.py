"""A dialect: how messages are written as text, and read.

Everything that the core reads from a link, or writes to one, goes through the dialect of
that link. There is one today, :data:`PROTOO`; a dialect belongs to a WebSocket sub-protocol.
"""

from __future__ import annotations

from typing import Any, Protocol, Union

import msgspec

from .messages import (
    Incoming,
    OutgoingRequest,
    OutgoingResponse,
    parse,
    serialize_request,
    serialize_response,
)

#: A message of the server: a request (without an id, a notification), or a response.
Outgoing = Union[OutgoingRequest, OutgoingResponse]


class Dialect(Protocol):
    """Reads and writes messages; has no state."""

    @property
    def subprotocol(self) -> str:
        """The WebSocket sub-protocol of the links that speak this dialect."""

    def parse(self, payload: bytes) -> Incoming:
        """Read one text message, untrusted.

        :raises BadMessage: with the reason, and the id to answer with.
        """

    def serialize_request(
        self, method: str, id: int, data: dict[str, Any], sender: dict[str, str] | None
    ) -> bytes:
        """Write a request.

        :raises Unsendable: when ``data`` cannot be written.
        """

    def serialize_notification(
        self, method: str, data: dict[str, Any], sender: dict[str, str] | None
    ) -> bytes:
        """Write a notification.

        :raises Unsendable: when ``data`` cannot be written.
        """

    def serialize_response(self, status: int, reason: str, id: int, data: dict[str, Any]) -> bytes:
        """Write a response.

        :raises Unsendable: when ``data`` cannot be written.
        """

    def reopen(self, payload: bytes) -> Outgoing:
        """Read a message that this dialect has written, so that another one can write it."""


class ProtooDialect:
    """The wire format of :mod:`.messages`."""

    subprotocol = "protoo"
    parse = staticmethod(parse)
    serialize_request = staticmethod(serialize_request)
    serialize_response = staticmethod(serialize_response)

    @staticmethod
    def serialize_notification(
        method: str, data: dict[str, Any], sender: dict[str, str] | None
    ) -> bytes:
        return serialize_request(method, None, data, sender)

    @staticmethod
    def reopen(payload: bytes) -> Outgoing:
        fields = msgspec.json.decode(payload)
        if "status" in fields:
            return OutgoingResponse(**fields)
        return OutgoingRequest(
            fields["method"],
            fields.get("id", msgspec.UNSET),
            fields["data"],
            fields.get("sender", msgspec.UNSET),
        )


PROTOO = ProtooDialect()


def translate(payload: bytes, old: Dialect, new: Dialect) -> bytes:
    """Write a message of ``old`` again in ``new``.

    For messages that were written for one link, and leave by the next, which may belong to a
    client program of another version.
    """
    message = old.reopen(payload)
    if isinstance(message, OutgoingResponse):
        return new.serialize_response(message.status, message.reason, message.id, message.data)
    sender = None if message.sender is msgspec.UNSET else message.sender
    if message.id is msgspec.UNSET:
        return new.serialize_notification(message.method, message.data, sender)
    return new.serialize_request(message.method, message.id, message.data, sender)
