"""WebSocket routes of flask-sock: the own one, and those that a site has made itself.

::

    signaling = Blueprint("signaling", __name__)
    signaling.before_request(protoo.admit)

    @sock.route("/signal", bp=signaling)
    def signal(ws):
        protoo.serve(ws)

flask-sock answers the handshake before the view runs. So :meth:`SockRoutes.admit` refuses first,
and has the answer kept back (:mod:`..transport.tap`) until the view has returned. Then the
connection begins: the request has ended, its teardown functions have run, and what was taken from a
database pool is there again.
"""

from __future__ import annotations

import contextlib
from functools import wraps
from typing import Any, Callable

from flask import Flask, Response, abort, request
from flask_sock import Sock  # type: ignore[import-untyped,unused-ignore]
from simple_websocket import Server  # type: ignore[import-untyped,unused-ignore]

from ..core.close_codes import INTERNAL_ERROR
from ..core.errors import Reject, UsageError
from ..core.excerpts import excerpt_of
from ..core.peers.directory import Identity
from ..transport.websocket.handshake import asks_for_upgrade
from .admission import KEY, Admission
from .authorization import Given, make_uuid
from .contexts import REPEATED
from .site import Site
from .views import ENDPOINT, REFUSALS, Views

_ADMIT_FIRST = (
    "protoo.serve(ws) needs protoo.admit before the view, as flask-sock answers the handshake "
    "first. Give the route a blueprint, and add the line "
    "`blueprint.before_request(protoo.admit)`: "
    '@sock.route("/signal", bp=blueprint)'
)


class SockRoutes:
    """The part of :class:`~protoo_flask.Protoo` that is for routes of flask-sock."""

    def __init__(self, site: Site, views: Views) -> None:
        self._site = site
        self._views = views

    def admit(self) -> Response | None:
        """See :meth:`Protoo.admit`."""
        environ = request.environ
        if REPEATED in environ or KEY in environ or not asks_for_upgrade(environ):
            return None
        endpoint = request.endpoint
        if endpoint is None or endpoint == ENDPOINT:
            return None  # the site has all of its requests admitted; here is no view to serve
        views = self._views
        try:
            views.check_origin()
            admission = views.begin(may_pool=True)
            try:
                admission.identity = views.identify()
            except Reject as error:
                if self._site.protoo.authorizer is not None:
                    raise
                # Nobody has logged in to the site. The view may know better.
                admission.refusal = error
            else:
                views.settle(admission)
        except REFUSALS as error:
            return views.observe(views.refuse(error))
        watch_view(self._site.app, endpoint, views)
        admission.hold()
        return None

    def serve(self, ws: Any, username: Any, uuid: Any, data: Any) -> None:
        """See :meth:`Protoo.serve`."""
        if not isinstance(ws, Server):
            raise UsageError(
                "protoo.serve(ws) takes the WebSocket that flask-sock gives to a view, not "
                f"{excerpt_of(ws)}"
            )
        admission = Admission.find()
        if admission is None:
            # The client has got its 101 from flask-sock, and cannot be told by a status.
            with contextlib.suppress(Exception):
                ws.close(INTERNAL_ERROR, "see the log of the server")
            raise UsageError(_ADMIT_FIRST)
        self._check_subprotocol(ws)
        admission.bind(ws)
        views = self._views
        try:
            self._identify(admission, username, uuid, data)
        except REFUSALS as error:
            abort(views.observe(views.refuse(error)))
        admission.response = views.make_response(admission, ws)

    def _identify(self, admission: Admission, username: Any, uuid: Any, data: Any) -> None:
        if username is None and uuid is None and data is None:
            if admission.refusal is not None:
                raise admission.refusal
            return
        given = Given.check(username, uuid, data)
        known = admission.identity
        if given.username is None:
            if known is None:
                assert admission.refusal is not None
                raise admission.refusal
            identity = Identity(
                known.username,
                given.uuid or known.uuid,
                known.data if given.data is None else given.data,
            )
        else:
            identity = Identity(given.username, given.uuid or make_uuid(), given.data)
        admission.given, admission.identity = given, identity
        self._views.settle(admission)

    def _check_subprotocol(self, ws: Any) -> None:
        names = [dialect.subprotocol for dialect in self._site.dialects]
        if ws.subprotocol not in names:
            raise UsageError(
                f"protoo.serve(ws): flask-sock has agreed on the sub-protocol {ws.subprotocol!r}, "
                f"and a client of protoo needs {names[0]!r}. init_app() adds it; if the site sets "
                'app.config["SOCK_SERVER_OPTIONS"] later, write '
                f'{{"subprotocols": [{names[0]!r}]}} there, before all others'
            )


def offer_subprotocols(app: Flask, names: list[str]) -> None:
    """Have flask-sock agree on our sub-protocols, besides those of the site's own routes."""
    options = dict(app.config.get("SOCK_SERVER_OPTIONS") or {})
    offered = options.get("subprotocols") or []
    offered = [offered] if isinstance(offered, str) else list(offered)
    options["subprotocols"] = offered + [name for name in names if name not in offered]
    app.config["SOCK_SERVER_OPTIONS"] = options


def add_sock_route(blueprint: Any, path: str, views: Views, place: dict[str, Any]) -> None:
    """Add the own route to a blueprint."""
    blueprint.before_request(views.let_in)
    Sock().route(path, bp=blueprint, endpoint="handshake", **place)(views.serve)


def watch_view(app: Flask, endpoint: str, views: Views) -> None:
    """Have flask-sock find the tap of a handshake that was admitted, once for each view.

    Not earlier: code of the site that runs before the view sees the request as it came.

    :param endpoint: of a route of flask-sock.
    """
    view: Callable[..., Any] = app.view_functions[endpoint]
    if hasattr(view, _WATCHED):
        return

    @wraps(view)
    def watched(**view_args: Any) -> Any:
        admission = Admission.find()
        if admission is None or admission.tap is not None:
            return view(**view_args)
        with admission.open_tap():
            try:
                return view(**view_args)
            except RuntimeError as error:
                # Not one of the view, which the site hears of as ever.
                if not _comes_from(error, Server.__init__):
                    raise
                refusal = views.refuse_without_threads()
                return refusal if endpoint == ENDPOINT else views.observe(refusal)

    setattr(watched, _WATCHED, True)
    app.view_functions[endpoint] = watched


#: The mark of a view that is watched.
_WATCHED = "_protoo_flask_watched"


def _comes_from(error: BaseException, function: Any) -> bool:
    """Whether an error was raised in a call of a function."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code is function.__code__:
            return True
        step = step.tb_next
    return False
