"""The site of the soak: every feature, devices that come and go, and a look into its tables."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable

from flask import Flask, jsonify, request

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler

PLACE = "tests.soak.site:create_app"

#: The variable of the environment with the URL of the cluster.
CLUSTER = "SOAK_CLUSTER_URL"

#: The variable with the path of a file for the events. A worker that is killed must not take them
#: with it.
EVENTS = "SOAK_EVENTS"

#: Seconds that a device may be away.
GRACE_PERIOD = 3.0

#: Seconds of a drain. Some calls of the soak never end, and last until then.
DRAIN_TIMEOUT = 3.0


def create_app(prepare: Callable[[Protoo], None] | None = None, **config: Any) -> Flask:
    """Make the site. Everybody may be everybody: ``?username=...&uuid=...``.

    :param prepare: registers handlers that come first.
    :param config: more settings.
    """
    app = Flask("soak")
    app.config.update(
        PROTOO_CLUSTER_URL=os.environ.get(CLUSTER),
        PROTOO_CLUSTER_PREFIX="soak",
        PROTOO_CLUSTER_KEY="the key of the soak",
        PROTOO_HANDSHAKES_PER_USER=None,
        PROTOO_DISCONNECT_GRACE_PERIOD=GRACE_PERIOD,
        PROTOO_REQUEST_TIMEOUT=10,
        PROTOO_SESSION_TIMEOUT=15,
        PROTOO_DRAIN_TIMEOUT=DRAIN_TIMEOUT,
    )
    app.config.update(config)
    protoo = Protoo(app)
    if prepare is not None:
        prepare(protoo)
    file = os.open(os.environ[EVENTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(event, name):
        # With the time of the machine's clock, which all processes share.
        os.write(file, json.dumps([time.monotonic(), event, name, os.getpid()]).encode() + b"\n")

    @protoo.authorize
    def authorize():
        username, uuid = request.args["username"], request.args["uuid"]
        return (username, uuid) if username and uuid else None

    @protoo.on("user_online")
    def note_online(username):
        note("online", username)

    @protoo.on("user_offline")
    def note_offline(username):
        note("offline", username)

    @protoo.on("online")
    def note_device_online(peer):
        note("online", f"{peer.username}/{peer.uuid}")

    @protoo.on("offline")
    def note_device_offline(peer):
        note("offline", f"{peer.username}/{peer.uuid}")

    @app.get("/status")
    def get_status():
        application = app.extensions["protoo"].application
        return jsonify("" if application is None else application.directory.cluster.status)

    @protoo.get("/self")
    def tell_self(req, next):
        # Of a peer that moves, "born" stays; of one that stays while Redis is away, the object.
        directory = app.extensions["protoo"].application.directory
        born = directory.born(req.peer) if hasattr(directory, "born") else 0
        req.reply(200, "OK", {"born": born, "object": f"{os.getpid()} {id(req.peer)}"})

    @app.get("/tables")
    def get_tables():
        # Without the fence that keeps the names of internals out of sites: a soak looks inside.
        application = app.extensions["protoo"].application
        if application is None:
            return jsonify({})
        runtime = application.runtime
        tables = {
            "client transactions": len(runtime.transactions),
            "requests": len(runtime.unanswered),
            "bytes sent on": runtime.sent.total,
        }
        for service in runtime._services.values():
            if hasattr(service, "__len__"):
                tables[type(service).__name__] = len(service)
        for peer in application.directory.find():
            tables[f"peer {peer.username}/{peer.uuid}"] = 1
        return jsonify({name: size for name, size in tables.items() if size})

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    protoo.use("/users", session_handler(protoo))
    protoo.use("/users", p2p_messenger(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    protoo.use("/chat", room_handler(protoo))
    return app
