"""Clients joined to a Flask app in memory, past the handshake."""

from __future__ import annotations

from typing import Any

from flask import Flask, session

from protoo_flask.core.inbox import Inbox
from protoo_flask.core.peers.directory import Identity
from protoo_flask.site.context_choice import choose_context

from .fakes import FakeLink, FakeScheduler

#: The headers of a handshake, for Flask's test client.
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "protoo",
}


def make_app(name: str = "site") -> Flask:
    app = Flask(name)
    app.secret_key = "secret"
    return app


def join(app: Flask, username: str = "alice", uuid: str = "a1", data: Any = None) -> Inbox:
    """Let a client in, with the data of the authorizer; its link is a fake one."""
    application = app.extensions["protoo"].open(FakeScheduler())
    with app.test_request_context(f"/protoo?uuid={uuid}") as context:
        session["username"] = username
        kept = choose_context(app)(app, context.request, context.session)
    inbox = application.connect(Identity(username, uuid, data), FakeLink(), kept)
    inbox.open()
    return inbox
