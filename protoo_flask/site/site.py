"""The live state of one Flask app, and the views that let clients into it.

It is ``app.extensions["protoo"]``; nothing of it is global, so two apps in one
process have nothing to do with each other.
"""

from __future__ import annotations

import atexit
import secrets
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from flask import Flask, Response, after_this_request, request, session

from ..core.application import Application
from ..core.close_codes import AUTHORIZATION_REVOKED, GOING_AWAY
from ..core.deadlines import Deadlines
from ..core.errors import Reject
from ..core.inbox import Inbox
from ..core.peers.peer import Identity, Peer
from ..core.peers.registry import TooManyPeers
from ..core.routing.layer import RoutingOptions
from ..settings import Settings
from ..transport.connection import Connection, SharedConnection
from ..transport.websocket.handshake import HandshakeError, negotiate_handshake
from .authorization import (
    ask_site,
    check_origin,
    identify,
    is_allowed_origin,
)
from .contexts import HandshakeContext
from .fast_contexts import choose_context
from .flask_framework import FlaskHost
from .reauthorization import Reauthorization
from .upgrade import UpgradeResponse, make_loop

if TYPE_CHECKING:
    from ..extension import Protoo
    from ..transport.channel import Channel, Loop

#: What a browser sees that opens the WebSocket's URL as a page, and what a proxy
#: leads to that does not pass the upgrade on.
UPGRADE_HINT = (
    "This is a WebSocket endpoint; a client connects with "
    'new WebSocket(url, "protoo").\n'
    "If a WebSocket client got this answer, a proxy in between has dropped the Upgrade "
    "and Connection headers (nginx needs proxy_http_version 1.1 and both headers set).\n"
)


#: Seconds for which the ping interval counts where nobody pings. A dead connection is then
#: noticed when something is sent, if at all; answers must not be remembered for ever.
NO_PING_DETECTION = 25


