"""The health views: what they answer, and that they ask nobody."""

from __future__ import annotations

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.observe import liveness, readiness
from tests.cluster.in_process import Hub
from tests.joining import make_app
from tests.site_nodes import make_nodes

HEALTHY = {"status": "ok", "draining": False, "peers": 0, "cluster": None}


def add_views(app):
    app.add_url_rule("/live", view_func=liveness)
    app.add_url_rule("/ready", view_func=readiness)
    return app.test_client()


@pytest.fixture
def make_node(monkeypatch):
    yield from make_nodes(Hub(), monkeypatch)


@pytest.mark.parametrize("path", ["/live", "/ready"])
def test_a_worker_that_serves_clients_is_well(path):
    app = make_app()
    protoo = Protoo(app)
    visitor = add_views(app)
    assert visitor.get(path).json == HEALTHY
    with protoo.test_client(username="alice"):
        answer = visitor.get(path)
    assert answer.status_code == 200
    assert answer.json == {**HEALTHY, "peers": 1}
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_a_worker_that_is_draining_is_alive_and_not_ready(monkeypatch):
    app = make_app()
    Protoo(app)
    visitor = add_views(app)
    monkeypatch.setattr(type(app.extensions["protoo"]), "is_draining", True, raising=False)
    assert visitor.get("/live").status_code == 200
    answer = visitor.get("/ready")
    assert answer.status_code == 503
    assert answer.json == {**HEALTHY, "status": "draining", "draining": True}


def test_a_worker_that_is_closed_is_alive_and_not_ready():
    app = make_app()
    protoo = Protoo(app)
    visitor = add_views(app)
    protoo.close()
    assert visitor.get("/live").status_code == 200
    answer = visitor.get("/ready")
    assert (answer.status_code, answer.json["status"]) == (503, "closed")


def test_a_worker_without_its_cluster_is_ready_and_says_so(make_node):
    node = make_node()
    visitor = add_views(node.app)
    assert visitor.get("/ready").json["cluster"] == "not joined"
    assert node.asked == 0  # a probe joins nothing
    node.open()
    node.hub.run()
    assert visitor.get("/ready").json["cluster"] == "up"
    node.hub.go_away()
    for path in ("/live", "/ready"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.json["cluster"]) == (200, "away")
    node.hub.come_back()


def test_an_app_without_a_protoo_is_told_the_way_out():
    app = make_app()
    app.testing = True
    visitor = add_views(app)
    with pytest.raises(UsageError, match="init_app"):
        visitor.get("/live")
