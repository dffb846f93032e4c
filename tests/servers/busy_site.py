"""Sites whose handlers take long, forget to answer, or never return."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from flask import Flask, jsonify, request, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger


def create_app() -> Flask:
    main = create_site("main")
    mounts = {
        "/hasty": create_site("hasty", PROTOO_RESPONSE_TIMEOUT=0.5),
        "/pool": create_site("pool", PROTOO_MAX_PEERS_PER_USER=4),
    }
    main.wsgi_app = DispatcherMiddleware(main.wsgi_app, mounts)  # type: ignore[method-assign]
    return main


def create_site(name: str, **config: Any) -> Flask:
    app = Flask(name)
    app.secret_key = f"secret of {name}"
    app.config.update(config)
    protoo = Protoo(app)
    gate = threading.Event()
    running: list[str] = []
    handled: list[str] = []
    most: dict[str, int] = defaultdict(int)

    @app.get("/login/<username>")
    def login(username):
        session["username"] = username
        return "welcome"

    @app.get("/state")
    def state():
        most_of_user = most[request.args.get("username", "")]
        return jsonify(running=len(running), most=most_of_user, handled=len(handled))

    @app.post("/open")
    def open_gate():
        gate.set()
        return "open"

    @app.post("/shut")
    def shut_gate():
        gate.clear()
        handled.clear()
        return "shut"

    def wait_at_gate(req, next):
        username = req.peer.username
        running.append(username)
        most[username] = max(most[username], running.count(username))
        try:
            gate.wait()
        finally:
            running.remove(username)
        handled.append(req.peer.username)
        if not req.ended:
            req.reply(200)

    protoo.get("/gate", wait_at_gate)
    protoo.put("/gate", wait_at_gate)

    @protoo.get("/echo")
    def echo(req, next):
        handled.append(req.peer.username)
        req.reply(200, "OK", req.data)

    @protoo.get("/forget")
    def forget(req, next):
        handled.append(req.peer.username)

    protoo.use("/users", p2p_messenger(protoo))
    return app