class LiveApp:
    """One app's peers, and its way in.

    :ivar protoo: the extension that serves this app.
    """

    def __init__(self, protoo: Protoo, app: Flask, settings: Settings) -> None:
        self.protoo = protoo
        self.app = app
        self.settings = settings
        self._closed = False
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._application: Application | None = None
        self._reauthorization: Reauthorization | None = None
        self._context_class = HandshakeContext
        #: When to ask whether a client is still there.
        self._silence: Deadlines[Connection] | None = None

    # What the application asks for ---------------------------------------------------

    def peers(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """See :meth:`Protoo.peers`."""
        return self._application.registry.find(username, uuid) if self._application else []

    def peer(self, username: str, uuid: str) -> Peer | None:
        """See :meth:`Protoo.peer`."""
        return self._application.registry.get(username, uuid) if self._application else None

    def disconnect(
        self,
        username: str,
        uuid: str | None = None,
        code: int = AUTHORIZATION_REVOKED,
        reason: str = "authorization revoked",
    ) -> int:
        """See :meth:`Protoo.disconnect`."""
        if self._application is None:
            return 0
        return self._application.disconnect(username, uuid, code, reason)

    def close(self) -> None:
        """See :meth:`Protoo.close`."""
        self._closed = True
        if self._reauthorization is not None:
            self._reauthorization.close()
        if self._application is not None:
            self._application.close()

    # Opening ---------------------------------------------------------------------------

    def open(self, loop: Loop) -> Application:
        """Return the application, made when the first client comes.

        Only then is it known whether the server runs greenlets or threads, and from
        then on routes and handlers stay as they are.
        """
        if self._application is not None:
            return self._application
        # Under threads, the first two clients may come at once.
        with self._lock:
            if self._application is None:
                self._application = self._make_application(loop)
                _at_exit(self._say_goodbye)
            return self._application

    def _make_application(self, loop: Loop) -> Application:
        settings = self.settings
        self.protoo.router.freeze(
            RoutingOptions(settings.case_sensitive_routing, settings.strict_routing)
        )
        self._loop = loop
        self._context_class = choose_context(self.app)
        if settings.ping_interval:
            self._silence = Deadlines(
                loop, settings.ping_interval, lambda connection: connection.keep_alive()
            )
        host = FlaskHost(self.app, self.protoo.listeners)
        application = Application(
            self.protoo,
            self.protoo.router,
            host,
            loop,
            first_id=_make_first_id,
            request_timeout=settings.request_timeout,
            session_timeout=settings.session_timeout,
            response_timeout=settings.response_timeout,
            max_peers_per_user=settings.max_peers_per_user,
            grace_period=settings.disconnect_grace_period,
            detection_time=2 * (settings.ping_interval or NO_PING_DETECTION),
            max_waiting=settings.max_outbox,
        )
        self._reauthorization = Reauthorization(
            application.registry,
            host,
            settings.reauthorize_interval,
            ask=lambda: ask_site(self.protoo.authorizer, settings),
        )
        return application

    def _say_goodbye(self) -> None:
        """Tell the clients that the process ends: they come back to the next one."""
        for peer in self.peers():
            link = peer.link
            if isinstance(link, Connection):
                link.abandon(GOING_AWAY, "shutting down")

    # Views -----------------------------------------------------------------------------

    def handshake(self) -> Response:
        """View of the WebSocket route: let the client in, or answer with a status."""
        try:
            self._check_open()
            agreed = negotiate_handshake(
                request.environ,
                compression=self.settings.compression,
                max_message_size=self.settings.max_message_size,
            )
            identity = self._identify()
            loop = self._loop or make_loop(request.environ)
            application = self.open(loop)
            application.registry.check_room(identity)
        except TooManyPeers as error:
            return _refuse(403, str(error))
        except Reject as error:
            return _refuse(error.code, error.reason)
        except HandshakeError as error:
            if error.status >= 500:
                self.app.logger.error("cannot upgrade: %s", error.reason)
            response = _refuse(error.status, error.reason)
            response.headers.update(error.headers)
            return response
        # The objects themselves: the proxies mean nothing outside of this request.
        context = self._context_class(
            self.app,
            request._get_current_object(),  # type: ignore[attr-defined]
            session._get_current_object(),  # type: ignore[attr-defined]
        )
        return UpgradeResponse(agreed.headers, loop, self._starter(identity, context, agreed.codec))

    def answer_plain_http(self) -> Response:
        """View of the same path without an upgrade: say what a handshake would be told.

        A browser hides the status of a refused handshake from scripts; here they can
        read it. 426 means that a handshake would be welcome.
        """
        if _asks_for_upgrade():
            # Werkzeug 2.0.0 routes Firefox, with its "keep-alive, Upgrade", to this view.
            return self.handshake()
        after_this_request(self._let_allowed_pages_read)
        try:
            self._check_open()
            identity = self._identify()
            if self._application is not None:
                self._application.registry.check_room(identity)
        except TooManyPeers as error:
            return _refuse(403, str(error))
        except Reject as error:
            return _refuse(error.code, error.reason)
        response = _refuse(426, UPGRADE_HINT)
        response.headers["Upgrade"] = "websocket"
        return response

    def _let_allowed_pages_read(self, response: Response) -> Response:
        """Show a plain answer to pages of the allowed origins, also what abort() made."""
        origin = request.headers.get("Origin")
        if origin and self.settings.allowed_origins:
            response.headers.add("Vary", "Origin")
            if is_allowed_origin(request, self.settings):
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _check_open(self) -> None:
        if self._closed:
            raise Reject(503, "shutting down")

    def _identify(self) -> Identity:
        check_origin(request, self.settings)
        return identify(self.protoo.authorizer, self.settings)

    def _starter(
        self, identity: Identity, context: HandshakeContext, codec: Any
    ) -> Callable[[Channel, bytes], Connection]:
        # Not closures, which weigh ten times as much: there are as many as connections.
        return partial(self._start, partial(self._connect, identity, context), codec)

    def _start(
        self,
        connect: Callable[[Connection], Inbox],
        codec: Any,
        channel: Channel,
        handshake: bytes,
    ) -> Connection:
        assert self._loop is not None
        kind = SharedConnection if self._loop.preempts else Connection
        return kind(
            channel,
            self._loop,
            codec,
            handshake,
            connect=connect,
            disconnect=self._disconnect,
            silence=self._silence,
            max_outbox=self.settings.max_outbox,
            parallel_requests=self.settings.parallel_requests,
        )

    def _connect(
        self, identity: Identity, context: HandshakeContext, connection: Connection
    ) -> Inbox:
        assert self._application is not None
        assert self._reauthorization is not None
        inbox = self._application.connect(identity, connection, context, connection.open)
        self._reauthorization.watch(inbox.peer)
        if self._closed:
            # Since the handshake was answered; nobody else would close this one.
            self._application.registry.remove(inbox.peer, GOING_AWAY, "shutting down")
        return inbox

    def _disconnect(self, inbox: Inbox, connection: Connection, code: int) -> None:
        assert self._application is not None
        assert self._reauthorization is not None
        self._application.registry.disconnect(inbox.peer, connection, code)
        self._reauthorization.note_departure(inbox.peer)


def _make_first_id() -> int:
    """Return the first id of the requests to a peer: none that another could guess.

    Of 48 bits, so that MAX_ID is out of reach whatever is added.
    """
    return int.from_bytes(secrets.token_bytes(6), "big") + 1


def _asks_for_upgrade() -> bool:
    tokens = request.headers.get("Connection", "").lower().split(",")
    wanted = request.headers.get("Upgrade", "").lower()
    return "upgrade" in (token.strip() for token in tokens) and wanted == "websocket"


def _refuse(status: int, reason: str) -> Response:
    if not 400 <= status <= 599:
        status = 403  # a status for requests; as one of HTTP it would say something else
    return Response(reason or "refused", status, mimetype="text/plain")


def _at_exit(method: Callable[[], None]) -> None:
    """Call a method when the process ends, if its object is still there."""
    weak = weakref.WeakMethod(method)

    def call() -> None:
        alive = weak()
        if alive is not None:
            alive()

    atexit.register(call)
