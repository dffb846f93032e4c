"""Refused handshakes: each is told once, whoever has refused it."""

from __future__ import annotations

import pytest
from flask import Blueprint, abort, redirect
from flask_sock import Sock

from protoo_flask import Protoo, Reject
from protoo_flask.observe import Observer
from tests.joining import HANDSHAKE, make_app


class Refusals(Observer):
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def turned_away(self, status, reason):
        self.told.append((status, reason))


def make_site():
    app = make_app()
    protoo = Protoo(app)
    return app, protoo, protoo.observe(Refusals())


def refuse_with_401():
    abort(401)


def refuse_by_name():
    raise Reject(402, "pay first")


@pytest.mark.parametrize(
    ("authorizer", "told"),
    [
        (lambda: None, (403, "not authorized")),
        (refuse_by_name, (402, "pay first")),
        (refuse_with_401, (401, "401 UNAUTHORIZED")),
    ],
    ids=["None", "Reject", "abort"],
)
def test_a_refusal_of_the_authorizer_is_told_once(authorizer, told):
    app, protoo, refusals = make_site()
    protoo.authorize(authorizer)
    app.test_client().get("/protoo", headers=HANDSHAKE)
    [(status, reason)] = refusals.told
    assert status == told[0]
    assert told[1] in reason or status == 403


def test_a_function_of_the_site_that_redirects_has_refused():
    app, _, refusals = make_site()
    app.before_request(lambda: redirect("/login"))
    app.test_client().get("/protoo", headers=HANDSHAKE)
    assert [status for status, _ in refusals.told] == [302]


def test_a_refusal_on_a_route_of_flask_sock_of_the_site_is_told_once():
    app, protoo, refusals = make_site()
    protoo.authorize(lambda: None)
    blueprint, sock = Blueprint("signaling", __name__), Sock()
    blueprint.before_request(protoo.admit)

    @sock.route("/signal", bp=blueprint)
    def signal(ws):
        protoo.serve(ws)

    app.register_blueprint(blueprint)
    assert app.test_client().get("/signal", headers=HANDSHAKE).status_code == 403
    assert [status for status, _ in refusals.told] == [403]


def test_an_accepted_handshake_is_not_told():
    _, protoo, refusals = make_site()
    with protoo.test_client(username="alice"):
        pass
    assert refusals.told == []


def test_a_listener_that_fails_does_not_change_the_answer(caplog):
    class Failing(Observer):
        def turned_away(self, status, reason):
            raise ValueError("a mistake")

    app = make_app()
    Protoo(app).observe(Failing())
    for _ in range(2):
        assert app.test_client().get("/protoo", headers=HANDSHAKE).status_code == 403
    assert (
        len(
            [
                record
                for record in caplog.records
                if "Failing.turned_away" in record.msg % record.args
            ]
        )
        == 1
    )
