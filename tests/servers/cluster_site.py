"""A site of several workers, and jobs of it in processes that serve no clients.

``python -m tests.servers.cluster_site WORLD ACTION`` runs a job in a world: ``threads``, or
``gevent``, where the standard library is patched first. It prints its results as JSON, in lines.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from flask import Flask, session

#: The environment variables with the URL of a Redis, and the prefix.
URL, PREFIX = "TEST_CLUSTER_URL", "TEST_CLUSTER_PREFIX"

#: Threads of a job, and requests of each.
THREADS, REQUESTS = 4, 25


def create_app() -> Flask:
    from protoo_flask import Protoo
    from protoo_flask.middleware import p2p_messenger, presence, room_handler

    app = Flask("cluster")
    app.secret_key = "secret of the cluster"
    app.config["PROTOO_CLUSTER_URL"] = os.environ[URL]
    app.config["PROTOO_CLUSTER_PREFIX"] = os.environ.get(PREFIX, "protoo")
    protoo = Protoo(app)
    protoo.use("/users", p2p_messenger(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    protoo.use("/chat", room_handler(protoo))

    @app.get("/login/<username>")
    def login(username: str) -> str:
        session["username"] = username
        return username

    @app.get("/peers")
    def peers() -> Any:
        return {peer.username: peer.is_local for peer in protoo.peers()}

    @app.get("/ask/<username>")
    def ask(username: str) -> Any:
        return {"status": [peer.request("ping").status for peer in protoo.peers(username)]}

    @protoo.get("/pid")
    def pid(req: Any, next: Any) -> None:
        req.reply(200, "OK", {"pid": os.getpid()})

    return app


def tell(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def find(protoo: Any, username: str) -> Any:
    (peer,) = protoo.peers(username)
    return peer


def push(app: Flask, protoo: Any) -> None:
    tell(reached=protoo.broadcast(protoo.peers("bob"), "report", {"url": "/1"}))


def ask(app: Flask, protoo: Any) -> None:
    response = find(protoo, "bob").request("ping", {"n": 1})
    tell(status=response.status, data=response.data)


def ask_in_threads(app: Flask, protoo: Any) -> None:
    statuses: list[int] = []

    def work() -> None:
        with app.app_context():
            statuses.extend(find(protoo, "bob").request("ping").status for _ in range(REQUESTS))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell(statuses=sorted(set(statuses)), count=len(statuses))


def ask_in_child(app: Flask, protoo: Any) -> None:
    """Ask here, in a child that is forked, as Celery does, and here again."""
    ask(app, protoo)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ask(app, protoo)
            status = 0
        finally:
            os._exit(status)
    tell(child=os.waitpid(child, 0)[1])
    ask(app, protoo)


def disconnect(app: Flask, protoo: Any) -> None:
    tell(closed=protoo.disconnect("bob"))


def main(world: str, action: str) -> None:
    if world == "gevent":
        from gevent import monkey

        monkey.patch_all()
    app = create_app()
    with app.app_context():
        globals()[action](app, app.extensions["protoo"].protoo)


if __name__ == "__main__":
    main(*sys.argv[1:])
