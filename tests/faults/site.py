"""A site with every feature, whose workers share a journal of what they were told."""

# ruff: noqa: E402 - the clock is changed before anything takes the function.
from __future__ import annotations

import os
import threading
import time

#: The environment variable with the name of an event whose listener ends when ``/go_on`` is read.
SLOW_EVENT = "TEST_SLOW_EVENT"

#: The environment variable with seconds by which the clock of this worker is wrong.
CLOCK_OFFSET = "TEST_CLOCK_OFFSET"

if CLOCK_OFFSET in os.environ:
    # A host whose clock was set to another time.
    _right_time, _offset = time.time, float(os.environ[CLOCK_OFFSET])
    time.time = lambda: _right_time() + _offset

from flask import Flask, jsonify, request

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from tests.servers.shared import make_journal

PLACE = "tests.faults.site:create_app"


def create_app() -> Flask:
    """Make the site. Everybody may be everybody: ``?username=...&uuid=...``."""
    app = Flask("faults")
    app.secret_key = "secret of the faults"
    app.config["PROTOO_HANDSHAKES_PER_USER"] = None
    app.config["PROTOO_REQUEST_TIMEOUT"] = 20
    for name, value in os.environ.items():
        if name.startswith("SITE_PROTOO_"):
            app.config[name[len("SITE_") :]] = float(value) if value.isdigit() else value
    protoo = Protoo(app)
    journal = make_journal("faults")

    @protoo.authorize
    def authorize():
        return request.args["username"], request.args["uuid"]

    go_on = threading.Event()

    for name in ("online", "disconnect", "reconnect", "offline"):

        @protoo.on(name)
        def note(peer, name=name):
            if name == os.environ.get(SLOW_EVENT):
                journal.add(peer.username, f"{name} {peer.uuid} ...")
                go_on.wait()
            journal.add(peer.username, f"{name} {peer.uuid}")

    for name in ("user_online", "user_offline"):

        @protoo.on(name)
        def note_user(username, name=name):
            journal.add(username, name)

    @app.get("/go_on")
    def let_go_on():
        go_on.set()
        return "so be it"

    @app.get("/pid")
    def pid():
        return str(os.getpid())

    @app.get("/journal/<username>")
    def get_journal(username):
        return jsonify(journal.of(username))

    @app.get("/peers")
    def peers():
        return jsonify(sorted(f"{peer.username}/{peer.uuid}" for peer in protoo.peers()))

    @app.get("/tables")
    def tables():
        """Return the sizes of the tables that are not empty, of the app and of its services."""
        application = app.extensions["protoo"].application
        if application is None:
            return jsonify({})
        found = {name: len(table) for name, table in application.directory.tables.items()}
        found["transactions"] = len(application.runtime.transactions)
        found["unanswered"] = len(application.runtime.unanswered)
        return jsonify({name: size for name, size in found.items() if size})

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @protoo.put("/deed/:name")
    def do(req, next):
        journal.add(req.peer.username, f"did {req.params['name']}")
        req.reply(200, "done")

    protoo.use("/users", p2p_messenger(protoo))
    protoo.use("/calls", session_handler(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    protoo.use("/chat", room_handler(protoo))
    return app
