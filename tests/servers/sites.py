"""The sites that the tests run on real servers.

:func:`create_app` makes one WSGI app with several sites in it. Each site has its own prefix
and its own settings, so one process of each kind of server is enough for most tests. Other
tests check that the sites do not affect each other.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import defaultdict
from typing import Any

import gevent
import gevent.event
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSessionInterface
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
    user_logged_out,
)
from flask_session import Session
from flask_sock import Sock
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.pool import QueuePool
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from protoo_flask import (
    Protoo,
    Reject,
    Request,
    signals,
)
from protoo_flask.middleware import (
    ice_servers,
    p2p_messenger,
    presence,
    rate_limit,
    room_handler,
    session_handler,
)

from .shared import Journal, make_gates, make_journal

#: The environment variable with the database path of the site below /shop.
DATABASE = "TEST_DATABASE"

#: The environment variable with the URL of a Redis, when several servers are one site.
CLUSTER_URL = "TEST_CLUSTER_URL"

#: Origins of pages that did not come from a web server.
APPLICATION_ORIGINS = [
    "file://",
    "null",
    "capacitor://localhost",
    "ionic://localhost",
    "app://./",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
]


class Deliberate(Exception):
    """An error that a test wants; any other traceback in a server's output is a defect."""


def create_app() -> Flask:
    """Return the main site with the others mounted below it."""
    from .workshop import create_workshop  # it uses this module

    main = create_main_site()
    twins = Protoo()
    add_messages(twins)
    mounts = {
        "/applications": create_site("applications", PROTOO_ALLOWED_ORIGINS=APPLICATION_ORIGINS),
        "/any": create_site("any", PROTOO_ALLOWED_ORIGINS="*"),
        "/branches": create_tenants(
            Flask("branches", subdomain_matching=True, static_folder=None),
            SERVER_NAME="shop.example:8000",
            PROTOO_SUBDOMAIN="<tenant>.Branches",
        ),
        "/brisk": create_site("brisk", PROTOO_PING_INTERVAL=0.3, PROTOO_MAX_MESSAGE_SIZE=1000),
        "/careful": create_pair_site("careful"),
        "/careless": create_pair_site("careless"),
        "/closing": create_closing_site(),
        "/closing-early": create_closing_site(),
        "/club": create_club(),
        "/keyless": create_site("keyless"),
        "/late": create_late_site(PROTOO_MAX_MESSAGE_SIZE=1000, PROTOO_MAX_PEERS_PER_USER=2),
        "/library": create_library(),
        "/measured": create_measured_site(),
        "/metered": create_site(
            "metered", PROTOO_RATE_LIMIT={"peer": ("3/m", 20), "user": ("3/m", 30)}
        ),
        "/metered-parallel": create_site(
            "metered-parallel",
            PROTOO_RATE_LIMIT={"peer": ("3/m", 20)},
            PROTOO_PARALLEL_REQUESTS=3,
            PROTOO_DISCONNECT_GRACE_PERIOD=60,
        ),
        "/meeting": create_meeting(),
        "/members": create_members_site(),
        "/hasty": create_site("hasty", PROTOO_DISCONNECT_GRACE_PERIOD=0.2),
        "/impatient": create_phone_site("impatient", PROTOO_SESSION_TIMEOUT=0.3),
        "/narrow": create_narrow_site(),
        "/parallel": create_site("parallel", PROTOO_PARALLEL_REQUESTS=3),
        "/partners": create_partners_site(),
        "/patient": create_site(
            "patient", PROTOO_DISCONNECT_GRACE_PERIOD=60, PROTOO_REQUEST_TIMEOUT=60
        ),
        "/phone": create_phone_site("phone", PROTOO_DISCONNECT_GRACE_PERIOD=60),
        "/proxied": create_proxied_site(),
        "/shop": create_shop(),
        "/rationed": create_site("rationed", PROTOO_HANDSHAKES_PER_USER=0.01),
        "/rationed-addresses": create_proxied_site(PROTOO_HANDSHAKES_PER_ADDRESS=0.01),
        "/rented": create_tenants(Flask("rented"), PROTOO_PATH="/<tenant>/chat"),
        "/slow": create_slow_site(),
        "/squeezed": create_site("squeezed", PROTOO_COMPRESSION=True),
        "/strict": create_strict_site(),
        "/tenants": create_tenants(
            Flask("tenants", host_matching=True, static_folder=None),
            PROTOO_HOST="<tenant>.Tenants.example:8000",
        ),
        "/twin-1": create_site("twin-1", twins),
        "/twin-2": create_site("twin-2", twins),
        "/unvisited": create_site("unvisited"),
        "/wrong": create_late_site(PROTOO_PING_INTERVAL="soon"),
        "/workshop": create_workshop(),
    }
    mounts["/keyless"].secret_key = None
    main.wsgi_app = DispatcherMiddleware(main.wsgi_app, mounts)
    return main


