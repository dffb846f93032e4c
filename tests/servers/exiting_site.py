"""A site with code that calls ``sys.exit()`` in every place where code of a site runs.

Run as a script, it is served by pywsgi, and ends at SIGTERM as many a script does: by
``sys.exit()`` in a handler of the signal.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from flask import Flask, g, request

from protoo_flask import Protoo, Request, signals


def create_app() -> Flask:
    app = Flask("exiting")
    app.secret_key = "secret of exiting"
    protoo = Protoo(app)

    @protoo.authorize
    def authorize() -> Any:
        if request.args.get("exit"):
            sys.exit("in the authorizer")
        return request.args["username"], "a1"

    @protoo.get("/pid")
    def get_pid(req: Any, next: Any) -> None:
        req.reply(200, "OK", {"pid": os.getpid()})

    @protoo.message("/roll")
    def roll(req: Any, next: Any) -> None:
        parser = argparse.ArgumentParser("/roll")
        parser.add_argument("sides", type=int)
        sides = parser.parse_args([req.data["sides"]]).sides
        req.reply(200, "OK", {"sides": sides})

    @protoo.message("/ask")
    def ask(req: Any, next: Any) -> None:
        req.peer.send(Request("question"), on_response=lambda response: sys.exit("in on_response"))
        req.reply(200)

    @protoo.message("/teardown")
    def leave_in_teardown(req: Any, next: Any) -> None:
        g.leaves = True
        req.reply(200)

    @app.teardown_appcontext
    def tear_down(error: Any) -> None:
        if g.get("leaves"):
            sys.exit("in the teardown")

    @protoo.message("/busy")
    def be_busy(req: Any, next: Any) -> None:
        print("the handler is busy", flush=True)  # noqa: T201
        while True:
            pass

    @protoo.message("/wait")
    def wait(req: Any, next: Any) -> None:
        req.peer.request("wait", timeout=60)

    @protoo.on("online")
    def leave_online(peer: Any) -> None:
        if peer.username == "online":
            sys.exit("in a listener")

    @protoo.on("offline")
    def leave_offline(peer: Any) -> None:
        sys.exit("in a listener of offline")

    def leave_in_receiver(sender: Flask, username: str) -> None:
        sys.exit("in a receiver")

    signals.user_offline.connect(leave_in_receiver, app, weak=False)
    return app


def main() -> None:
    from gevent.pywsgi import WSGIServer

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    server = WSGIServer(("127.0.0.1", 0), create_app(), log=None)
    server.start()
    print(f"serving http://127.0.0.1:{server.server_port}/", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
