"""Each event of a peer is told once in the cluster, at the node where it happens."""

from __future__ import annotations

import pytest

from tests.cluster.nodes import BURIAL_TIME, Nodes

from .pairs import Pair

GRACE = 10


@pytest.fixture
def pair():
    with Pair(grace_period=GRACE) as pair:
        yield pair


def test_a_second_device_at_another_node_is_not_the_first_of_its_user(pair):
    pair.a.connect("bob", "b2")
    assert pair.told == [("a", "peer_online", "bob")]


def test_the_last_device_of_a_user_takes_the_user_offline(pair):
    other = pair.a.connect("bob", "b2")
    assert pair.told
    pair.bob.leave()
    assert pair.told == [("b", "peer_offline", "bob")]
    other.leave()
    assert pair.told == [("a", "peer_offline", "bob"), ("a", "user_offline", "bob")]


def test_a_device_that_connects_to_another_node_is_told_nothing_of(pair):
    bob = pair.remote_bob
    again = pair.a.connect("bob", "b1")
    assert again.peer is bob
    assert bob.is_local
    assert pair.bob.link.closed == (3000, "online elsewhere")
    assert not pair.bob.peer.is_local
    pair.bob.drop()
    assert pair.told == []
    assert [peer.is_local for peer in pair.b.peers("bob")] == [False]


def test_a_device_that_was_away_is_told_to_be_back_by_its_new_node(pair):
    pair.bob.drop()
    assert pair.told == [("b", "peer_disconnect", "bob")]
    pair.a.connect("bob", "b1")
    assert pair.told == [("a", "peer_reconnect", "bob")]
    pair.nodes.advance(GRACE)
    assert pair.told == []
    assert pair.a.peers("bob")[0].online


def test_a_device_whose_grace_period_is_over_is_offline(pair):
    pair.bob.drop()
    assert pair.told == [("b", "peer_disconnect", "bob")]
    pair.nodes.advance(GRACE)
    assert pair.told == [("b", "peer_offline", "bob"), ("b", "user_offline", "bob")]
    assert pair.a.peers("bob") == []


def test_the_peers_of_a_dead_node_are_offline_once(pair):
    carol = pair.b.connect("carol", "c1")
    assert carol.peer.online
    pair.forget_events()
    bob = pair.remote_bob
    pair.hub.kill(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    events = sorted(event[1:] for event in pair.told)
    assert events == [
        ("peer_offline", "bob"),
        ("peer_offline", "carol"),
        ("user_offline", "bob"),
        ("user_offline", "carol"),
    ]
    assert pair.a.peers("bob") == []
    assert bob.state == "offline"


def test_functions_of_a_peer_are_told_once_that_its_node_is_dead(pair):
    told = []
    pair.remote_bob.on("offline", told.append)
    pair.hub.kill(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    assert [peer.username for peer in told] == ["bob"]


def test_a_node_that_was_taken_for_dead_tells_that_its_peers_are_online_again(pair):
    pair.hub.stop(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    assert pair.told == [("a", "peer_offline", "bob"), ("a", "user_offline", "bob")]
    pair.hub.resume(pair.b.cluster)
    assert pair.told == [("b", "peer_online", "bob"), ("b", "user_online", "bob")]
    assert pair.bob.link.closed is None
    pair.message({"n": 1})
    assert pair.bob.take()["data"] == {"n": 1}


def test_nobody_is_told_anything_when_the_directory_was_emptied(pair):
    bob = pair.remote_bob
    pair.hub.go_away()
    pair.nodes.advance(30)
    pair.hub.come_back(empty=True)
    pair.nodes.advance(5)
    assert pair.told == []
    assert pair.remote_bob.online
    assert pair.remote_bob.username == bob.username


def test_a_device_that_connects_while_the_directory_is_away_is_claimed_later(pair):
    pair.hub.go_away()
    pair.run()
    carol = pair.a.connect("carol", "c1")
    assert pair.told == [("a", "peer_online", "carol"), ("a", "user_online", "carol")]
    pair.hub.come_back()
    pair.nodes.advance(5)
    assert pair.told == []
    [found] = pair.b.peers("carol")
    assert found.notify("hello")
    assert carol.take()["method"] == "hello"


def test_a_device_that_leaves_while_the_directory_is_away_is_offline_here(pair):
    pair.hub.go_away()
    pair.run()
    pair.bob.leave()
    assert pair.told == [("b", "peer_offline", "bob"), ("b", "user_offline", "bob")]
    pair.hub.come_back()
    pair.nodes.advance(5)
    assert pair.told == []
    assert pair.a.peers("bob") == []


def test_the_younger_link_stays_when_a_device_has_connected_twice_in_the_meantime(pair):
    pair.hub.go_away()
    pair.nodes.advance(3)
    again = pair.a.connect("bob", "b1")
    pair.forget_events()
    pair.hub.come_back()
    pair.nodes.advance(5)
    assert pair.bob.link.closed == (3000, "online elsewhere")
    assert again.link.closed is None
    assert [peer.is_local for peer in pair.a.peers("bob")] == [True]


def test_a_device_that_is_away_gives_way_to_one_at_another_node():
    with Pair(grace_period=GRACE, max_peers_per_user=2) as pair:
        second = pair.a.connect("bob", "b2")
        pair.bob.drop()
        pair.forget_events()
        pair.a.connect("bob", "b3")
        assert sorted(pair.told) == [("a", "peer_online", "bob"), ("b", "peer_offline", "bob")]
        assert {peer.uuid for peer in pair.b.peers("bob")} == {"b2", "b3"}
        assert second.link.closed is None


@pytest.mark.parametrize("number", [0, 1], ids=["the same node", "another node"])
def test_a_device_whose_release_has_not_come_through_is_offline_once(pair, monkeypatch, number):
    carol = pair.a.connect("carol", "c1")
    pair.forget_events()
    # As after an absence of the directory, which still has the device.
    release = pair.a.cluster.release
    monkeypatch.setattr(pair.a.cluster, "release", lambda *args: args[3](None))
    carol.leave()
    pair.run()
    monkeypatch.setattr(pair.a.cluster, "release", release)
    pair.nodes[number].connect("carol", "c1")
    told = pair.nodes.told
    assert told.count(("peer_offline", "carol")) == 1
    assert told.count(("peer_online", "carol")) == 1


def test_each_node_keeps_the_order_of_its_own_events_while_a_listener_is_slow():
    with Nodes(2) as nodes:
        a, b = nodes
        told = []

        def listen(event):
            told.append(("a", event.name))
            if event.name == "peer_offline":
                # The device connects to the other node while this is running.
                b.connect()

        a.framework.on_event.append(listen)
        b.framework.on_event.append(lambda event: told.append(("b", event.name)))
        a.connect().leave()
        nodes.run()
        online = ["peer_online", "user_online"]
        assert [name for node, name in told if node == "a"] == [
            *online,
            "peer_offline",
            "user_offline",
        ]
        assert [name for node, name in told if node == "b"] == online
