"""A site for the tests of drains: with handlers that take long, messages, calls and rooms."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from flask import Flask, request

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, room_handler, session_handler

#: Environment variables: settings as ``NAME=number``, with spaces between; the URL of a Redis.
SETTINGS = "TEST_DRAIN_SETTINGS"
CLUSTER_URL = "TEST_DRAIN_CLUSTER"


def create_app() -> Flask:
    app = Flask("draining")
    app.secret_key = "secret of draining"
    for setting in os.environ.get(SETTINGS, "").split():
        name, _, value = setting.partition("=")
        app.config[f"PROTOO_{name}"] = float(value) if "." in value else int(value)
    app.config["PROTOO_HANDSHAKES_PER_USER"] = None
    if CLUSTER_URL in os.environ:
        app.config["PROTOO_CLUSTER_URL"] = os.environ[CLUSTER_URL]
    protoo = Protoo(app)
    site = app.extensions["protoo"]

    @protoo.authorize
    def authorize() -> Any:
        say(f"authorizing {request.args['username']}")
        time.sleep(float(request.args.get("slow", "0")))
        return request.args["username"], request.args.get("uuid", "a1")

    @protoo.get("/pid")
    def get_pid(req: Any, next: Any) -> None:
        req.reply(200, "OK", {"pid": os.getpid(), "draining": site.is_draining})

    @protoo.get("/slow")
    def be_slow(req: Any, next: Any) -> None:
        say(f"slow {req.data['seconds']:g} begins")
        time.sleep(req.data["seconds"])
        say(f"slow {req.data['seconds']:g} ends")
        req.reply(200, "OK", {"pid": os.getpid()})

    @protoo.message("/slow")
    def be_slow_unasked(req: Any, next: Any) -> None:
        be_slow(req, next)

    @protoo.get("/flood")
    def flood(req: Any, next: Any) -> None:
        while not req.peer.link.outbox.is_blocked:
            req.peer.notify("flood", {"text": "x" * 60_000})
        req.reply(200)

    @protoo.get("/drain")
    def drain(req: Any, next: Any) -> None:
        drain = protoo.drain()
        req.reply(200, "OK", {"same": protoo.drain() is drain, "over": drain.is_over})

    @protoo.get("/drain-in-thread")
    def drain_in_thread(req: Any, next: Any) -> None:
        # A thread, also where gevent has patched the module.
        import gevent

        gevent.get_hub().threadpool.spawn(lambda: say(f"over: {protoo.drain().wait(20)}"))
        req.reply(200)

    for event in ("online", "disconnect", "reconnect", "offline"):
        protoo.on(event, lambda peer, event=event: say(f"{event} {peer.username}"))

    @app.get("/page")
    def page() -> str:
        time.sleep(float(request.args.get("seconds", "0")))
        return f"{os.getpid()} {site.is_draining}"

    @app.post("/drain")
    def drain_in_view() -> str:
        return str(protoo.drain(float(request.args.get("timeout", "7"))).wait(20))

    protoo.use("/users", session_handler(protoo))
    protoo.use("/chat", room_handler(protoo))
    protoo.use("/users", p2p_messenger(protoo))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR2, lambda *_: say(f"asked: {protoo.drain() is not None}"))
    return app


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Serve it by gevent's own server, as a script of a site may."""
    import gevent
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", 0), create_app(), log=None)
    server.start()
    gevent.signal_handler(signal.SIGTERM, server.stop)
    say(f"serving http://127.0.0.1:{server.server_port}/")
    server.serve_forever()
    say("served")


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
