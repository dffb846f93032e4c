"""The site that the clients of these tests connect to: ``python -m tests.client.site PORT``."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from flask import Flask, Response, redirect, request, session

from protoo_flask import Protoo, Request
from protoo_flask.middleware import p2p_messenger


def create_app() -> Flask:
    app = Flask(__name__)
    app.secret_key = "secret"
    app.config["PROTOO_DISCONNECT_GRACE_PERIOD"] = float(os.environ.get("GRACE_PERIOD", "0"))
    app.config["PROTOO_PING_INTERVAL"] = float(os.environ.get("PING_INTERVAL", "25"))
    protoo = Protoo(app)
    add_messages(protoo)

    @app.get("/login/<username>")
    def login(username: str) -> Any:
        session["username"] = username
        return "welcome"

    @app.get("/disconnect/<username>")
    def disconnect(username: str) -> str:
        return str(protoo.disconnect(username))

    @app.get("/close/<username>/<int:code>")
    def close(username: str, code: int) -> str:
        for peer in protoo.peers(username):
            peer.close(code, request.args.get("reason", "as you like"))
        return ""

    @app.before_request
    def look_at_handshakes() -> Any:
        """Let tests choose what becomes of a handshake."""
        query = request.args
        if "redirect" in query:
            return redirect(query["redirect"])
        if "status" in query:
            answer = Response(query["status"], int(query["status"]), mimetype="text/html")
            answer.headers["Retry-After"] = query.get("after", "0")
            answer.set_cookie("refused", "yes")
            return answer
        if "user" in query:
            session["username"] = query["user"]
        return None

    @app.get("/jar")
    def jar() -> str:
        return repr(sorted(request.cookies))

    return app


def add_messages(protoo: Protoo) -> None:
    counts: Counter[str] = Counter()
    held: list[Request] = []
    protoo.use("/users", p2p_messenger(protoo))

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @protoo.get("/steps")
    def steps(req, next):
        for number in range(req.data["count"]):
            # Each is seen before the next one: the client says so.
            req.reply(180, "step", {"number": number})
            req.peer.request("seen")
        req.reply(200, "done")

    @protoo.get("/hold")
    def hold(req, next):
        counts[req.data["name"]] += 1
        held.append(req)
        req.keep_open()
        req.reply(100, "held")

    @protoo.get("/release")
    def release(req, next):
        for other in held:
            other.reply(200, "released", {"count": counts[other.data["name"]]})
        held.clear()
        req.reply(200)

    @protoo.get("/counts/:name")
    def count(req, next):
        req.reply(200, "OK", {"count": counts[req.params["name"]]})

    @protoo.get("/limited")
    def limited(req, next):
        seen = counts[req.data["name"]] = counts[req.data["name"]] + 1
        data = {"seen": seen, "retryAfter": req.data["retryAfter"]}
        req.reply(429 if seen <= req.data["count"] else 200, "limit", data)

    @protoo.get("/limited/:name")
    def seen_by_limit(req, next):
        req.reply(200, "OK", {"seen": counts[req.params["name"]]})

    @protoo.get("/ask")
    def ask(req, next):
        response = req.peer.request("question", req.data, timeout=10)
        req.reply(response.status, response.reason, response.data)

    @protoo.get("/flood")
    def flood(req, next):
        for number in range(req.data["count"]):
            req.peer.notify("drop", {"number": number})
        req.reply(200)


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    from protoo_flask.serving import serve

    if len(sys.argv) > 2:
        from gevent.pywsgi import WSGIServer

        server = WSGIServer(
            ("127.0.0.1", int(sys.argv[1])),
            create_app(),
            log=None,
            certfile=f"{sys.argv[2]}/cert.pem",
            keyfile=f"{sys.argv[2]}/key.pem",
        )
        server.start()
        sys.stdout.write(f"https://127.0.0.1:{server.server_port}\n")
        server.serve_forever()
    else:
        serve(create_app(), "127.0.0.1", int(sys.argv[1]))
