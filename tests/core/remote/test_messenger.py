"""The messenger's options with recipients at other nodes."""

from __future__ import annotations

import pytest

from protoo_flask.middleware import p2p_messenger
from tests.cluster.nodes import Nodes


class Town:
    """Two nodes with a messenger; Alice at the first, Bob's two devices at one each."""

    def __init__(self, grace_period=0, **options):
        self.nodes = Nodes(2, grace_period=grace_period)
        self.offered = []
        if options.pop("offers", False):
            options["on_offline"] = self.offer
        for core in self.nodes:
            core.router.use("/users", p2p_messenger(core.owner, **options))
        first, second = self.nodes
        self.alice = first.connect("alice", "a1")
        self.near, self.far = first.connect("bob", "b1"), second.connect("bob", "b2")

    def offer(self, req, username):
        self.offered.append((username, req.data))
        req.reply(202, "stored")

    def send(self, path="/users/bob", data=None):
        self.alice.start_request("message", path, data or {"text": "hi"})


@pytest.fixture
def make_town():
    towns = []

    def make(**options):
        towns.append(Town(**options))
        return towns[-1]

    yield make
    for town in towns:
        town.nodes.finish()


def test_a_report_names_the_devices_of_all_nodes(make_town):
    town = make_town(report="all")
    town.send()
    for device, status in ((town.near, 200), (town.far, 480)):
        device.respond(device.take(), status)
    answer = town.alice.take()
    assert answer["reason"] == "message delivered to 1 of 2 peers"
    assert answer["data"] == {"delivered": ["b1"], "failed": ["b2"]}


def test_the_first_device_that_accepts_answers_from_another_node(make_town):
    town = make_town(report="first")
    town.send()
    town.far.respond(town.far.take(), 200, "read")
    answer = town.alice.take()
    assert (answer["reason"], answer["data"]["delivered"]) == ("read", ["b2"])
    town.near.respond(town.near.take(), 200)
    assert town.alice.take_all() == []


def test_carbons_reach_the_other_devices_of_the_sender_at_other_nodes(make_town):
    town = make_town(carbons=True)
    other = town.nodes[1].connect("alice", "a2")
    town.send()
    copy = other.take()
    assert copy["data"] == {"text": "hi", "carbon": True, "to": {"username": "bob"}}
    assert "id" not in copy


def test_a_message_to_a_user_without_devices_is_offered(make_town):
    town = make_town(offers=True)
    town.send("/users/carol")
    assert town.alice.take()["status"] == 202
    assert town.offered == [("carol", {"text": "hi"})]


def test_a_message_is_offered_when_its_recipient_elsewhere_leaves_without_an_answer(make_town):
    town = make_town(offers=True)
    town.near.leave()
    town.send()
    assert town.far.take()["method"] == "message"
    town.far.leave()
    assert town.alice.take()["status"] == 202


def test_a_message_is_not_offered_while_nobody_knows_who_is_online(make_town):
    town = make_town(offers=True)
    town.nodes.hub.go_away()
    town.nodes.run()
    town.send("/users/carol")
    assert town.alice.take()["status"] == 503
    assert town.offered == []
    town.nodes.hub.come_back()


def test_a_notification_reaches_devices_at_all_nodes(make_town):
    town = make_town()
    town.alice.notify("message", "/users/bob", {"text": "hi"})
    for device in (town.near, town.far):
        assert device.take()["data"] == {"text": "hi"}
    assert town.alice.take_all() == []


def test_a_slow_reader_elsewhere_refuses_messages_of_users(make_town):
    town = make_town()
    town.far.link.refused.add("alice")
    town.send("/users/bob/b2")
    answer = town.alice.take()
    assert (answer["status"], answer["reason"]) == (503, "reads too slowly")
    assert answer["data"] == {"retryAfter": 5}
