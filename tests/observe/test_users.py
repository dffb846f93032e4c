"""Users of a cluster: the sum of what the nodes count is the number of users."""

from __future__ import annotations

import pytest

from protoo_flask.observe.census import Census
from protoo_flask.observe.users import MAX_ASKED, Users
from tests.cluster.nodes import Nodes


def count(nodes):
    """Let each node count, and ask for those that it does not know; then count once more."""
    for _ in range(2):
        found = [
            Census().take(node.application)["protoo_users", ()] if node.is_alive else 0
            for node in nodes
        ]
        nodes.hub.clock.run()
    return found


@pytest.fixture
def nodes():
    with Nodes(3) as nodes:
        yield nodes


def test_a_user_with_devices_at_several_nodes_counts_at_the_first(nodes):
    a, b, c = nodes
    a.connect("alice", "a1")
    b.connect("alice", "a2")
    c.connect("alice", "a3")
    b.connect("bob", "b1")
    a.connect("bob", "b2")
    assert count(nodes) == [1, 1, 0]


def test_when_the_first_device_has_gone_the_user_counts_at_the_next(nodes):
    a, b, _ = nodes
    first = a.connect("alice", "a1")
    b.connect("alice", "a2")
    assert count(nodes) == [1, 0, 0]
    first.leave()
    assert count(nodes) == [0, 1, 0]


def test_a_device_that_moves_to_another_node_takes_its_user_along(nodes):
    a, b, _ = nodes
    a.connect("alice", "a1")
    assert count(nodes) == [1, 0, 0]
    b.connect("alice", "a1")
    assert count(nodes) == [0, 1, 0]


class Cluster:
    """Knows nobody, and notes who is asked for."""

    node = "here"

    def __init__(self):
        self.asked = []

    def look(self, username):
        return None

    def find(self, username):
        self.asked.append(username)
        return []


class Application:
    """As much of one as is needed to count; what is spawned waits."""

    def __init__(self):
        self.cluster = Cluster()
        self.directory = self.runtime = self.scheduler = self
        self.spawned = []

    def spawn(self, *call):
        self.spawned.append(call)


@pytest.mark.parametrize(("number", "asks"), [(MAX_ASKED, True), (MAX_ASKED + 1, False)])
def test_the_users_of_a_large_worker_are_not_asked_for(number, asks):
    application = Application()
    names = [f"user{index}" for index in range(number)]
    assert Users().count(application, names) == number
    assert bool(application.spawned) is asks


def test_one_question_is_under_way_at_a_time():
    application, users = Application(), Users()
    for _ in range(3):
        users.count(application, ["alice"])
    [(ask, *args)] = application.spawned
    ask(*args)
    assert application.cluster.asked == ["alice"]
    users.count(application, ["alice"])
    assert len(application.spawned) == 2
