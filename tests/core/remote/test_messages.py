"""Requests and notifications to peers of another node, over a hub in this process."""

from __future__ import annotations

import pytest

from protoo_flask.core.cluster.items import Close
from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from tests.cluster.held_frames import HeldFrames

from .pairs import Pair


@pytest.fixture
def pair():
    with Pair(grace_period=10) as pair:
        yield pair


def test_a_message_and_its_responses_travel_between_nodes(pair):
    pair.message({"text": "hi"})
    message = pair.bob.take()
    assert message["method"] == "message"
    assert message["data"] == {"text": "hi"}
    assert message["sender"] == {"username": "alice", "uuid": "a1"}
    pair.bob.respond(message, 100, "reading", {"n": 1})
    pair.bob.respond(message, 200, "OK", {"n": 2})
    first, last = pair.alice.take_all()
    assert (first["status"], first["reason"], first["data"]) == (100, "reading", {"n": 1})
    assert (last["status"], last["reason"], last["data"]) == (200, "OK", {"n": 2})


def test_the_devices_of_a_user_are_in_the_same_order_at_each_node(pair):
    pair.a.connect("bob", "b2")
    pair.b.connect("bob", "a3")
    for core in (pair.a, pair.b):
        assert [peer.uuid for peer in core.peers("bob")] == ["b1", "b2", "a3"]


def test_a_user_without_devices_anywhere_is_not_found(pair):
    pair.message(path="/users/carol")
    assert pair.alice.take()["status"] == 404


def test_a_request_to_a_peer_elsewhere_is_answered_to_the_site(pair):
    told = []
    transaction = pair.remote_bob.send(Request("get", {"a": [1, 2]}), told.append)
    message = pair.bob.take()
    assert message["data"] == {"a": [1, 2]}
    pair.bob.respond(message, 180)
    pair.bob.respond(message, 200, "OK", {"x": "y"})
    pair.run()
    assert [response.status for response in told] == [180, 200]
    assert told[-1].peer is pair.remote_bob
    assert not told[-1].is_local
    assert transaction.response.data == {"x": "y"}


def test_code_that_waits_gets_the_response_of_a_peer_elsewhere(pair):
    pair.nodes.hub.clock.on_wait.append(lambda: pair.bob.respond(pair.bob.take(), 200, "yes"))
    assert pair.remote_bob.request("get").reason == "yes"


def test_a_peer_elsewhere_that_does_not_answer_is_given_up(pair):
    transaction = pair.remote_bob.send(Request("get"))
    message = pair.bob.take()
    pair.nodes.advance(10)
    assert (transaction.response.status, transaction.response.is_local) == (408, True)
    pair.bob.respond(message, 200)
    assert pair.bob.peer.outbound.late == 1, "the owner still waits for the answer"


def test_a_canceled_request_is_forgotten_at_both_nodes(pair):
    request = Request("get")
    transaction = pair.remote_bob.send(request)
    message = pair.bob.take()
    assert pair.remote_bob.cancel(request)
    pair.run()
    assert (transaction.response.status, transaction.response.is_local) == (487, True)
    assert len(pair.bob.peer.outbound) == 0
    pair.bob.respond(message, 200)
    assert not pair.remote_bob.cancel(request)


def test_a_notification_reaches_a_peer_elsewhere(pair):
    assert pair.remote_bob.notify("hello", {"n": 1})
    assert pair.bob.take() == {"method": "hello", "data": {"n": 1}}


def test_data_that_is_not_json_is_refused_for_a_peer_elsewhere_as_for_one_here(pair):
    transaction = pair.remote_bob.send(Request("get", {"x": object()}))
    assert (transaction.response.status, transaction.response.is_local) == (400, True)


def test_a_broadcast_is_one_item_for_each_node(pair):
    others = [pair.b.connect("bob", f"b{number}") for number in (2, 3)]
    mine = pair.a.connect("bob", "b4")
    sent = []
    send = pair.a.cluster.send
    pair.a.cluster.send = lambda node, item: (sent.append(item), send(node, item))
    assert broadcast(pair.a.peers("bob"), "news", {"n": 1}) == 4
    assert len(sent) == 1
    for client in (pair.bob, *others, mine):
        assert client.take() == {"method": "news", "data": {"n": 1}}


def test_a_message_to_several_devices_on_two_nodes_is_delivered_to_all(pair):
    mine = pair.a.connect("bob", "b2")
    pair.message({"text": "hi"})
    assert pair.alice.take()["reason"] == "message sent to 2 peers"
    assert pair.bob.take()["data"] == mine.take()["data"] == {"text": "hi"}


