"""The site of the campaign: that of the soak, with the mistakes that sites make.

Its clock can be set, its teardown and its listeners fail for those who ask for it, and its database
has a pool of one connection.
"""

# ruff: noqa: E402 - the clock is changed before anything takes the function.
from __future__ import annotations

import os
import time

_offset = 0.0
_right_time = time.time
# As if the machine's clock were set to another time while the server runs.
time.time = lambda: _right_time() + _offset

from flask import Flask, g, jsonify
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

from protoo_flask import Protoo
from protoo_flask.observe import PrometheusMetrics
from tests.soak.site import create_app as create_soak

PLACE = "tests.chaos.site:create_app"

#: The variables of the environment with the path of a database, and whether to compress.
DATABASE = "CHAOS_DATABASE"
COMPRESSION = "CHAOS_COMPRESSION"

#: The variable that has the site lie: it acknowledges some messages and forgets them. A campaign
#: must find that.
SABOTAGE = "CHAOS_SABOTAGE"

#: Seconds after which a worker of a cluster is taken for dead.
NODE_TIMEOUT = 4

#: Messages of a device in a second, and at once. Pairs and devices send some ten or a hundred in a
#: second; a flood sends ten thousand.
RATE, BURST = 300, 1000

#: The beginning of the names of users for whom listeners fail.
CLUMSY = "clumsy"


class Deliberate(Exception):
    """An error of the site. It is in the log, and its client gets 500; any other one is a fault."""


def lie(protoo: Protoo) -> None:
    """Acknowledge each hundredth message of the load, and forget it."""

    @protoo.message("/users/:name/:uuid")
    def forget(req, next):
        if req.data.get("number", 1) % 100 == 0:
            req.reply(200, "OK")
        else:
            next()


def create_app() -> Flask:
    """Make the site. Everybody may be everybody: ``?username=...&uuid=...``."""
    app = create_soak(
        lie if os.environ.get(SABOTAGE) else None,
        PROTOO_COMPRESSION=bool(os.environ.get(COMPRESSION)),
        PROTOO_NODE_TIMEOUT=NODE_TIMEOUT,
        PROTOO_RATE_LIMIT={"peer": (RATE, BURST)},
    )
    protoo = app.extensions["protoo"].protoo
    metrics = protoo.observe(PrometheusMetrics(registry=CollectorRegistry()))
    engine = create_engine(
        "sqlite:///" + os.environ[DATABASE],
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=20,
        connect_args={"check_same_thread": False},
    )

    @app.get("/pid")
    def get_pid():
        return jsonify(os.getpid())

    @app.get("/samples")
    def get_samples():
        """Tell the metrics: ``[[name, labels, value]]``."""
        families = metrics.collect()
        return jsonify([sample[:3] for family in families for sample in family.samples])

    @app.get("/clock/<seconds>")
    def set_clock(seconds):
        """Set the clock forward or back, for good."""
        global _offset
        _offset += float(seconds)
        return jsonify(_offset)

    @protoo.get("/stock")
    def count_stock(req, next):
        """Ask the database, whose one connection goes back when the handler has ended."""
        g.connection = engine.connect()
        found = g.connection.execute(text("SELECT 1")).scalar()
        if req.data.get("fail"):
            raise Deliberate("with a connection of the database in hand")
        req.reply(200, "OK", {"found": found})

    @app.teardown_appcontext
    def give_back(error):
        connection = g.pop("connection", None)
        if connection is not None:
            connection.close()
        if g.pop("is_torn", False):
            raise Deliberate("in the teardown")

    @protoo.get("/torn")
    def tear(req, next):
        g.is_torn = True
        req.reply(200, "OK")

    @protoo.get("/fail")
    def fail(req, next):
        raise Deliberate("in a handler")

    for name in ("online", "disconnect", "reconnect", "offline"):

        @protoo.on(name)
        def fail_for_the_clumsy(peer, name=name):
            if peer.username.startswith(CLUMSY):
                raise Deliberate(f"in a listener of {name}")

    return app
