"""The test kit and routes of flask-sock that a site has made."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask, abort
from flask_sock import Sock

from protoo_flask import Protoo
from protoo_flask.testing import Refused


@pytest.fixture
def protoo():
    app = Flask("site")
    app.secret_key = "secret"
    protoo, sock = Protoo(app), Sock(app)
    signaling = Blueprint("signaling", __name__)
    signaling.before_request(protoo.admit)

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @sock.route("/signal", bp=signaling)
    def signal(ws):
        protoo.serve(ws, data={"by": "signal"})

    @sock.route("/teapot", bp=signaling)
    def teapot(ws):
        abort(418)

    app.register_blueprint(signaling)
    yield protoo
    protoo.close()


def test_a_client_connects_over_such_a_route(protoo):
    with protoo.test_client(username="alice", uuid="a1", path="/signal") as alice:
        assert alice.request("get", "/echo", {"n": 1}).data == {"n": 1}
        assert protoo.peer("alice", "a1").data == {"by": "signal"}


def test_a_view_refuses_by_a_status(protoo):
    with pytest.raises(Refused) as caught:
        protoo.test_client(username="alice", path="/teapot")
    assert caught.value.status == 418