def create_narrow_site() -> Flask:
    """Return a site with small outboxes, and with a route of flask-sock besides the own one."""
    app = create_site("narrow", PROTOO_MAX_OUTBOX=50_000)
    protoo = app.extensions["protoo"].protoo
    signaling = Blueprint("signaling", __name__)
    signaling.before_request(protoo.admit)
    Sock(app).route("/signal", bp=signaling)(protoo.serve)
    app.register_blueprint(signaling)
    return app


def create_measured_site() -> Flask:
    """Return a site that limits how often a path may be asked."""
    protoo = Protoo()
    protoo.use("/echo", rate_limit("0.5/s", burst=5, name="echo"))
    add_messages(protoo)
    return create_site("measured", protoo)


def create_site(name: str, protoo: Protoo | None = None, **config: Any) -> Flask:
    """Make a site with a login, a journal and the messages that most tests use."""
    app = Flask(name)
    app.secret_key = f"secret of {name}"
    app.config.update(config, SITE=name)
    if CLUSTER_URL in os.environ:
        app.config.update(
            PROTOO_CLUSTER_URL=os.environ[CLUSTER_URL], PROTOO_CLUSTER_PREFIX=f"test-{name}"
        )
    journal = app.extensions["journal"] = make_journal(name)
    if protoo is None:
        protoo = Protoo()
        add_messages(protoo)
    protoo.init_app(app)
    add_pages(app, protoo)
    keep_journal(app, journal)
    keep_journal_of_signals(app, journal)
    return app


def add_pages(app: Flask, protoo: Protoo) -> None:
    """Add the views for the tests."""

    @app.get("/hello")
    def hello():
        return f"hello from {app.config['SITE']}"

    @app.get("/login/<username>")
    def login(username):
        session["username"] = username
        session.permanent = "permanent" in request.args
        return "welcome"

    @app.get("/journal/<username>")
    def journal(username):
        return jsonify(app.extensions["journal"].of(username))

    @app.get("/peers")
    def peers():
        wanted = protoo.peers(request.args.get("username"))
        return jsonify(sorted(f"{peer.username}/{peer.uuid}" for peer in wanted))

    @app.post("/disconnect/<username>")
    def disconnect(username):
        return str(protoo.disconnect(username, request.args.get("uuid")))

    @app.post("/push/<username>")
    def push(username):
        """Send notifications until some wait, and then `more`. Returns how many were sent."""
        size, more = int(request.args["size"]), int(request.args["more"])
        (peer,) = protoo.peers(username)
        sent = 0
        outbox = link_of(peer).outbox
        while outbox.size == 0 or more > 0:
            more -= outbox.size > 0
            if not peer.notify("push", {"n": sent, "text": "x" * size}):
                break
            sent += 1
        return str(sent)

    @app.get("/outbox/<username>")
    def outbox(username):
        """Return how many bytes wait for a slow reader."""
        (peer,) = protoo.peers(username)
        return str(link_of(peer).outbox.size)

    @app.post("/interval/<username>")
    def interval(username):
        """Do what happens when a ping interval has passed. Returns the state afterwards."""
        (peer,) = protoo.peers(username)
        link = link_of(peer)
        link.keep_alive()
        return link.state


def link_of(peer: Any) -> Any:
    """Return the link of a peer. Another thread may be just about to give it one."""
    while peer.link is None:
        assert peer.is_listed, f"{peer} has gone"
        time.sleep(0.001)
    return peer.link


