"""This project, on an ordinary Flask site, through its public names only.

BENCH_TEARDOWN=1 registers a teardown function, as Flask-SQLAlchemy does: then each message
has an app context of its own.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from flask import Flask, session

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler

app = Flask(__name__)
#: Known to the load generator, which signs cookies itself: 10 000 logins would take long.
app.secret_key = "the key of the benchmarks"

#: Where a request takes a hundred times as long, as under callgrind, pings would come between.
pings = {"ping_interval": None} if os.environ.get("BENCH_NO_PINGS") else {}
protoo = Protoo(app, **pings)
processed = 0
last_line = ""


@app.route("/login/<username>")
def login(username: str) -> str:
    session["username"] = username
    return "hello"


@app.route("/collect")
def collect() -> str:
    """Collect garbage, so that what is counted is what is kept."""
    gc.collect()
    return "done"


if os.environ.get("BENCH_TEARDOWN"):

    @app.teardown_appcontext
    def teardown(error: Any) -> None:
        """Stand for a database session that is given back."""


@protoo.use
def logger(req: Any, next: Any) -> None:
    """Count, and write the line that a log would have; no disk has a part in this."""
    global processed, last_line
    processed += 1
    last_line = f"{req.method} {req.path} from {req.peer.username}"
    next()


@protoo.get("/item/:id")
def item(req: Any, next: Any) -> None:
    req.reply(200, "OK", {"id": req.params["id"]})


@protoo.put("/broadcast")
def broadcast(req: Any, next: Any) -> None:
    """Tell everybody else, one by one, as the README does."""
    for peer in protoo.peers():
        if peer is not req.peer:
            peer.notify("said", req.data)
    req.reply(200, "OK")


def may_watch(peer: Any, username: str) -> bool:
    return True


protoo.use("/users", p2p_messenger(protoo))
protoo.use("/presence", presence(protoo, may_watch))
protoo.use("/chat", room_handler(protoo, max_peers=20_000))
