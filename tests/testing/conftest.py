"""A site for the tests of the kit, and the end of each test."""

from __future__ import annotations

import gevent
import pytest
from flask import Flask, session

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from protoo_flask.testing import finish


def make_site(**options):
    """Make an app with some handlers and all middleware; returns its Protoo."""
    app = Flask("site")
    app.secret_key = "of the tests"
    protoo = Protoo(app, **{"disconnect_grace_period": 15, "request_timeout": 20, **options})

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", {"data": req.data, "session": session["username"]})

    @protoo.get("/question")
    def question(req, next):
        response = req.peer.request("question", {"n": 1})
        req.reply(200, "asked", {"status": response.status, "data": response.data})

    @protoo.get("/slow")
    def slow(req, next):
        gevent.sleep(0.01)
        req.reply(200, "slow")

    @protoo.get("/steps")
    def steps(req, next):
        req.reply(100, "first")
        req.reply(150, "second")
        req.reply(200, "last")

    @protoo.get("/forgotten")
    def forgotten(req, next):
        """Return without a reply."""

    protoo.use("/users", session_handler(protoo))
    protoo.use("/users", p2p_messenger(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))
    protoo.use(room_handler(protoo))
    return protoo


@pytest.fixture
def protoo():
    protoo = make_site()
    app = protoo._site.app
    yield protoo
    finish(app)


@pytest.fixture
def alice(protoo):
    return protoo.test_client(username="alice", uuid="phone")


@pytest.fixture
def bob(protoo):
    return protoo.test_client(username="bob", uuid="laptop")