def keep_journal(app: Flask, journal: Journal) -> None:
    """Record every teardown, with the user and the mark in ``g``."""

    @app.before_request
    def mark_request():
        mark(session.get("username", request.args.get("user", "nobody")), request.path)

    @app.teardown_request
    def note_request(error):
        journal.add(g.get("username", "nobody"), f"teardown_request {g.get('mark')}")

    @app.teardown_appcontext
    def note_app_context(error):
        journal.add(g.get("username", "nobody"), f"teardown_appcontext {g.get('mark')}")


def keep_journal_of_signals(app: Flask, journal: Journal) -> None:
    """Record when peers and users come and go."""
    for name in ("peer_online", "peer_disconnect", "peer_reconnect", "peer_offline"):
        signal = getattr(signals, name)
        signal.connect_via(app)(lambda app, peer, name=signal.name: _note_peer(journal, name, peer))
    for signal in (signals.user_online, signals.user_offline):
        signal.connect_via(app)(lambda app, username, name=signal.name: journal.add(username, name))


def mark(username: str, what: str) -> None:
    g.username, g.mark = username, what


def add_messages(protoo: Protoo) -> None:
    """Add the handlers that most tests use."""

    @protoo.use
    def mark_message(req, next):
        mark(req.peer.username, f"{req.method} {req.path}")
        next()

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @protoo.get("/peers")
    def peers(req, next):
        names = sorted(f"{peer.username}/{peer.uuid}" for peer in protoo.peers())
        req.reply(200, "OK", {"peers": names})

    @protoo.get("/journal")
    def journal(req, next):
        entries = current_app.extensions["journal"].of(req.peer.username)
        req.reply(200, "OK", {"entries": entries})

    @protoo.get("/where")
    def where(req, next):
        req.reply(
            200,
            "OK",
            {
                "path": request.path,
                "uuid": request.args["uuid"],
                "agent": request.headers["X-Agent"],
                "username": session["username"],
                "site": current_app.config["SITE"],
                "url": url_for("hello"),
                "external_url": url_for("hello", _external=True),
            },
        )

    @protoo.get("/count")
    def count(req, next):
        g.count = g.get("count", 0) + 1
        req.reply(200, "OK", {"count": g.count})

    @protoo.get("/crash")
    def crash(req, next):
        raise Deliberate("crash")

    @protoo.get("/abort")
    def abort_request(req, next):
        abort(409, "somebody was faster")

    @protoo.get("/reject")
    def reject_request(req, next):
        raise Reject(486, "busy here")

    @protoo.get("/ask/:username")
    def ask(req, next):
        """Ask a peer, block until it answers, and reply with its answer."""
        (peer,) = protoo.peers(req.params["username"])
        response = peer.request("question", req.data, timeout=req.data.get("timeout"))
        data = {**response.data, "is_local": response.is_local}
        req.reply(response.status, response.reason, data)

    @protoo.get("/all-answers/:username")
    def all_answers(req, next):
        """Ask a peer, and reply with the statuses of all its responses."""
        (peer,) = protoo.peers(req.params["username"])
        statuses = [response.status for response in peer.send(Request("question"))]
        req.reply(200, "OK", {"statuses": statuses})

    @protoo.get("/mark-answers/:username")
    def mark_answers(req, next):
        """Ask a peer without blocking, and leave a mark when it answers."""
        (peer,) = protoo.peers(req.params["username"])

        def on_response(response):
            mark(req.peer.username, f"response {response.status}")
            if response.is_final:
                req.reply(200, "OK", {"context": session["username"]})

        peer.send(Request("question"), on_response)

    @protoo.get("/mishandled-answers/:username")
    def mishandle_answers(req, next):
        """Ask a peer without blocking, and fail when it answers."""
        (peer,) = protoo.peers(req.params["username"])

        def on_response(response):
            mark(req.peer.username, f"mishandled response {response.status}")
            raise Deliberate("in on_response")

        peer.send(Request("question"), on_response)
        req.reply(200)

    @protoo.get("/change-of-mind/:username")
    def change_mind(req, next):
        """Ask a peer and cancel the request, so that its response is made in this handler."""
        (peer,) = protoo.peers(req.params["username"])

        def on_response(response):
            mark(peer.username, f"response {response.status}")

        peer.send(Request("question"), on_response).cancel()
        req.reply(200, "OK", {"mark": g.mark})

    @protoo.put("/deed/:name")
    def do(req, next):
        """Do something that must not happen twice."""
        current_app.extensions["journal"].add(req.peer.username, f"did {req.params['name']}")
        req.reply(200, "done", {"name": req.params["name"]})

    @protoo.get("/half")
    def half(req, next):
        """Send a string from a database, which was cut in the middle of an emoji."""
        half = "hi \ud83d"
        req.peer.notify(half, {half: [half]})
        (peer,) = protoo.peers(req.peer.username)
        peer.send(Request(half, {half: [half]}))
        req.reply(180, half)
        req.reply(200, half, {half: [half]})

    @protoo.get("/half-refused")
    def refuse_half(req, next):
        raise Reject(486, "busy \ud83d")

    @protoo.get("/half-closed")
    def close_half(req, next):
        req.peer.close(3456, "bye \ud83d")

    @protoo.use("/vault")
    def guard(req, next):
        req.reply(403, "guarded")

    protoo.get("/vault/gold", echo)
    protoo.get("/vault/*", echo)

    @protoo.get("/nested/:levels")
    def nested(req, next):
        """Reply with data of so many levels."""
        data: dict[str, Any] = {}
        for _ in range(int(req.params["levels"])):
            data = {"x": data}
        req.reply(200, "OK", data)

    gates = make_gates()

    @protoo.get("/gate/:name/wait")
    def wait_at_gate(req, next):
        """Block like a database driver that knows nothing about greenlets."""
        current_app.extensions["journal"].add(req.peer.username, "at the gate")
        req.reply(100, "waiting")
        req.reply(200 if gates.wait(req.params["name"]) else 500)

    @protoo.get("/gate/:name/open")
    def open_gate(req, next):
        gates.open(req.params["name"])
        req.reply(200)

    @protoo.get("/no-delay")
    def no_delay(req, next):
        sock = req.peer.link._channel._sock
        value = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        req.reply(200, "OK", {"no_delay": bool(value)})

    def store(req, username):
        if username.startswith("away"):
            req.reply(202, "stored")

    protoo.use("/users", p2p_messenger(protoo, on_offline=store))
    for report in ("first", "all"):
        protoo.use(f"/report/{report}", p2p_messenger(protoo, report=report))


