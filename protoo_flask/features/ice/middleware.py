"""ICE servers: tells clients of STUN and TURN, with credentials of their own."""

from __future__ import annotations

import time
from typing import Any, Callable

from flask import current_app

from ...core.errors import UsageError
from ...core.request import Request
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...extension import Protoo
from .servers import make_credentials, needs_credentials

#: Seconds: longer than a call lasts, and short enough for what leaks out of a page.
TTL = 86400


def ice_servers(protoo: Protoo, ttl: int = TTL, *, now: Callable[[], float] = time.time) -> Router:
    """Return a router that answers ``get`` with the ``iceServers`` of an RTCPeerConnection.

    ::

        app.config["PROTOO_ICE_SERVERS"] = [
            {"urls": "stun:turn.example.org"},
            {"urls": ["turn:turn.example.org", "turns:turn.example.org"]},
        ]
        app.config["PROTOO_TURN_SECRET"] = "that of coturn"
        protoo.use("/ice", ice_servers(protoo))

    The answer is 200 with ``iceServers``, a list of RTCIceServer dictionaries, and ``ttl``:
    seconds after which what was made for this peer expires, ``null`` when nothing does.
    TURN servers that have no credential in the settings get one made of the secret; see
    :func:`~protoo_flask.features.ice.servers.make_credentials`.

    :param ttl: seconds within which the TURN server can be asked for a relay.
    :param now: the time in seconds since the epoch.
    :raises UsageError: for a time that cannot be.
    """
    if isinstance(ttl, bool) or not (isinstance(ttl, int) and ttl > 0):
        raise UsageError(
            "ice_servers(ttl=...) takes for how many seconds credentials shall be good, "
            f"an integer of at least 1, not {ttl!r}"
        )

    def get(req: Request, next: Next) -> None:
        assert req.peer is not None
        # Of the app whose peer this is: several may share what is registered.
        secret = current_app.config["PROTOO_TURN_SECRET"]
        servers: list[dict[str, Any]] = []
        expires = False
        for server in current_app.config["PROTOO_ICE_SERVERS"]:
            if needs_credentials(server):
                expires = True
                made = make_credentials(secret, req.peer.username, int(now()) + ttl)
                server = {**server, **made._asdict()}
            servers.append(dict(server))
        req.reply(200, "OK", {"iceServers": servers, "ttl": ttl if expires else None})

    router = Router()
    router.get("/", get)
    return router
