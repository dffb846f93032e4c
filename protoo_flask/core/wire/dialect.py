"""A dialect: how messages are written as text, and read.

Everything that the core reads from a link, or writes to one, goes through the dialect of
that link. There is one today, :data:`PROTOO`. A dialect belongs to a WebSocket sub-protocol,
and the handshake chooses it.

A peer keeps its dialect. A device that connects in another one is another client program: its
peer goes offline, and a new one comes online. So no message is ever written a second time.
"""

from __future__ import annotations

from typing import Any, Protocol

from .messages import Incoming, parse, serialize_request, serialize_response


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


PROTOO = ProtooDialect()