def create_phone_site(name: str, **config: Any) -> Flask:
    """Make a site with calls. The calls are recorded in the journal of their caller."""
    protoo = Protoo()

    def keep_journal_of_call(call, req):
        journal = current_app.extensions["journal"]
        journal.add(session["username"], f"calls {call.callee['username']}")
        for event in ("progress", "open", "close"):

            @call.on(event)
            def note(call, event=event):
                # Runs in the contexts of the caller, whichever side has caused the event.
                mark(session["username"], f"call {event}")
                journal.add(session["username"], f"call {event} {call.cause}")

    protoo.use("/users", session_handler(protoo, on_session=keep_journal_of_call))
    add_messages(protoo)
    return create_site(name, protoo, **config)


def create_main_site() -> Flask:
    """Make the site with the default settings, which also records its errors."""
    app = create_site("main")
    journal = app.extensions["journal"]
    signals.routing_error.connect_via(app)(
        lambda app, error, request: journal.add(
            request.peer.username, f"routing_error {error!r} in {g.mark}."
        )
    )
    # A WebSocket of the site itself, beside protoo_flask. It does not work without monkey-patching:
    # the thread of flask-sock for each connection cannot wait on a socket of gevent.
    sock = Sock(app)

    @sock.route("/echo")
    def echo(ws):
        while True:
            ws.send(ws.receive())

    return app


def _note_peer(journal: Journal, name: str, peer: Any) -> None:
    mark(peer.username, name)
    journal.add(peer.username, f"{name} {peer.uuid} {session.get('username')}")


