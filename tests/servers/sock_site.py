"""A site with flask-sock routes of its own: good ones, and some that go wrong."""

from __future__ import annotations

import json
import tempfile
import threading
import time

import gevent
from flask import Blueprint, Flask, Response, abort, after_this_request, g, request, session
from flask_session import Session
from flask_sock import Sock
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from protoo_flask import Protoo
from protoo_flask.site import views
from protoo_flask.site.contexts import REPEATED
from tests.joining import make_app

from .sites import link_of


def create_app(all_attached: bool = False) -> Flask:
    if all_attached:
        views.can_leave = lambda environ, loop: False
    app = make_app("sock")
    app.config.update(
        SESSION_TYPE="filesystem",
        SESSION_FILE_DIR=tempfile.mkdtemp(),
        SOCK_SERVER_OPTIONS={"subprotocols": "chat", "ping_interval": 25},
        PROTOO_MAX_OUTBOX=200_000,
        PROTOO_REAUTHORIZE_INTERVAL=0.2,
    )
    Session(app)
    protoo, sock = Protoo(app), Sock(app)
    # Each request takes the only connection there is.
    engine = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=2,
        connect_args={"check_same_thread": False},
    )
    torn_down: list[str] = []
    banned: set[str] = set()
    finished: list[int] = []

    @app.before_request
    def connect_to_database():
        g.started = time.monotonic()
        g.database = engine.connect()

    @app.after_request
    def note_time(response: Response) -> Response:
        finished.append(response.status_code)
        response.headers["X-Time"] = str(time.monotonic() - g.started)
        return response

    @app.teardown_request
    def disconnect_from_database(error):
        if "database" in g:
            g.database.close()
        repeated = "repeated " if REPEATED in request.environ else ""
        torn_down.append(repeated + request.path)

    @app.get("/login/<name>")
    def login(name):
        session["username"] = name
        return "welcome"

    @app.get("/logout")
    def logout():
        session.clear()
        return "bye"

    @app.get("/whoami")
    def whoami():
        return session.get("username", "nobody")

    @app.get("/torn-down")
    def tell_torn_down():
        return json.dumps(torn_down)

    @app.get("/threads")
    def tell_threads():
        return json.dumps(sorted(thread.name for thread in threading.enumerate()))

    @app.get("/peers")
    def peers():
        return json.dumps([[peer.username, peer.uuid, peer.data] for peer in protoo.peers()])

    @app.post("/ban/<name>")
    def ban(name):
        banned.add(name)
        return ""

    @app.post("/push/<name>")
    def push(name):
        """Have two writers send until the client's outbox is full, and a ping between."""
        (peer,) = protoo.peers(name)
        meeting = threading.Barrier(3)

        def write(writer):
            for number in range(1000):
                if number in (0, 5):
                    meeting.wait()
                if not peer.notify("push", {"writer": writer, "n": number, "text": "x" * 5000}):
                    return

        def ping():
            meeting.wait()
            link_of(peer).keep_alive()
            meeting.wait()

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
        threads.append(threading.Thread(target=ping))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return ""

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @protoo.get("/where")
    def where(req, next):
        req.reply(200, "OK", {"greenlet": id(gevent.getcurrent()), "thread": threading.get_ident()})

    @protoo.get("/ask")
    def ask(req, next):
        answer = req.peer.request("question")
        req.reply(answer.status, answer.reason, answer.data)

    def add(path, admits=True):
        """Add a route with a blueprint of its own."""
        blueprint = Blueprint(path.strip("/"), __name__)
        if admits:
            blueprint.before_request(protoo.admit)

        def decorate(function):
            sock.route(path, bp=blueprint)(function)
            app.register_blueprint(blueprint)
            return function

        return decorate

    @add("/signal")
    def signal(ws):
        @after_this_request
        def set_cookie(response):
            response.set_cookie("seen", "yes")
            return response

        protoo.serve(ws)

    @add("/named")
    def named(ws):
        if request.args["name"] in banned:
            abort(401)
        protoo.serve(ws, request.args["name"], request.args.get("uuid"), {"kind": "named"})

    @add("/early")
    def early(ws):
        ws.send("before")
        protoo.serve(ws)

    @add("/teapot")
    def teapot(ws):
        abort(418)

    @add("/broken")
    def broken(ws):
        raise ValueError("broken on purpose")

    @add("/broken-late")
    def broken_late(ws):
        protoo.serve(ws)
        raise ValueError("broken late on purpose")

    @add("/idle")
    def idle(ws):
        """Serve nothing."""

    @add("/talkative")
    def talkative(ws):
        protoo.serve(ws)
        ws.send("after")

    @add("/unadmitted", admits=False)
    def unadmitted(ws):
        protoo.serve(ws)

    @sock.route("/plain")
    def plain(ws):
        ws.send(ws.subprotocol or "none")
        while True:
            ws.send(ws.receive())

    return app


def create_attached_app() -> Flask:
    return create_app(all_attached=True)
