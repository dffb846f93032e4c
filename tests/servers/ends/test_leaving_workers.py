"""A worker of a cluster that is told to end: its clients come back to others, as the same peers."""

from __future__ import annotations

import pytest

from ..clients import Site, eventually
from ..conftest import run_cluster
from ..test_grace_period import signals


@pytest.fixture
def cluster(tmp_path):
    with run_cluster(tmp_path) as cluster:
        yield cluster
    assert cluster.complaints(cluster.first_line) == []


def test_the_peers_of_a_worker_that_ends_are_never_offline(cluster):
    first, second = (Site(server.port, "/patient") for server in cluster.servers)
    names = [f"user{number}" for number in range(20)]
    with second.connect("witness"):
        clients = [first.connect(name) for name in names]
        eventually(lambda: len(second.get("/peers")), len(names) + 1)
        cluster.servers[0].interrupt()
        for client in clients:
            assert client.wait_for_close() == (1001, "shutting down")
            client.close()
        assert cluster.servers[0].process.wait(15) == 0
        # They wait at the other worker.
        assert len(second.get("/peers")) == len(names) + 1
        for name in names:
            with second.connect(name) as client:
                assert client.request("get", "/echo", {"n": 1})["status"] in (200, 404)
        for name in names:
            online = ["protoo-peer-online", "protoo-user-online"]
            away = ["protoo-peer-disconnect", "protoo-peer-reconnect"]
            assert signals(second, name)[:4] == online + away
