"""A site with metrics, health views and an event log, for several workers."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, request

#: The environment variables with the URL of a Redis; without it, workers do not know each other.
URL = "TEST_CLUSTER_URL"

TOKEN = "the token of the metrics"


def create_app() -> Flask:
    from protoo_flask import Protoo
    from protoo_flask.middleware import p2p_messenger
    from protoo_flask.observe import PrometheusMetrics, liveness, readiness

    app = Flask("metrics")
    app.secret_key = "secret of the metrics"
    if os.environ.get(URL):
        app.config["PROTOO_CLUSTER_URL"] = os.environ[URL]
    if os.environ.get("TEST_GRACE_PERIOD"):
        app.config["PROTOO_DISCONNECT_GRACE_PERIOD"] = float(os.environ["TEST_GRACE_PERIOD"])
    protoo = Protoo(app)
    metrics = protoo.observe(PrometheusMetrics())
    app.add_url_rule("/metrics", view_func=metrics.view(TOKEN))
    app.add_url_rule("/live", view_func=liveness)
    app.add_url_rule("/ready", view_func=readiness)
    protoo.use("/users", p2p_messenger(protoo))

    @protoo.authorize
    def authorize() -> Any:
        if not request.args.get("username"):
            return None
        return request.args["username"], request.args["uuid"]

    @app.get("/pid")
    def pid() -> str:
        return str(os.getpid())

    @protoo.get("/pid")
    def get_pid(req: Any, next: Any) -> None:
        req.reply(200, "OK", {"pid": os.getpid()})

    @protoo.get("/fail")
    def fail(req: Any, next: Any) -> None:
        raise ValueError("deliberate")

    return app