def test_the_peers_of_all_nodes_are_found_with_their_data():
    with Pair() as pair:
        pair.b.connect("carol", "c1", {"role": "admin"})
        assert {peer.username for peer in pair.a.peers()} == {"alice", "bob", "carol"}
        [carol] = pair.a.peers("carol")
        assert (carol.data, carol.online, carol.is_local) == ({"role": "admin"}, True, False)
        assert pair.a.peers("carol", "c2") == []
        assert pair.a.application.directory.get("carol", "c1") is carol


def test_a_peer_elsewhere_is_one_object(pair):
    assert pair.remote_bob is pair.remote_bob


def test_disconnecting_a_user_closes_the_links_at_all_nodes(pair):
    pair.b.connect("alice", "a2")
    assert pair.a.application.disconnect("alice", None, 3001, "bye") == 2
    pair.run()
    assert [client.link.closed for client in (pair.alice, pair.b.clients[-1])] == [
        (3001, "bye")
    ] * 2
    assert pair.bob.link.closed is None


def test_a_peer_elsewhere_can_be_closed(pair):
    bob = pair.remote_bob
    bob.close(1000, "done")
    pair.run()
    assert pair.bob.link.closed == (1000, "done")
    assert pair.a.peers("bob") == []
    assert not bob.online
    assert not bob.notify("hello")


def test_a_peer_that_drops_elsewhere_is_away_and_its_messages_wait(pair):
    pair.bob.drop()
    bob = pair.remote_bob
    assert not bob.online
    assert bob.notify("hello")
    pair.run()
    back = pair.b.connect("bob", "b1")
    assert back.take() == {"method": "hello", "data": {}}
    assert pair.remote_bob is bob
    assert bob.online


def test_requests_to_a_peer_that_leaves_elsewhere_end_with_410(pair):
    transaction = pair.remote_bob.send(Request("get"))
    pair.bob.leave()
    pair.run()
    assert (transaction.response.status, transaction.response.is_local) == (410, True)


def test_a_peer_that_comes_back_after_being_offline_is_another_one(pair):
    bob = pair.remote_bob
    pair.bob.leave()
    pair.b.connect("bob", "b1")
    assert pair.remote_bob is not bob
    assert bob.state == "offline"
    assert bob.send(Request("get")).response.status == 410


def test_functions_are_told_when_a_peer_elsewhere_drops_returns_and_leaves(pair):
    told = []
    bob = pair.remote_bob
    for event in ("disconnect", "reconnect", "offline"):
        bob.on(event, lambda peer, event=event: told.append((event, peer)))
    pair.bob.drop()
    again = pair.b.connect("bob", "b1")
    again.leave()
    pair.run()
    assert told == [("disconnect", bob), ("reconnect", bob), ("offline", bob)]


def test_a_stale_place_is_looked_up_once_more(pair):
    bob = pair.remote_bob
    # The owner has released the device, and the asker has not heard of it.
    pair.bob.leave()
    pair.a.connect("bob", "b1")
    stale = bob.outbound
    assert stale.node == pair.b.node
    transaction = bob.send(Request("get"))
    pair.run()
    assert (transaction.response.status, transaction.response.is_local) == (410, True)


def test_the_limit_of_unanswered_requests_holds_between_nodes(pair):
    transactions = [pair.remote_bob.send(Request("get", {"x": "y" * 1000000})) for _ in range(10)]
    pair.run()
    statuses = [t.response and t.response.status for t in transactions]
    assert statuses[0] is None
    assert statuses[-1] == 503


def test_closing_a_peer_reaches_the_node_that_its_device_has_moved_to(pair):
    bob = pair.remote_bob
    carol = pair.nodes.add()
    again = carol.connect("bob", "b1")
    pair.run()
    # As a node that has not heard of the move.
    pair.a.cluster.send(pair.b.node, Close("bob", "b1", 1000, "done"))
    pair.run()
    assert again.link.closed == (1000, "done")
    assert not bob.online


def test_what_is_for_a_peer_does_not_reach_a_later_one_of_its_device(pair):
    remote_bob = pair.remote_bob
    frames = HeldFrames(pair.nodes.hub)
    remote_bob.notify("hello")
    remote_bob.close()
    homes = pair.a.application.directory.homes
    homes.engage(remote_bob, "club", "chess")
    pair.bob.leave()
    again = pair.b.connect("bob", "b1")
    frames.stop()
    pair.run()
    assert again.take_all() == []
    assert again.link.closed is None
    assert pair.b.application.directory.homes.engagements(again.peer, "club") == {}
    homes.disengage(remote_bob, "club", "chess")


def test_disconnecting_a_user_reaches_devices_that_move_just_then(pair):
    carol = pair.nodes.add()
    again = carol.connect("bob", "b1")
    pair.run()
    pair.a.cluster.send(pair.b.node, Close("bob", None, 3001, "bye", True))
    pair.run()
    assert again.link.closed == (3001, "bye")
