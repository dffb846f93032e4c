"""A site that echoes: the connections of the package, with another inbox behind them.

The Autobahn suite speaks to a server that sends each message back, text and binary, of any
size. So everything up to the core is the real thing: the handshake, the codecs, the turns, the
outbox, the closing handshake. Only the inbox, where protoo begins, is replaced.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

import protoo_flask.site.site as site_module
from protoo_flask import Protoo
from protoo_flask.site.service import Service
from protoo_flask.transport.attached_connection import AttachedConnection
from protoo_flask.transport.connection import Connection
from protoo_flask.transport.websocket.frames import BINARY

#: The variable of the environment that switches permessage-deflate on.
COMPRESSION = "AUTOBAHN_COMPRESSION"

#: Bytes: the longest message of the suite has 16 MiB, and it sends a thousand of 128 KiB.
MAX_MESSAGE_SIZE = 16 * 1024 * 1024
MAX_OUTBOX = 256 * 1024 * 1024


class EchoInbox:
    """Stands for :class:`~protoo_flask.core.inbox.Inbox`: sends back what comes."""

    is_removed = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def receive(self, payload: bytes) -> None:
        """Take a text message."""
        self._connection.outbox.send_text(payload)

    def mark(self) -> bytes:
        """Return the payload of a ping."""
        return b""

    def open(self) -> None:
        """Take note that the connection is open."""

    def confirm(self, payload: bytes) -> None:
        """Take the payload of a pong."""

    def drop(self) -> None:
        """Forget what waits: nothing does."""

    def ended(self) -> None:
        """Take note that the connection has ended."""


class _Echo:
    """Takes binary messages, which the core refuses without looking at them."""

    __slots__ = ()

    def _take_item(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            self.outbox.send(BINARY, payload)  # type: ignore[attr-defined]
        else:
            super()._take_item(opcode, payload)  # type: ignore[misc]


class EchoConnection(_Echo, Connection):
    """A connection that has left its server."""

    __slots__ = ()


class AttachedEchoConnection(_Echo, AttachedConnection):
    """A connection that stays with its server."""

    __slots__ = ()


_KINDS = {Connection: EchoConnection, AttachedConnection: AttachedEchoConnection}


class EchoService(Service):
    """The service of a site that has no peers."""

    def _make_connection(self, kind: Any, *arguments: Any) -> Any:
        return super()._make_connection(_KINDS[kind], *arguments)

    def _connect(self, *arguments: Any) -> Any:
        return EchoInbox(arguments[-1])

    def _disconnect(self, inbox: Any, code: int) -> None:
        pass


def create_app() -> Flask:
    """Make the site, the only one of its process."""
    site_module.Service = EchoService  # type: ignore[misc]
    app = Flask("echo")
    app.secret_key = "a key of the echo site"
    app.config.update(
        PROTOO_COMPRESSION=os.environ.get(COMPRESSION) == "1",
        PROTOO_MAX_MESSAGE_SIZE=MAX_MESSAGE_SIZE,
        PROTOO_MAX_OUTBOX=MAX_OUTBOX,
        PROTOO_HANDSHAKES_PER_USER=None,
    )
    protoo = Protoo(app)
    protoo.authorize(lambda: ("autobahn", None))
    return app