def create_strict_site() -> Flask:
    """Make the site with an authorizer that refuses as the URL requests."""
    protoo = Protoo()
    add_messages(protoo)

    @protoo.authorize
    def authorize():
        how = request.args["how"]
        if how == "abort":
            abort(401, "log in first")
        if how == "abort-with-response":
            abort(Response("no coffee", 418))
        if how == "reject":
            raise Reject(402, "pay first")
        if how == "reject-half":
            raise Reject(402, "pay \ud83d")
        if how == "crash":
            raise Deliberate("in the authorizer")
        return {
            "none": None,
            "nonsense": "alice",
            "nobody": ("", "a1"),
            "number": (42, None, {"role": "admin"}),
        }[how]

    @protoo.get("/myself")
    def myself(req, next):
        data = {"username": req.peer.username, "uuid": req.peer.uuid, "data": req.peer.data}
        req.reply(200, "OK", data)

    app = create_site("strict", protoo)

    @app.post("/ids")
    def find_by_id():
        """Find and disconnect the user 42 by the id that a database has."""
        (peer,) = protoo.peers(42)
        return jsonify([protoo.peer(42, peer.uuid) is peer, protoo.disconnect(42)])

    return app


def create_closing_site() -> Flask:
    """Make the site that stops accepting peers after a request."""
    protoo = Protoo()

    @protoo.authorize
    def authorize():
        if "close" in request.args:
            protoo.close()
        return session["username"], request.args.get("uuid")

    app = create_site("closing", protoo)

    @app.post("/close")
    def close():
        app.extensions["protoo"].close()
        return ""

    return app


class Turnstile:
    """Holds the handshakes of clients that ask for it in the URL, until it is opened for them.

    ``?gate=NAME&at=STAGE``: the stage is "session", "before", "authorizer" or "after".
    """

    def __init__(self) -> None:
        self._events: dict[str, Any] = {}

    def hold(self, stage: str) -> None:
        """Wait, if the current request is to be held at this stage."""
        name = request.args.get("gate")
        if name is not None and request.args.get("at", "authorizer") == stage:
            # Flask's development server has threads, the others greenlets.
            in_greenlet = isinstance(gevent.getcurrent(), gevent.Greenlet)
            event = gevent.event.Event() if in_greenlet else threading.Event()
            self._events[name] = event
            assert event.wait(20)

    def holds(self, name: str) -> bool:
        return name in self._events

    def open(self, name: str) -> None:
        self._events.pop(name).set()


def create_slow_site() -> Flask:
    """Make a site whose handshakes take as long as a test says."""
    protoo = Protoo()
    add_messages(protoo)
    turnstile = Turnstile()

    class SlowSessions(SecureCookieSessionInterface):
        """Opens a session, and then waits, as if a store on the network had answered late."""

        def open_session(self, app, request):
            opened = super().open_session(app, request)
            turnstile.hold("session")
            return opened

    @protoo.authorize
    def authorize():
        username, uuid = session.get("username"), request.args.get("uuid")
        if request.args.get("kick") == "others":
            protoo.disconnect(username, reason="one device at a time")
        turnstile.hold("authorizer")
        return None if username is None else (username, uuid)

    app = create_site("slow", protoo, PROTOO_DISCONNECT_GRACE_PERIOD=60)
    app.session_interface = SlowSessions()

    @app.before_request
    def before():
        turnstile.hold("before")

    @app.after_request
    def after(response):
        turnstile.hold("after")
        return response

    @app.get("/holds/<name>")
    def holds(name):
        return jsonify(turnstile.holds(name))

    @app.post("/open/<name>")
    def open_for(name):
        turnstile.open(name)
        return ""

    @app.post("/close/<username>/<uuid>")
    def close(username, uuid):
        protoo.peer(username, uuid).close(int(request.args["code"]), "closed")
        return ""

    @app.get("/closures")
    def closures():
        return str(len(app.extensions["protoo"].arrivals))

    @app.get("/in-progress")
    def in_progress():
        references = app.extensions["protoo"].arrivals._in_progress.values()
        return str(sum(reference() is not None for reference in list(references)))

    return app


def create_pair_site(name: str) -> Flask:
    """Make a site that opens something before each view, and closes it at each teardown."""
    protoo = Protoo()

    def open_it():
        g.opened = []

    if name == "careful":

        @protoo.use()
        def open_it_for_message(req, next):
            open_it()
            next()

    add_messages(protoo)
    app = create_site(name, protoo)
    app.before_request(open_it)

    @app.teardown_request
    def close_it(error):
        # The listeners of the journal have not opened it.
        if "mark" not in g or not g.mark.startswith("protoo-"):
            g.opened.clear()

    return app


