"""The views of the WebSocket route: they let a client in, or answer with an HTTP status.

The route is one of flask-sock. Before its view, :meth:`Views.let_in` decides: it refuses with an
HTTP status, or lets the socket leave its server, or leaves the rest to flask-sock. The routes of
flask-sock that are the site's own go the same way: see :mod:`.sock_routes`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response, current_app, request, session
from werkzeug.exceptions import HTTPException

from ..core.arrivals import TOO_LONG, Arrival, TurnedAway
from ..core.close_codes import GOING_AWAY, ONLINE_ELSEWHERE
from ..core.draining import REASON
from ..core.errors import Reject, UsageError, tell_retry
from ..core.peers.directory import Identity, NoPlace, TooManyEvents
from ..core.wire.surrogates import mend_string
from ..transport.attached_connection import AttachedConnection
from ..transport.greenlets.loop import GreenletLoop
from ..transport.opened_websocket import refuse_opened_websocket
from ..transport.server_worlds import check_world, make_loop
from ..transport.websocket.handshake import (
    HandshakeError,
    asks_for_upgrade,
    check_size,
    negotiate_handshake,
)
from .admission import Admission, read_by_wsproto
from .attachment import AttachedResponse
from .authorization import MissingSession, check_origin, identify, is_allowed_origin
from .contexts import REPEATED
from .entrance import take_arrival
from .handshake_limits import TryLater, to_retry_after
from .site import Site
from .upgrade import HandshakeResponse, UpgradeResponse, can_leave, of_class

#: The endpoint of the WebSocket.
ENDPOINT = "protoo.handshake"

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


#: Seconds after which a handshake that has lasted too long may be tried again.
AT_ONCE = 1

#: Seconds after which a client may try again when this process ends: there may be another one.
RETRY_AFTER = 1

#: All that a handshake may be refused with.
REFUSALS = (NoPlace, TryLater, Reject, HandshakeError)


class Views:
    """The views of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        #: The reason why the server cannot work, as of the latest handshake that got so far.
        self._unfit: tuple[int, str] | None = None

    # The own route ---------------------------------------------------------------------

    def let_in(self) -> Response | None:
        """Answer a handshake, or leave it to flask-sock; for ``before_request``."""
        is_ours = request.endpoint == ENDPOINT and request.method != "OPTIONS"
        if not is_ours or REPEATED in request.environ:
            return None
        return self.handshake()

    def handshake(self) -> Response | None:
        """Let a client in, or answer with a status; ``None``: :meth:`serve` comes next."""
        if not asks_for_upgrade(request.environ):
            # Werkzeug routes by the scheme, too: a proxy or a client may say "wss".
            return self.plain_http()
        try:
            admission = self.begin()
            admission.identity = self._identify()
            self.settle(admission)
            assert admission.loop is not None
            if not can_leave(request.environ, admission.loop):
                admission.hold()
                return None
        except REFUSALS as error:
            return self.refuse(error)
        return self.make_response(admission)

    def serve(self, ws: Any, **view_args: Any) -> None:
        """View of flask-sock: have the connection served when the request has ended.

        :param view_args: the variable parts of host and path; the authorizer finds them in
            ``request.view_args``.
        """
        admission = Admission.find()
        assert admission is not None
        admission.bind(ws)
        admission.response = self.make_response(admission, ws)

    # A handshake, step by step -----------------------------------------------------------

    def refuse_early(self, environ: Any) -> Response | None:
        """Refuse a handshake before anything of the site runs; ``None``: go on.

        :param environ: there is no Flask request yet.
        """
        try:
            self._site.handshake_limits.check_process(environ)
        except TryLater as error:
            response = _refuse_for_now(error)
            response.headers[VERDICT] = "later"
            return response
        except UsageError:  # of the settings: the view tells it
            pass
        return None

    def begin(self, may_pool: bool = False) -> Admission:
        """Check everything that does not depend on the user.

        :param may_pool: see :func:`.server_worlds.make_loop`.
        :raises: one of :data:`REFUSALS`.
        """
        site = self._site
        if site.loop is None and not site.is_clustered:
            site.advice.at_first_handshake(request.environ)
        arrival = take_arrival(request, site.arrivals)
        refuse_opened_websocket(request.environ)
        self._check_end()
        site.configuration.warn_of_late_changes()
        self._check_limits()
        arrival.place = site.handshake_limits.enter(request.remote_addr, request.environ)
        agreed = negotiate_handshake(
            request.environ,
            compression=site.settings.compression,
            max_message_size=site.settings.max_message_size,
            dialects=site.dialects,
        )
        return Admission(agreed, arrival, may_pool)

    def settle(self, admission: Admission) -> None:
        """Check everything that depends on the user, and find the world of the connection.

        :raises: one of :data:`REFUSALS`.
        """
        site, identity = self._site, admission.identity
        assert identity is not None
        limits, place = site.handshake_limits, admission.arrival.place
        limits.check_seat(place, identity[:2], request.environ)
        limits.check_user(identity.username)
        self._check_arrival(admission.arrival, identity)
        loop = site.find_loop(partial(make_loop, request.environ, admission.may_pool))
        check_world(request.environ, loop)
        self._unfit = None
        if not loop.preempts:
            site.servers.watch(request.environ)
        site.open(loop).directory.check_space(identity)
        admission.loop = site.loop or loop

    def make_response(self, admission: Admission, ws: Any = None) -> HandshakeResponse:
        """Return the response that upgrades.

        :param ws: the WebSocket of simple-websocket, if it has made one.
        """
        site, loop, agreed = self._site, admission.loop, admission.agreed
        assert loop is not None
        assert admission.identity is not None
        # The objects themselves: the proxies mean nothing outside of this request.
        service = site.service
        assert service is not None
        context = service.context_class(
            site.app,
            request._get_current_object(),  # type: ignore[attr-defined]
            session._get_current_object(),  # type: ignore[attr-defined]
        )
        if admission.given is not None:
            context.request.environ[REPEATED] = admission.given
        welcome = request.args.get("welcome", "0") != "0"
        connector = partial(service.connector, admission.identity, context)
        class_of_app: Any = site.app.response_class
        if ws is None or can_leave(request.environ, loop):
            start = connector(agreed, admission.arrival, welcome)
            assert isinstance(loop, GreenletLoop)
            native: type[UpgradeResponse] = of_class(UpgradeResponse, class_of_app)
            return native(agreed.headers, loop, start, self._refuse_too_late)
        agreed = read_by_wsproto(agreed, ws.ws, site.settings.max_message_size)
        start = connector(agreed, admission.arrival, welcome, AttachedConnection)
        tap = admission.tap
        assert tap is not None
        if loop.preempts and not tap.wait_for_reader():
            raise RuntimeError("simple-websocket has no thread that reads")
        attached: type[AttachedResponse] = of_class(AttachedResponse, class_of_app)
        return attached(agreed.headers, loop, start, tap)

    def refuse(self, error: Exception) -> Response:
        """Return the response for one of :data:`REFUSALS`."""
        if isinstance(error, NoPlace):
            return self._refuse_device(error)
        if isinstance(error, TryLater):
            return _refuse_for_now(error)
        if isinstance(error, HandshakeError):
            return self._refuse_handshake(error)
        assert isinstance(error, Reject)
        response = _refuse(error.code, error.reason)
        if tell_retry(error) is not None:
            assert error.retry_after is not None
            response.headers["Retry-After"] = to_retry_after(error.retry_after)
        return response

    def refuse_without_threads(self) -> Response:
        """Return the response for a client for which no thread is left."""
        return self._refuse_without_descriptors()

    def _check_end(self) -> None:
        if self._site.is_draining:
            raise TryLater(503, REASON, RETRY_AFTER)
        if self._site.is_closed:
            raise Reject(503, REASON)

    def _check_limits(self) -> None:
        limits = self._site.handshake_limits
        limits.check_descriptors(request.environ)
        limits.check_address(request.remote_addr, request.environ)

    def _refuse_without_descriptors(self) -> Response:
        return _refuse_for_now(self._site.handshake_limits.lack_descriptors())

    def _refuse_too_late(self) -> Response:
        """As above, when all functions of the site that see responses have run."""
        return self.observe(self._refuse_without_descriptors())

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

    # Without an upgrade ------------------------------------------------------------------

    def plain_http(self, **view_args: Any) -> Response:
        """Answer the same path without an upgrade, with the status that a handshake would get.

        A browser hides the status of a refused handshake from scripts; here they can
        read it. 426 means that a handshake would be welcome.
        """
        if asks_for_upgrade(request.environ):
            # Werkzeug 2.0.0 routes Firefox, with its "keep-alive, Upgrade", to this view.
            answer = self.handshake()
            if answer is not None:
                return answer
            go_on: Any = current_app.view_functions[ENDPOINT]
            attached: Response = go_on(**view_args)
            return attached
        _ = self._site.settings  # before the function below needs them: they may be wrong
        try:
            self._check_end()
            limits = self._site.handshake_limits
            limits.check_process(request.environ, is_handshake=False)
            # An address has one limit for both, as both ask the authorizer.
            self._check_limits()
            check_size(request.environ)
            identity = self._identify()
            limits.look_for_seat(request.remote_addr, identity[:2], request.environ)
            limits.check_user(identity.username, is_handshake=False)
            self._site.check_space(identity)
        except REFUSALS as error:
            return self.refuse(error)
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
        if is_handshake and not asks_for_upgrade(request.environ):
            # Scripts see nothing at all of an answer that they may not read, a redirect included.
            self._let_allowed_pages_read(response)
        if is_handshake and response.status_code != 101 and VERDICT not in response.headers:
            is_passing = response.status_code >= 500 or response.status_code in _PASSING
            response.headers[VERDICT] = "later" if is_passing else "refused"
        if is_handshake and response.status_code != 101 and asks_for_upgrade(request.environ):
            self.observe(response)
        return response

    def observe(self, response: Response) -> Response:
        """Tell an observer of a handshake that is refused with this response."""
        observer = self._site.observer
        if observer is not None:
            observer.turned_away(response.status_code, _read_reason(response))
        return response

    def _let_allowed_pages_read(self, response: Response) -> Response:
        """Show a plain answer to pages of the allowed origins, whoever has made it."""
        try:
            settings = self._site.settings
        except UsageError:  # the answer tells it
            return response
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
        if isinstance(error, TooManyEvents):
            self._site.limited(error.limit)
            if error.is_news:
                self._site.app.logger.warning("%s: a listener of its events is slow", error.reason)
        else:
            self._site.handshake_limits.note(
                error.limit,
                error.reason,
                "a handshake is refused for now: %s (PROTOO_MAX_PEERS_PER_USER)",
                error.reason,
            )
        seconds = error.retry_after
        if seconds is None:
            seconds = self._site.retry_after
        return _refuse_for_now(TryLater(429, error.reason, seconds))

    def _check_arrival(self, arrival: Arrival, identity: Identity) -> None:
        """Refuse a handshake because of something that happened after it came.

        :raises TryLater: with 503, for a client that may try again: this process ends, or the
            handshake has lasted too long.
        :raises Reject: with 403.
        """
        try:
            self._site.arrivals.check(arrival, identity.username, identity.uuid)
        except TurnedAway as error:
            # A client that is online elsewhere has to get that close code: a refusal would make
            # it ask for the reason, find itself welcome, and come back.
            if error.reason == TOO_LONG:
                self._site.limited("authorizations")
                raise TryLater(503, TOO_LONG, AT_ONCE) from None
            if error.code != ONLINE_ELSEWHERE:
                if error.code == GOING_AWAY:
                    raise TryLater(503, error.reason, RETRY_AFTER) from None
                raise Reject(403, error.reason) from None

    def check_origin(self) -> None:
        """Refuse a page of a foreign origin.

        :raises Reject: 403.
        """
        check_origin(request, self._site.settings)

    def _identify(self) -> Identity:
        self.check_origin()
        return self.identify()

    def identify(self) -> Identity:
        """Ask the site for the user and the device.

        :raises: as :func:`.authorization.identify`.
        """
        site = self._site
        missing = MissingSession.find()
        if missing is not None and site.protoo.authorizer is None:
            site.advice.when_nobody_can_log_in()
        try:
            return identify(site.protoo.authorizer, site.settings)
        except (Reject, HTTPException):
            if missing is not None and missing.was_asked and site.protoo.authorizer is not None:
                site.advice.when_refused_without_session()
            raise


def _read_reason(response: Response) -> str:
    """Return the reason that a refusal gives as plain text; else its status."""
    if response.mimetype == "text/plain" and not response.is_streamed:
        return response.get_data(as_text=True)
    return response.status


def _refuse_for_now(error: TryLater) -> Response:
    response = _refuse(error.status, error.reason)
    response.headers["Retry-After"] = error.retry_after
    return response


def _refuse(status: int, reason: str) -> Response:
    if not 400 <= status <= 599:
        status = 403  # a status for requests; in HTTP it would mean something else
    text = mend_string(str(reason or "refused"))
    return Response(text, status, mimetype="text/plain")
