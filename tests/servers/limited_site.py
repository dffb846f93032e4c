"""Sites with limits on connections and handshakes, behind a proxy that tells the addresses."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import gevent.event
from flask import Blueprint, Flask, Response, abort, request
from flask.sessions import SecureCookieSessionInterface
from flask_sock import Sock
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from protoo_flask import Protoo, Reject
from protoo_flask.site import views

#: The environment variable that keeps all connections with their server.
ALL_ATTACHED = "TEST_ALL_ATTACHED"

#: The environment variable with the URL of a Redis, when several servers are one site.
CLUSTER_URL = "TEST_CLUSTER_URL"

#: Connections of one address.
SEATS = 3


def create_app() -> Any:
    if os.environ.get(ALL_ATTACHED):
        views.can_leave = lambda environ, loop: False
    app = create_site("limited", PROTOO_MAX_CONNECTIONS_PER_ADDRESS=SEATS)
    hurried = create_site("hurried", PROTOO_HANDSHAKES_PER_PROCESS=0.5)
    unknown = create_site("unknown", PROTOO_MAX_CONNECTIONS_PER_ADDRESS=1)
    app.wsgi_app = DispatcherMiddleware(
        ProxyFix(app.wsgi_app, x_for=1), {"/hurried": hurried, "/unknown": unknown}
    )
    return app


def make_event() -> Any:
    """Return an event of the world that the site is served in, patched or not."""
    on_hub = isinstance(gevent.getcurrent(), gevent.Greenlet)
    return gevent.event.Event() if on_hub else threading.Event()


class CountedSessions(SecureCookieSessionInterface):
    """Counts the sessions of handshakes that were opened."""

    opened = 0

    def open_session(self, app: Any, request: Any) -> Any:
        self.opened += "websocket" in request.headers.get("Upgrade", "")
        return super().open_session(app, request)


def create_site(name: str, **config: Any) -> Flask:
    app = Flask(name)
    app.secret_key = f"secret of {name}"
    app.config.update(config)
    if CLUSTER_URL in os.environ:
        app.config.update(
            PROTOO_CLUSTER_URL=os.environ[CLUSTER_URL], PROTOO_CLUSTER_PREFIX=f"test-{name}"
        )
    sessions = app.session_interface = CountedSessions()
    protoo = Protoo(app)
    sock = Sock(app)
    gates: dict[str, Any] = {}

    @protoo.authorize
    def authorize() -> Any:
        what = request.args.get("what", "")
        if what == "refuse":
            raise Reject(403, "not you")
        if what == "abort":
            abort(418)
        if what == "fail":
            raise ZeroDivisionError("of the authorizer")
        if what == "wait":
            gates.setdefault(request.args["gate"], make_event()).wait(20)
        return request.args["username"], request.args["uuid"]

    @app.before_request
    def redirect_strangers() -> Any:
        if request.args.get("what") == "redirect":
            return Response(status=302, headers={"Location": "/login"})
        return None

    @app.after_request
    def throw_away(response: Response) -> Response:
        if request.args.get("what") == "throw" and response.status_code == 101:
            return Response("something else", 409)
        if request.args.get("what") == "fail-late" and response.status_code == 101:
            raise ZeroDivisionError("of an after_request function")
        return response

    signaling = Blueprint("signaling", name)
    signaling.before_request(protoo.admit)

    @sock.route("/signal", bp=signaling)
    def signal(ws: Any) -> None:
        what = request.args.get("what")
        if what == "view-aborts":
            abort(410)
        if what == "view-fails":
            raise ZeroDivisionError("of a view")
        if what == "view-forgets":
            return
        if what == "view-says":
            protoo.serve(ws, username=request.args["says"], uuid="1")
            return
        protoo.serve(ws)

    app.register_blueprint(signaling)

    @protoo.get("/echo")
    def echo(req: Any, next: Any) -> None:
        req.reply(200, "OK", req.data)

    @protoo.get("/fork")
    def fork(req: Any, next: Any) -> None:
        child = os.fork()
        if child == 0:
            gc.collect()
            limits = app.extensions["protoo"].handshake_limits.connections
            os._exit(len(limits))
        _, status = os.waitpid(child, 0)
        req.reply(200, "OK", {"seats": os.WEXITSTATUS(status)})

    @app.get("/seats")
    def seats() -> Any:
        limits = app.extensions["protoo"].handshake_limits.connections
        return {name: limits.count(name) for name in list(limits._addresses)} or {"none": 0}

    @app.get("/sessions")
    def count_sessions() -> str:
        return str(sessions.opened)

    @app.get("/waiting/<gate>")
    def is_waiting(gate: str) -> str:
        return str(gate in gates)

    @app.post("/open/<gate>")
    def open_gate(gate: str) -> str:
        gates.setdefault(gate, make_event()).set()
        return "open"

    return app