def create_late_site(**config: Any) -> Flask:
    """Make a site that is configured after ``init_app()``."""
    app = create_site("late")
    app.config.update(config)

    @app.post("/configure/<name>/<int:value>")
    def configure(name, value):
        """Change a setting that has been read already."""
        app.config[name] = value
        return ""

    return app


def create_partners_site() -> Flask:
    """Make the site that allows pages of two other origins."""
    protoo = Protoo()

    @protoo.authorize
    def authorize():
        if "username" not in session:
            abort(401, "log in first")
        return session["username"], None

    origins = ["https://partner.example", "HTTPS://Other.example:8443/"]
    return create_site("partners", protoo, PROTOO_ALLOWED_ORIGINS=origins)


def create_proxied_site(**config: Any) -> Flask:
    """Make a site in debug mode, behind a proxy, that changes every response."""
    app = create_site("proxied", **config)
    app.debug = True

    @app.after_request
    def add_headers(response):
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.set_cookie("visited", "yes")
        return response

    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)
    return app


def create_tenants(app: Flask, **config: Any) -> Flask:
    """Make a site whose tenants are parts of its URLs. It often asks whether peers may stay."""
    app.config.update(config, PROTOO_REAUTHORIZE_INTERVAL=0.1)
    protoo = Protoo(app)

    @app.url_value_preprocessor
    def take_tenant(endpoint, values):
        # There are no values for a URL that the site does not have.
        g.tenant = values and values.pop("tenant")

    questions: dict[str, int] = defaultdict(int)

    @protoo.authorize
    def authorize():
        questions[request.args["user"]] += 1
        return f"{request.args['user']} of {g.tenant}", request.args.get("uuid")

    @protoo.get("/where")
    def where(req, next):
        data = {"username": req.peer.username, "url": request.url}
        req.reply(200, "OK", data)

    @protoo.get("/questions")
    def count_questions(req, next):
        req.reply(200, "OK", {"count": questions[request.args["user"]]})

    return app


def create_members_site() -> Flask:
    """Make a site that uses Flask-Login."""
    protoo = Protoo()
    add_messages(protoo)

    @protoo.get("/current-user")
    def who(req, next):
        req.reply(200, "OK", {"id": current_user.get_id()})

    app = create_site("members", protoo, PROTOO_SESSION_KEY="_user_id")
    login_manager = LoginManager(app)

    class User(UserMixin):
        def __init__(self, id):
            self.id = id

    login_manager.user_loader(User)

    @app.get("/flask-login/<username>")
    def flask_login(username):
        login_user(User(username))
        return "welcome"

    return app


