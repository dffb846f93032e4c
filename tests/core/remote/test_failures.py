"""Nodes that die, items that are lost, a directory that is away."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core.cluster.items import Ask, Cancel
from protoo_flask.core.remote.comparison import INTERVAL
from protoo_flask.core.request import Request
from tests.cluster.nodes import BURIAL_TIME, Nodes

from .pairs import Pair


@pytest.fixture
def pair():
    with Pair(grace_period=10, request_timeout=60) as pair:
        yield pair


def outcome(transaction):
    response = transaction.response
    return response and (response.status, response.is_local)


def test_requests_to_a_dead_node_end_with_503(pair):
    transaction = pair.ask()
    pair.run()
    pair.hub.kill(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    assert outcome(transaction) == (503, True)


def test_a_request_that_certainly_does_not_arrive_ends_at_once(pair):
    bob = pair.remote_bob
    pair.hub.kill(pair.b.cluster)
    transaction = bob.send(Request("get"))
    pair.run()
    assert outcome(transaction) == (503, True)
    assert "cannot be reached" in transaction.response.reason


def test_the_requests_of_a_dead_node_are_forgotten_at_the_owner(pair):
    pair.ask()
    assert pair.bob.take()["method"] == "get"
    assert len(pair.bob.peer.outbound) == 1
    pair.hub.kill(pair.a.cluster)
    pair.nodes.advance(BURIAL_TIME)
    assert len(pair.bob.peer.outbound) == 0


def test_a_message_to_a_user_of_a_dead_node_is_answered_503_and_later_404(pair):
    pair.hub.kill(pair.b.cluster)
    pair.message()
    assert pair.alice.take()["status"] == 503
    pair.nodes.advance(BURIAL_TIME)
    pair.message()
    assert pair.alice.take()["status"] == 404


def test_a_lost_request_is_ended_when_the_nodes_compare(pair):
    with pair.hub.lose_items(pair.a.cluster, pair.b.cluster):
        lost = pair.ask()
        pair.run()
    assert outcome(lost) is None
    later = pair.ask()
    pair.run()
    assert outcome(lost) == (503, True)
    assert outcome(later) is None


def test_a_lost_answer_is_repeated_when_the_nodes_compare(pair):
    transaction = pair.ask()
    message = pair.bob.take()
    with pair.hub.lose_items(pair.b.cluster, pair.a.cluster):
        pair.bob.respond(message, 200, "OK", {"n": 1})
        pair.run()
    assert outcome(transaction) is None
    pair.b.peers("alice")[0].notify("hello")
    pair.run()
    assert outcome(transaction) == (200, False)
    assert transaction.response.data == {"n": 1}


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_provisional_answer_comes_once_although_the_nodes_compare(pair, is_lost):
    statuses = []
    pair.remote_bob.send(
        Request("get"), on_response=lambda response: statuses.append(response.status)
    )
    message = pair.bob.take()
    with contextlib.ExitStack() as stack:
        if is_lost:
            stack.enter_context(pair.hub.lose_items(pair.b.cluster, pair.a.cluster))
        pair.bob.respond(message, 180, "ringing")
        pair.run()
    assert statuses == ([] if is_lost else [180])
    with pair.hub.lose_items(pair.b.cluster, pair.a.cluster):
        pair.b.peers("alice")[0].notify("this is lost")
        pair.run()
    pair.b.peers("alice")[0].notify("hello")
    pair.run()
    assert statuses == [180]
    pair.bob.respond(message, 200)
    pair.run()
    assert statuses == [180, 200]


def test_a_lost_cancel_is_made_up_for_when_the_nodes_compare(pair):
    transaction = pair.ask()
    assert pair.bob.take()["method"] == "get"
    with pair.hub.lose_items(pair.a.cluster, pair.b.cluster):
        transaction.cancel()
        pair.run()
    assert len(pair.bob.peer.outbound) == 1
    pair.remote_bob.notify("hello")
    pair.run()
    assert len(pair.bob.peer.outbound) == 0


def test_what_is_lost_just_after_nodes_have_compared_is_compared_soon(pair):
    for _ in range(2):
        with pair.hub.lose_items(pair.a.cluster, pair.b.cluster):
            lost = pair.ask()
            pair.run()
        pair.remote_bob.notify("hello")
        pair.run()
    assert outcome(lost) is None
    pair.nodes.advance(INTERVAL)
    assert outcome(lost) == (503, True)


def test_a_request_goes_on_whose_asker_has_not_heard_that_its_peer_has_moved():
    with Nodes(3, grace_period=10, request_timeout=60) as nodes:
        asker, former, owner = nodes
        former.connect("bob", "b1")
        transaction = asker.peers("bob", "b1")[0].send(Request("get"))
        nodes.run()
        with nodes.hub.lose_items(owner.cluster, asker.cluster):
            bob = owner.connect("bob", "b1")
        # The next item tells the asker that one was lost.
        owner.cluster.send(asker.node, Cancel(1))
        nodes.run()
        message = bob.take()
        bob.respond(message, 200)
        nodes.run()
        assert outcome(transaction) == (200, False)


def test_nodes_that_compare_do_not_go_on_for_ever(pair):
    sent = []
    send = pair.a.cluster.send
    pair.a.cluster.send = lambda node, item: (sent.append(item), send(node, item))
    pair.a.application.directory.host.may_have_lost(pair.b.node)
    pair.run()
    assert len(sent) == 1


def test_local_peers_go_on_while_the_directory_is_away(pair):
    other = pair.a.connect("bob", "b2")
    pair.hub.go_away()
    pair.run()
    pair.message(path="/users/bob/b2")
    message = other.take()
    other.respond(message, 200)
    assert pair.alice.take()["status"] == 200
    pair.hub.come_back()


def test_a_message_to_another_node_is_answered_503_while_the_directory_is_away(pair):
    pair.message()
    assert pair.bob.take()
    pair.hub.go_away()
    pair.run()
    pair.message(path="/users/bob/b1")
    answer = pair.alice.take()
    assert answer["status"] == 503
    assert answer["reason"] == "its server cannot be reached for now"
    pair.hub.come_back()


def test_the_absence_of_a_user_is_not_believed_while_the_directory_is_away(pair):
    bob = pair.remote_bob
    pair.hub.go_away()
    pair.run()
    pair.message(path="/users/nobody")
    answer = pair.alice.take()
    assert answer["status"] == 503
    # The reason is for the log: it says where the directory is.
    assert answer["reason"] == "users of other servers cannot be reached for now"
    assert pair.a.cluster.reason
    assert bob.request("get").reason == "its server cannot be reached for now"
    pair.hub.come_back()


def test_the_absence_of_a_user_is_not_believed_while_the_directory_is_settling(pair):
    pair.hub.go_away()
    pair.run()
    pair.hub.come_back(empty=True)
    assert pair.a.cluster.status == "settling"
    pair.message(path="/users/nobody")
    assert pair.alice.take()["status"] == 503
    pair.nodes.advance(5)
    pair.message(path="/users/nobody")
    assert pair.alice.take()["status"] == 404


def test_a_node_that_was_taken_for_dead_ends_what_it_has_asked_and_been_asked(pair):
    there, here = pair.ask(), pair.b.peers("alice")[0].send(Request("get"))
    pair.run()
    pair.hub.cut(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    pair.hub.mend(pair.b.cluster)
    pair.run()
    assert outcome(there) == outcome(here) == (503, True)
    assert len(pair.alice.peer.outbound) == len(pair.bob.peer.outbound) == 0
    assert pair.b.application.directory.homes.is_here(pair.b.node)


def test_an_item_of_an_unknown_kind_is_ignored(pair):
    pair.a.application.directory.host.receive(pair.b.node, object())


def test_an_ask_of_a_kind_of_a_newer_version_is_sent_all_the_same(pair):
    ask = Ask(1, "bob", "b1", b'{"method":"get","data":{}}', None, "of the future")
    pair.a.cluster.send(pair.b.node, ask)
    assert pair.bob.take()["method"] == "get"
    pair.a.cluster.send(pair.b.node, Cancel(1))
    pair.run()
    assert len(pair.bob.peer.outbound) == 0
