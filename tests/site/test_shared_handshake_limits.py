"""The handshakes of a user are counted at all nodes of a cluster."""

from __future__ import annotations

import pytest

from protoo_flask.site.handshake_limits import TryLater
from tests.cluster.in_process import Hub
from tests.site_nodes import make_nodes


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def make_node(hub, monkeypatch):
    yield from make_nodes(hub, monkeypatch)


def count_allowed(node, username, tries):
    allowed = 0
    for _ in range(tries):
        try:
            node.site.handshake_limits.check_user(username)
        except TryLater:
            continue
        allowed += 1
    return allowed


def test_a_user_has_one_bucket_for_handshakes_at_all_nodes(hub, make_node):
    a, b = (make_node(handshakes_per_user=0.01) for _ in range(2))
    for node in (a, b):
        node.connect(f"first at {node.app.name}", f"{id(node)}")
    assert (count_allowed(a, "alice", 2), count_allowed(b, "alice", 2)) == (1, 0)
    assert count_allowed(b, "bob", 2) == 1


def test_a_larger_burst_holds_but_for_a_tenth_at_each_node(hub, make_node):
    a, b = (make_node(handshakes_per_user=0.5, handshakes_per_address=None) for _ in range(2))
    for node in (a, b):
        node.connect("somebody", f"{id(node)}")
    assert count_allowed(a, "alice", 9) == 5
    assert count_allowed(b, "alice", 9) == 0


def test_while_the_directory_is_away_each_node_counts_alone(hub, make_node):
    a, b = (make_node(handshakes_per_user=0.01) for _ in range(2))
    for node in (a, b):
        node.connect("somebody", f"{id(node)}")
    hub.go_away()
    assert (count_allowed(a, "alice", 2), count_allowed(b, "alice", 2)) == (1, 1)
    hub.come_back()


def test_without_a_limit_there_is_nothing_to_share(hub, make_node):
    a = make_node(handshakes_per_user=None)
    a.connect("somebody")
    assert count_allowed(a, "alice", 1000) == 1000