def create_meeting() -> Flask:
    """Make a site with rooms and presence, which keeps a journal and refuses strangers."""
    protoo = Protoo()
    add_messages(protoo)

    def on_room(room, req):
        journal = current_app.extensions["journal"]
        owner = req.peer.username

        @room.on("join_request")
        def check(room, req):
            if session["username"].startswith("stranger"):
                raise Reject(403, "members only")

        @room.on("request")
        def kick(room, req):
            if req.method != "kick" or req.peer.username != owner:
                raise Reject(405, "method not allowed")
            (peer,) = protoo.peers(req.data["username"])
            req.reply(200, "OK", {"removed": room.remove(peer, "be polite")})

        @room.on("join")
        def note_join(room, peer):
            mark(owner, f"join {peer.username}")
            journal.add(owner, f"join {peer.username} {session['username']}")

        @room.on("leave")
        def note_leave(room, peer):
            mark(owner, f"leave {peer.username}")
            journal.add(owner, f"leave {peer.username} {session['username']}")

        @room.on("close")
        def note_close(room):
            mark(owner, "close")
            journal.add(owner, f"close {room.id}")

    protoo.use("/chat", room_handler(protoo, on_room))
    protoo.use("/ice", ice_servers(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    return create_site(
        "meeting",
        protoo,
        PROTOO_DISCONNECT_GRACE_PERIOD=60,
        PROTOO_ICE_SERVERS=[{"urls": "turn:turn.example.org"}],
        PROTOO_TURN_SECRET="north",
    )


def create_club() -> Flask:
    """Make a site that regularly checks with Flask-Login whether its members may stay."""
    protoo = Protoo()
    add_messages(protoo)
    banned, suspended = set(), set()

    class Member(UserMixin):
        def __init__(self, id):
            self.id = id

        @property
        def is_active(self):
            return self.id not in suspended

    @protoo.authorize
    def authorize():
        if not current_user.is_authenticated:
            raise Reject(401, "log in first")
        current_app.extensions["journal"].add(current_user.get_id(), "authorized")
        return current_user.get_id(), request.args.get("uuid")

    app = create_site("club", protoo, PROTOO_REAUTHORIZE_INTERVAL=0.1)
    login_manager = LoginManager(app)

    @login_manager.user_loader
    def load_user(id):
        return None if id in banned else Member(id)

    @user_logged_out.connect_via(app)
    def disconnect(app, user):
        protoo.disconnect(user.get_id())

    @app.get("/flask-login/<username>")
    def flask_login(username):
        login_user(Member(username))
        return "welcome"

    @app.get("/logout")
    def logout():
        logout_user()
        return "goodbye"

    @app.post("/ban/<username>")
    def ban(username):
        banned.add(username)
        return ""

    @app.post("/suspend/<username>")
    def suspend(username):
        suspended.add(username)
        return ""

    return app


def create_library() -> Flask:
    """Make a site with sessions on the server, by Flask-Session."""
    app = create_site(
        "library",
        PROTOO_REAUTHORIZE_INTERVAL=0.1,
        # A session type of the last Flask-Session for Flask 2.0 and also of the newest one.
        SESSION_TYPE="filesystem",
        SESSION_FILE_DIR=os.environ[DATABASE] + ".sessions",
    )
    Session(app)

    @app.get("/logout")
    def logout():
        session.clear()
        return "goodbye"

    return app


def create_shop() -> Flask:
    """Make a site that uses the only connection of its database pool in every step."""
    protoo = Protoo()
    options = {
        "poolclass": QueuePool,
        "pool_size": 1,
        "max_overflow": 0,
        "pool_timeout": 2,
        "connect_args": {"check_same_thread": False},
    }
    app = Flask("shop")
    app.secret_key = "secret of the shop"
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite:///" + os.environ[DATABASE],
        SQLALCHEMY_ENGINE_OPTIONS=options,
        SQLALCHEMY_TRACK_MODIFICATIONS=False,
    )
    db = SQLAlchemy(app)

    def query() -> int:
        return db.session.execute(text("SELECT count(*) FROM sqlite_master")).scalar() + 1

    def checked_out() -> int:
        return db.engine.pool.checkedout()

    @app.before_request
    def load_user():
        if request.endpoint != "pool":
            g.user = query()

    @app.get("/pool")
    def pool():
        return str(checked_out())

    @app.get("/hello")
    def hello():
        return str(query())

    @app.post("/disconnect/<username>")
    def disconnect(username):
        """Disconnect a user in the middle of a transaction."""
        transaction = db.session.connection()
        count = protoo.disconnect(username)
        still_ours = db.session.connection() is transaction and not transaction.closed
        return jsonify(count=count, still_ours=still_ours, g="user" in g)

    @app.teardown_request
    def end_request(error):
        # Sites clean up g in this way.
        g.pop("user", None)

    @protoo.authorize
    def authorize():
        query()
        return request.args["username"], request.args["uuid"], {"rows": query()}

    @protoo.use
    def log(req, next):
        query()
        next()

    @protoo.get("/query")
    def get_query(req, next):
        req.reply(200, "OK", {"rows": query(), "checked_out": checked_out()})

    @protoo.get("/crash")
    def crash(req, next):
        query()
        raise Deliberate("with a database connection in hand")

    @protoo.get("/ask")
    def ask(req, next):
        def on_response(response):
            req.reply(200, "OK", {"rows": query()})

        req.peer.send(Request("question"), on_response)

    for event in ("online", "offline", "user_online", "user_offline"):
        protoo.on(event, lambda subject: query())

    protoo.init_app(app)
    return app
