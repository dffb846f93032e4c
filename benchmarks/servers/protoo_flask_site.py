"""This project on an ordinary Flask site, through its public names only, but for one.

BENCH_TEARDOWN=1 registers a teardown function, as Flask-SQLAlchemy does. Then each message
has its own app context. BENCH_ATTACHED=1 has all connections stay with their server, as if TLS
ended in it. BENCH_FLOODS=1 adds the parts that only some floods need. BENCH_REDIS_URL
names the Redis of a cluster. BENCH_METRICS=1 has everything counted for Prometheus.
BENCH_RATE_LIMIT is PROTOO_RATE_LIMIT.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from flask import Flask, session

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler

app = Flask(__name__)
#: The load generator knows this key and signs cookies itself: 10 000 logins would take long.
app.secret_key = "the key of the benchmarks"

#: No pings under callgrind: a request takes a hundred times as long, and pings would disturb it.
options: dict[str, Any] = {"ping_interval": None} if os.environ.get("BENCH_NO_PINGS") else {}
if os.environ.get("BENCH_FLOODS"):
    options["compression"] = True
if os.environ.get("BENCH_REDIS_URL"):
    options["cluster_url"] = os.environ["BENCH_REDIS_URL"]
if os.environ.get("BENCH_RATE_LIMIT"):
    options["rate_limit"] = os.environ["BENCH_RATE_LIMIT"]
protoo = Protoo(app, **options)
if os.environ.get("BENCH_METRICS"):
    from protoo_flask.observe import PrometheusMetrics

    protoo.observe(PrometheusMetrics())
processed = 0
last_line = ""


@app.route("/login/<username>")
def login(username: str) -> str:
    session["username"] = username
    return "hello"


@app.route("/collect")
def collect() -> str:
    """Collect garbage, so that only memory in use is counted."""
    gc.collect()
    return "done"


if os.environ.get("BENCH_ATTACHED"):
    from protoo_flask.site import upgrade, views

    setattr(views, upgrade.can_leave.__name__, lambda environ, loop: False)

if os.environ.get("BENCH_TEARDOWN"):

    @app.teardown_appcontext
    def teardown(error: Any) -> None:
        """Stand in for returning a database session."""


@protoo.use
def logger(req: Any, next: Any) -> None:
    """Count the request and make its log line, without writing it to disk."""
    global processed, last_line
    processed += 1
    last_line = f"{req.method} {req.path} from {req.peer.username}"
    next()


@protoo.get("/item/:id")
def item(req: Any, next: Any) -> None:
    req.reply(200, "OK", {"id": req.params["id"]})


if os.environ.get("BENCH_FLOODS"):

    @protoo.get("/range/:first-:last")
    def get_range(req: Any, next: Any) -> None:
        req.reply(200, "OK")


@protoo.put("/broadcast")
def broadcast(req: Any, next: Any) -> None:
    """Notify all other peers one by one, as the README does."""
    for peer in protoo.peers():
        if peer is not req.peer:
            peer.notify("said", req.data)
    req.reply(200, "OK")


def may_watch(peer: Any, username: str) -> bool:
    return True


protoo.use("/users", p2p_messenger(protoo))
protoo.use("/presence", presence(protoo, may_watch))
protoo.use("/chat", room_handler(protoo, max_peers=20_000))
