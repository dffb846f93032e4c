"""A site with every feature and the default limits, for tests of a user that does its worst."""

from __future__ import annotations

import threading

from flask import Flask, jsonify, request

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler

PLACE = "tests.servers.feature_site:create_app"


def create_app() -> Flask:
    """Make the site. Everybody may be everybody: ``?username=...&uuid=...``.

    A listener of "online" waits for ``/open-gate`` when the user is named "slow".
    """
    app = Flask("features")
    app.secret_key = "secret of the features"
    app.config["PROTOO_HANDSHAKES_PER_USER"] = None  # devices come and go fast here
    protoo = Protoo(app)
    gate = threading.Event()
    told: list[str] = []

    @protoo.authorize
    def authorize():
        return request.args["username"], request.args["uuid"]

    @protoo.on("online")
    def note_online(peer):
        if peer.username == "slow":
            gate.wait(20)
            told.append(f"online {peer.uuid}")

    @protoo.on("offline")
    def note_offline(peer):
        if peer.username == "slow":
            told.append(f"offline {peer.uuid}")

    @app.get("/open-gate")
    def open_gate():
        gate.set()
        return "open"

    @app.get("/told")
    def get_told():
        return jsonify(told)

    @app.get("/online/<username>")
    def online(username):
        return jsonify(sorted(peer.uuid for peer in protoo.peers(username)))

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    protoo.use("/calls", session_handler(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    protoo.use("/chat", room_handler(protoo))
    protoo.use("/reports", p2p_messenger(protoo, report="all"))
    return app
