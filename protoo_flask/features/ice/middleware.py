"""ICE servers: gives clients the STUN and TURN servers, with credentials of their own."""

from __future__ import annotations

import time
from typing import Any, Callable

from flask import current_app

from ...core.request import Request
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...extension import Protoo
from ...settings import check_setting
from ..limits import check_limit
from ..sending_peer import sending_peer
from .servers import check_ice_servers, make_credentials, needs_credentials

#: Seconds. It is longer than a call, and short enough for credentials that may leak from a
#: page.
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
    the seconds until the credentials made for this peer expire, ``null`` without such
    credentials. A TURN server without a credential in the settings gets one that is made
    from the secret; see :func:`~protoo_flask.features.ice.servers.make_credentials`.

    :param ttl: seconds for which the TURN server accepts the credentials.
    :param now: returns the time in seconds since the epoch.
    :raises UsageError: for a ``ttl`` that is not an integer of at least 1.
    """
    check_limit(
        ttl, "ice_servers(ttl=...) takes the number of seconds for which credentials are valid"
    )

    def get(req: Request, next: Next) -> None:
        username = sending_peer(req).username
        # Several apps may share this router; the settings are those of the peer's app.
        secret: Any = current_app.config.get("PROTOO_TURN_SECRET")
        configured = current_app.config.get("PROTOO_ICE_SERVERS", [])
        # They may have changed since the start.
        check_setting("turn_secret", secret)
        check_ice_servers(configured, secret)
        servers: list[dict[str, Any]] = []
        expires = False
        for server in configured:
            if needs_credentials(server):
                expires = True
                made = make_credentials(secret, username, int(now()) + ttl)
                server = {**server, **made._asdict()}
            servers.append(dict(server))
        req.reply(200, "OK", {"iceServers": servers, "ttl": ttl if expires else None})

    router = Router()
    router.get("/", get)
    return router
