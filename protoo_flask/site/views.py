"""The views of the WebSocket route: they let a client in, or answer with an HTTP status."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response, after_this_request, request, session
from werkzeug.exceptions import HTTPException

from ..core.arrivals import Arrival, TurnedAway
from ..core.close_codes import GOING_AWAY, ONLINE_ELSEWHERE
from ..core.errors import Reject
from ..core.peers.directory import Identity, NoPlace, TooManyEvents
from ..core.wire.surrogates import mend_string
from ..transport.opened_websocket import refuse_opened_websocket
from ..transport.server_worlds import check_world, make_loop
from ..transport.websocket.handshake import (
    HandshakeError,
    asks_for_upgrade,
    check_size,
    negotiate_handshake,
)
from .authorization import MissingSession, check_origin, identify, is_allowed_origin
from .entrance import take_arrival
from .handshake_limits import TryLater
from .site import Site
from .upgrade import UpgradeResponse

#: The answer to a browser that opens the WebSocket's URL as a page, and to a client behind a
#: proxy that has not passed the upgrade on.
UPGRADE_HINT = (
    "This is a WebSocket endpoint; a client connects with "
    'new WebSocket(url, "protoo").\n'
    "If a WebSocket client got this answer, a proxy in between has dropped the Upgrade "
    "and Connection headers (nginx needs proxy_http_version 1.1 and both headers set).\n"
)

#: The response header that marks the answers of this route. A client can tell them from the answers
#: of a proxy, which may say 404 while the site restarts. Its value is the verdict on a handshake:
#: "refused" (for good), "later" (the client should try again) or "welcome" (a plain GET only).
VERDICT = "Protoo-Handshake"

#: Statuses below 500 that are about the moment: the same handshake may succeed later.
_PASSING = (408, 425, 429)


class Views:
    """The views of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        #: The reason why the server cannot work, as of the latest handshake that got so far.
        self._unfit: tuple[int, str] | None = None

    def handshake(self, **view_args: Any) -> Response:
        """Let a client in, or answer with a status.

        :param view_args: the variable parts of host and path; the authorizer finds them in
            ``request.view_args``.
        """
        if not asks_for_upgrade(request.environ):
            # Werkzeug routes by the scheme, too: a proxy or a client may say "wss".
            return self.plain_http()
        site = self._site
        if site.loop is None and not site.is_clustered:
            site.advice.at_first_handshake(request.environ)
        arrival = take_arrival(request, site.arrivals)
        try:
            refuse_opened_websocket(request.environ)
            if site.is_closed:
                raise Reject(503, "shutting down")
            site.configuration.warn_of_late_changes()
            self._check_limits()
            agreed = negotiate_handshake(
                request.environ,
                compression=site.settings.compression,
                max_message_size=site.settings.max_message_size,
                dialects=site.dialects,
            )
            identity = self._identify()
            site.handshake_limits.check_user(identity.username)
            self._check_arrival(arrival, identity)
            loop = site.find_loop(partial(make_loop, request.environ))
            check_world(request.environ, loop)
            self._unfit = None
            site.open(loop).directory.check_space(identity)
            loop = site.loop or loop
        except NoPlace as error:
            return self._refuse_device(error)
        except TryLater as error:
            return _refuse_for_now(error)
        except Reject as error:
            return _refuse(error.code, error.reason)
        except HandshakeError as error:
            return self._refuse_handshake(error)
        # The objects themselves: the proxies mean nothing outside of this request.
        context = site.context_class(
            site.app,
            request._get_current_object(),  # type: ignore[attr-defined]
            session._get_current_object(),  # type: ignore[attr-defined]
        )
        welcome = request.args.get("welcome", "0") != "0"
        start = site.connector(identity, context, agreed, arrival, welcome)
        return UpgradeResponse(agreed.headers, loop, start, self._refuse_without_descriptors)

    def _check_limits(self) -> None:
        limits = self._site.handshake_limits
        limits.check_descriptors(request.environ)
        limits.check_address(request.remote_addr)

    def _refuse_without_descriptors(self) -> Response:
        return _refuse_for_now(self._site.handshake_limits.lack_descriptors())

    def _refuse_handshake(self, error: HandshakeError) -> Response:
        if error.status >= 500:
            # Once: clients try again and again.
            # Not the exception itself, whose traceback keeps the request.
            unfit = error.status, error.reason
            if self._unfit != unfit:
                self._site.app.logger.error("cannot upgrade: %s", error.reason)
            self._unfit = unfit
        response = _refuse(error.status, error.reason)
        response.headers.update(error.headers)
        return response

    def plain_http(self, **view_args: Any) -> Response:
        """Answer the same path without an upgrade, with the status that a handshake would get.

        A browser hides the status of a refused handshake from scripts; here they can
        read it. 426 means that a handshake would be welcome.
        """
        if asks_for_upgrade(request.environ):
            # Werkzeug 2.0.0 routes Firefox, with its "keep-alive, Upgrade", to this view.
            return self.handshake()
        _ = self._site.settings  # before the function below needs them: they may be wrong
        after_this_request(self._let_allowed_pages_read)
        try:
            if self._site.is_closed:
                raise Reject(503, "shutting down")
            # An address has one limit for both, as both ask the authorizer.
            self._check_limits()
            check_size(request.environ)
            identity = self._identify()
            self._site.handshake_limits.check_user(identity.username, is_handshake=False)
            self._site.check_space(identity)
        except NoPlace as error:
            return self._refuse_device(error)
        except TryLater as error:
            return _refuse_for_now(error)
        except Reject as error:
            return _refuse(error.code, error.reason)
        except HandshakeError as error:
            return self._refuse_handshake(error)
        if self._unfit is not None:
            return _refuse(*self._unfit)
        response = _refuse(426, UPGRADE_HINT)
        response.headers["Upgrade"] = "websocket"
        response.headers[VERDICT] = "welcome"
        return response

    def tell_verdict(self, response: Response) -> Response:
        """Mark an answer of the route, also one that a ``before_request`` function has given.

        A redirect to a login page is a refusal, and so is the login page itself: neither lets
        a client in.
        """
        is_handshake = request.endpoint is not None and not request.endpoint.endswith(".static")
        if is_handshake and response.status_code != 101 and VERDICT not in response.headers:
            is_passing = response.status_code >= 500 or response.status_code in _PASSING
            response.headers[VERDICT] = "later" if is_passing else "refused"
        return response

    def _let_allowed_pages_read(self, response: Response) -> Response:
        """Show a plain answer to pages of the allowed origins, also one made by abort()."""
        settings = self._site.settings
        origin = request.headers.get("Origin")
        if origin and settings.allowed_origins:
            response.headers.add("Vary", "Origin")
            if is_allowed_origin(request, settings):
                response.headers["Access-Control-Expose-Headers"] = f"Retry-After, {VERDICT}"
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refuse_device(self, error: NoPlace) -> Response:
        """Refuse one device more than a user may have.

        Some of the others may be gone, and not known to be. So there may be room as soon as
        dead connections have been noticed (429: RFC 6585 section 4).
        """
        if isinstance(error, TooManyEvents) and error.is_news:
            self._site.app.logger.warning("%s: a listener of its events is slow", error.reason)
        seconds = error.retry_after
        if seconds is None:
            seconds = self._site.retry_after
        return _refuse_for_now(TryLater(429, error.reason, seconds))

    def _check_arrival(self, arrival: Arrival, identity: Identity) -> None:
        """Refuse a handshake because of something that happened after it came.

        :raises Reject: with 503 for a client that may try again, else with 403.
        """
        try:
            self._site.arrivals.check(arrival, identity.username, identity.uuid)
        except TurnedAway as error:
            # A client that is online elsewhere has to get that close code: a refusal would make
            # it ask for the reason, find itself welcome, and come back.
            if error.code != ONLINE_ELSEWHERE:
                status = 503 if error.code == GOING_AWAY else 403
                raise Reject(status, error.reason) from None

    def _identify(self) -> Identity:
        site = self._site
        check_origin(request, site.settings)
        missing = MissingSession.find()
        if missing is not None and site.protoo.authorizer is None:
            site.advice.when_nobody_can_log_in()
        try:
            return identify(site.protoo.authorizer, site.settings)
        except (Reject, HTTPException):
            if missing is not None and missing.was_asked and site.protoo.authorizer is not None:
                site.advice.when_refused_without_session()
            raise


def _refuse_for_now(error: TryLater) -> Response:
    response = _refuse(error.status, error.reason)
    response.headers["Retry-After"] = error.retry_after
    return response


def _refuse(status: int, reason: str) -> Response:
    if not 400 <= status <= 599:
        status = 403  # a status for requests; in HTTP it would mean something else
    text = mend_string(str(reason or "refused"))
    return Response(text, status, mimetype="text/plain")
