"""An admission: what is known of a handshake between ``before_request`` and the view.

It is in the environ of the request, and with it the tap: see :mod:`..transport.tap`.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator

from flask import Response, after_this_request, current_app, request

from ..core.arrivals import Arrival
from ..core.errors import Reject, UsageError
from ..core.excerpts import excerpt_of
from ..core.peers.directory import Identity
from ..transport.channel import Loop
from ..transport.tap import Tap
from ..transport.websocket.handshake import Handshake
from ..transport.websocket.wsproto_frames import WsprotoCodec
from .authorization import Given
from .upgrade import HandshakeResponse

#: The key of the environ.
KEY = "protoo_flask.admission"

#: The name of the response that flask-sock makes when a view has returned.
_OF_FLASK_SOCK = "WebSocketResponse"


class Admission:
    """What is known of a handshake.

    :param may_pool: whether its server may be one with a pool of threads.
    :ivar identity: of the client; ``None``: the view has to say it.
    :ivar refusal: the reason why the authorizer has named nobody.
    :ivar given: what the view has said.
    :ivar response: the one that upgrades, when the view has had the WebSocket served.
    """

    def __init__(self, agreed: Handshake, arrival: Arrival, may_pool: bool) -> None:
        self.agreed = agreed
        self.arrival = arrival
        self.may_pool = may_pool
        self.identity: Identity | None = None
        self.refusal: Reject | None = None
        self.given: Given | None = None
        self.loop: Loop | None = None
        self.tap: Tap | None = None
        self.response: HandshakeResponse | None = None

    @staticmethod
    def find() -> Admission | None:
        """Return that of the active request, or ``None``."""
        found = request.environ.get(KEY)
        return found if isinstance(found, Admission) else None

    def hold(self) -> None:
        """Let flask-sock go on, and put the response that upgrades into the place of its own."""
        request.environ[KEY] = self
        after_this_request(self._conclude)

    @contextlib.contextmanager
    def open_tap(self) -> Iterator[None]:
        """Return a context in which simple-websocket finds the tap in the place of the socket."""
        options = current_app.config.get("SOCK_SERVER_OPTIONS") or {}
        tap = self.tap = Tap(request.environ, options.get("event_class") or threading.Event)
        key = request.environ["HTTP_SEC_WEBSOCKET_KEY"].strip()
        tap.put(key, self.agreed.dialect.subprotocol)
        try:
            yield
        finally:
            tap.take_out()

    def bind(self, ws: Any) -> None:
        """Take note that the view has its WebSocket served.

        :param ws: a ``simple_websocket.Server``.
        """
        if self.tap is None or ws.sock is not self.tap:
            raise UsageError(
                "protoo.serve(ws) takes the WebSocket that flask-sock has given to this view, not "
                f"{excerpt_of(ws)}"
            )
        self.tap.bind()

    def _conclude(self, response: Response) -> Response:
        """Put the response that upgrades into the place of flask-sock's."""
        if not _is_of_flask_sock(response):
            return response  # the view, or a function before it, has refused
        if self.response is None:
            current_app.logger.error(
                "the view of %s has returned without protoo.serve(ws), so the client was "
                "answered 500. To refuse a client, a view calls abort(403)",
                request.endpoint,
            )
            return Response("the view has not served this WebSocket", 500, mimetype="text/plain")
        assert self.tap is not None
        self.response.written = self.tap.take_written()
        for name, value in response.headers.items():
            if name.lower() == "set-cookie":  # of functions that came before this one
                self.response.headers.add(name, value)
        return self.response


def _is_of_flask_sock(response: Response) -> bool:
    """Whether this is the response that flask-sock makes when a view has returned.

    In an app with a response class of its own, Flask has given it that class. Then it is known by
    its status and its body: flask-sock ignores the return value of a view.
    """
    if type(response).__name__ == _OF_FLASK_SOCK:
        return True
    return response.status_code == 200 and response.response == []


def read_by_wsproto(agreed: Handshake, connection: Any, max_message_size: int) -> Handshake:
    """Return a negotiation for a connection that simple-websocket has made: wsproto reads.

    Not if the site and the client have agreed on compression: wsproto knows no bound for what a
    few bytes may be inflated to.

    :param connection: a ``wsproto.WSConnection``.
    """
    if any(name == "Sec-WebSocket-Extensions" for name, _ in agreed.headers):
        return agreed
    return agreed._replace(codec=WsprotoCodec(connection, max_message_size))
