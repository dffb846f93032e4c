"""Peers and their registry: who is there, takeover, limits, departure."""

from __future__ import annotations

import functools

import pytest

from protoo_flask.core.errors import Unsendable, UsageError
from protoo_flask.core.peers.local_directory import TooManyPeers
from protoo_flask.core.peers.peer import Identity, broadcast
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from protoo_flask.core.wire.dialect import PROTOO
from tests.fakes import (
    Core,
    FakeContext,
    FakeFramework,
    FakeLink,
)


def names(peers):
    return sorted(f"{peer.username}/{peer.uuid}" for peer in peers)


# Who is there


def test_a_peer_is_who_the_authorizer_says_it_is():
    core = Core()
    peer = core.connect("alice", "a1", {"admin": True}).peer
    assert (peer.username, peer.uuid, peer.data) == ("alice", "a1", {"admin": True})
    assert peer.address == {"username": "alice", "uuid": "a1"}
    assert peer.online
    assert repr(peer) == "<Peer alice/a1 online>"


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ({}, ["alice/a1", "alice/shared", "bob/shared"]),
        ({"username": "alice"}, ["alice/a1", "alice/shared"]),
        ({"uuid": "shared"}, ["alice/shared", "bob/shared"]),
        ({"username": "bob", "uuid": "shared"}, ["bob/shared"]),
        ({"username": "bob", "uuid": "a1"}, []),
        ({"username": "carol"}, []),
        ({"uuid": "c1"}, []),
        ({"username": ""}, []),
        ({"username": "Alice"}, []),
    ],
    ids=repr,
)
def test_peers_are_found_by_user_and_by_device(criteria, found):
    core = Core()
    for username, uuid in [("alice", "a1"), ("alice", "shared"), ("bob", "shared")]:
        core.connect(username, uuid)
    assert names(core.application.directory.find(**criteria)) == found


def test_one_peer_is_found_by_user_and_device_or_is_none():
    core = Core()
    alice = core.connect("alice", "a1").peer
    assert core.application.directory.get("alice", "a1") is alice
    assert core.application.directory.get("alice", "a2") is None
    assert core.application.directory.get("bob", "a1") is None


def test_what_was_found_is_a_list_of_its_own():
    core = Core()
    core.connect("alice", "a1")
    found = core.application.directory.find()
    core.connect("alice", "a2")
    assert names(found) == ["alice/a1"]


# Online and offline


def test_the_first_device_of_a_user_brings_the_user_online_and_the_last_takes_them_off():
    core = Core()
    first, second = core.connect("alice", "a1"), core.connect("alice", "a2")
    assert core.framework.told == [
        ("peer_online", "alice"),
        ("user_online", "alice"),
        ("peer_online", "alice"),
    ]
    core.framework.told.clear()
    first.drop()
    assert core.framework.told == [("peer_offline", "alice")]
    second.drop()
    assert core.framework.told[1:] == [("peer_offline", "alice"), ("user_offline", "alice")]


def test_a_peer_that_has_gone_is_not_listed_and_not_online():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.drop()
    assert core.application.directory.find() == []
    assert not alice.peer.online
    assert repr(alice.peer) == "<Peer alice/a1 offline>"


def test_a_peer_is_listed_when_it_is_told_to_be_online_and_not_when_told_to_be_offline():
    core = Core()
    listed = []
    core.framework.on_event.append(
        lambda event: listed.append((event.name, names(core.application.directory.find())))
    )
    core.connect("alice", "a1").drop()
    assert listed == [
        ("peer_online", ["alice/a1"]),
        ("user_online", ["alice/a1"]),
        ("peer_offline", []),
        ("user_offline", []),
    ]


def test_a_link_is_told_when_others_find_its_peer_and_before_the_site_is():
    core = Core()
    registry, seen = core.application.directory, []

    def reachable():
        seen.append((names(registry.find()), list(core.framework.told)))

    peer = registry.claim(Identity("alice", "a1"), FakeLink(), None, PROTOO, reachable)
    assert seen == [(["alice/a1"], [])]
    assert core.framework.told == []
    registry.tell(peer)
    assert core.framework.told


def test_nothing_is_kept_of_users_who_have_gone():
    core = Core()
    for number in range(3):
        core.connect(f"user{number}", "x").drop()
    assert core.application.directory._users == {}


def test_a_link_that_ends_twice_is_told_once():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.drop()
    alice.drop()
    assert [name for name, _ in core.framework.told].count("peer_offline") == 1


def test_who_comes_back_after_having_gone_is_a_new_peer():
    core = Core()
    first = core.connect("alice", "a1")
    first.drop()
    second = core.connect("alice", "a1")
    assert second.peer is not first.peer
    assert [name for name, _ in core.framework.told] == [
        *("peer_online", "user_online"),
        *("peer_offline", "user_offline"),
        *("peer_online", "user_online"),
    ]


def test_an_offline_is_told_before_a_newer_online_even_if_the_listener_is_slow():
    core = Core()
    alice = core.connect("alice", "a1")
    core.framework.told.clear()
    told = core.framework.told

    def block(event):
        if event.name == "peer_offline" and len(told) == 1:
            # While this listener waits, the device is back and gone again.
            core.connect("alice", "a1").drop()

    core.framework.on_event.append(block)
    alice.drop()
    assert [name for name, _ in told] == [
        *("peer_offline", "user_offline"),
        *("peer_online", "user_online"),
        *("peer_offline", "user_offline"),
    ]


def test_a_listener_may_disconnect_the_peer_that_has_just_come_online():
    core = Core()
    core.framework.on_event.append(
        lambda event: event.name == "peer_online" and event.subject.close(3001, "no")
    )
    alice = core.connect("alice", "a1")
    assert alice.link.closed == (3001, "no")
    assert [name for name, _ in core.framework.told] == [
        *("peer_online", "user_online"),
        *("peer_offline", "user_offline"),
    ]


# Takeover


def test_a_second_link_of_a_device_takes_over_and_the_first_is_closed_with_3000():
    core = Core()
    first = core.connect("alice", "a1", "first")
    second = core.connect("alice", "a1", "second")
    assert second.peer is first.peer
    assert first.link.closed == (3000, "online elsewhere")
    assert second.link.closed is None
    assert second.peer.data == "second"
    assert second.peer.link is second.link


def test_a_takeover_is_neither_an_online_nor_an_offline():
    core = Core()
    first = core.connect("alice", "a1")
    core.framework.told.clear()
    second = core.connect("alice", "a1")
    first.drop()
    assert core.framework.told == []
    assert second.peer.online
    second.drop()
    assert [name for name, _ in core.framework.told] == ["peer_offline", "user_offline"]


def test_a_link_that_takes_over_brings_its_own_context():
    core = Core()
    registry = core.application.directory
    registry.claim(Identity("alice", "a1"), FakeLink(), "first handshake", PROTOO)
    peer = registry.claim(Identity("alice", "a1"), FakeLink(), "second handshake", PROTOO)
    assert peer.context == "second handshake"


def test_the_same_uuid_of_another_user_is_another_device():
    core = Core()
    alice, bob = core.connect("alice", "x"), core.connect("bob", "x")
    assert alice.peer is not bob.peer
    assert alice.link.closed is None


def test_unanswered_requests_are_sent_again_to_the_link_that_takes_over_with_their_ids():
    core = Core()
    first = core.connect("bob", "b1")
    transactions = [first.peer.send(Request("get", {"n": n})) for n in range(3)]
    sent = first.take_all()
    first.respond(sent[1], 200)
    second = core.connect("bob", "b1")
    assert second.take_all() == [sent[0], sent[2]]
    second.respond(sent[2], 200, "again")
    assert transactions[2].response.reason == "again"
    assert transactions[0].response is None


def test_new_requests_go_to_the_link_that_took_over():
    core = Core()
    first, second = core.connect("bob", "b1"), core.connect("bob", "b1")
    second.peer.send(Request("get"))
    assert first.take_all() == []
    assert second.take()["method"] == "get"


# How many


def test_a_device_too_many_is_refused_and_tells_nobody():
    core = Core(max_peers_per_user=2)
    core.connect("alice", "a1")
    core.connect("alice", "a2")
    core.framework.told.clear()
    with pytest.raises(TooManyPeers, match="alice is connected from 2 devices already"):
        core.connect("alice", "a3")
    assert names(core.application.directory.find()) == ["alice/a1", "alice/a2"]
    assert core.framework.told == []


def test_the_limit_is_that_of_each_user():
    core = Core(max_peers_per_user=1)
    core.connect("alice", "a1")
    assert core.connect("bob", "b1").peer.online


def test_at_the_limit_a_known_device_may_take_over_and_a_departure_makes_room():
    core = Core(max_peers_per_user=1)
    core.connect("alice", "a1")
    again = core.connect("alice", "a1")
    assert again.peer.online
    again.drop()
    assert core.connect("alice", "a2").peer.online


# Departure


def test_closing_a_peer_closes_its_link_and_takes_it_off_at_once():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.peer.close()
    assert alice.link.closed == (1000, "normal closure")
    assert core.application.directory.find() == []
    assert core.framework.told[-1] == ("user_offline", "alice")


def test_closing_a_peer_that_has_gone_does_nothing():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.drop()
    back = core.connect("alice", "a1")
    told = list(core.framework.told)
    alice.peer.close()
    assert core.application.directory.remove(alice.peer, 1000, "again") is False
    assert core.application.directory.find() == [back.peer]
    assert back.link.closed is None
    assert core.framework.told == told


def test_nobody_is_served_while_a_listener_takes_its_time_over_the_departure():
    core = Core()
    alice = core.connect("alice", "a1")
    closed = []
    core.framework.on_event.append(lambda event: closed.append(alice.link.closed))
    alice.peer.send(Request("get"), lambda response: closed.append(alice.link.closed))
    core.application.disconnect("alice", None, 3001, "banned")
    assert closed == [(3001, "banned")] * 3


def test_who_goes_leaves_unanswered_requests_ended_before_the_offline_is_told():
    core = Core()
    bob = core.connect("bob", "b1")
    order = []
    core.framework.on_event.append(lambda event: order.append(event.name))
    for _ in range(2):
        bob.peer.send(Request("get"), lambda response: order.append(response.status))
    bob.drop()
    assert order == [410, 410, "peer_offline", "user_offline"]
    assert core.scheduler.pending_timers == 0


# Notifications


def test_a_notification_has_no_id_and_the_sender_that_it_is_given():
    core = Core()
    bob = core.connect("bob", "b1")
    assert bob.peer.notify("presence", {"online": True}) is True
    assert bob.peer.notify("message", sender={"username": "alice", "uuid": "a1"}) is True
    assert bob.take_all() == [
        {"method": "presence", "data": {"online": True}},
        {"method": "message", "data": {}, "sender": {"username": "alice", "uuid": "a1"}},
    ]
    assert core.scheduler.pending_timers == 0


def test_notifying_a_peer_that_has_gone_is_false():
    core = Core()
    bob = core.connect("bob", "b1")
    bob.drop()
    assert bob.peer.notify("presence") is False


def test_a_broadcast_is_written_once_and_counts_who_is_there():
    core = Core()
    clients = [core.connect("bob", "b1"), core.connect("bob", "b2"), core.connect("carol", "c1")]
    clients[2].drop()
    peers = [client.peer for client in clients]
    assert broadcast(peers, "news", {"n": 1}, {"username": "alice", "uuid": "a1"}) == 2
    (first,), (second,) = clients[0].link.payloads, clients[1].link.payloads
    assert first is second
    assert clients[0].take() == {
        "method": "news",
        "data": {"n": 1},
        "sender": {"username": "alice", "uuid": "a1"},
    }


def test_a_broadcast_to_what_is_no_list_of_peers_is_refused():
    bob = Core().connect("bob", "b1")
    for peers in ("bob", bob.peer):
        with pytest.raises(UsageError, match="takes peers"):
            broadcast(peers, "news")


def test_a_broadcast_that_cannot_be_written_reaches_nobody():
    bob = Core().connect("bob", "b1")
    with pytest.raises(Unsendable):
        broadcast([bob.peer], "news", {"x": object()})
    assert bob.take_all() == []


def test_notifying_with_data_that_is_not_json_raises():
    core = Core()
    bob = core.connect("bob", "b1")
    with pytest.raises(Unsendable):
        bob.peer.notify("presence", {"x": object()})
    with pytest.raises(UsageError):
        bob.peer.notify("presence", [1])
    with pytest.raises(UsageError):
        bob.peer.notify("")
    assert bob.take_all() == []


# Listeners


@pytest.mark.parametrize(
    ("event", "signal"),
    [
        ("offline", "peer_offline"),
        ("disconnect", "peer_disconnect"),
        ("reconnect", "peer_reconnect"),
    ],
)
def test_a_peer_keeps_its_listeners_for_each_signal_in_order(event, signal):
    core = Core()
    peer = core.connect("alice", "a1").peer

    def first(peer): ...

    @peer.on(event)
    def second(peer): ...

    assert peer.on(event, first) is first
    assert peer.listeners(signal) == [second, first]
    assert peer.listeners("peer_online") == []


def test_an_event_that_a_peer_does_not_have_is_refused_with_those_that_it_has():
    peer = Core().connect("alice", "a1").peer
    with pytest.raises(UsageError, match="knows disconnect, offline, reconnect, not 'online'"):
        peer.on("online", print)


@pytest.mark.parametrize("function", [5, "print"])
def test_a_listener_that_cannot_be_called_is_refused(function):
    peer = Core().connect("alice", "a1").peer
    with pytest.raises(UsageError):
        peer.on("offline", function)
    with pytest.raises(UsageError):
        peer.on("offline")(function)
    assert peer.listeners("peer_offline") == []


# Relaying


def test_a_request_is_forwarded_with_its_method_data_and_sender_and_an_id_of_its_own():
    core = Core()
    core.router.message("/bob", lambda req, next: to_bob(req, on_response=req.reply))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    id = alice.start_request("message", "/bob", {"text": "hi"})
    forwarded = bob.take()
    assert forwarded == {
        "method": "message",
        "id": 100,
        "data": {"text": "hi"},
        "sender": {"username": "alice", "uuid": "a1"},
    }
    bob.respond(forwarded, 180, "reading")
    bob.respond(forwarded, 299, "read", {"n": 1})
    assert alice.take_all() == [
        {"status": 180, "reason": "reading", "id": id, "data": {}},
        {"status": 299, "reason": "read", "id": id, "data": {"n": 1}},
    ]


def test_what_comes_back_after_the_request_was_answered_otherwise_goes_nowhere(caplog):
    core = Core()

    @core.router.message("/bob")
    def forward_and_answer(req, next):
        to_bob(req, on_response=req.reply)
        req.reply(202, "on its way")

    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    assert alice.request("message", "/bob")["status"] == 202
    bob.respond(bob.take(), 200)
    assert alice.take_all() == []
    assert core.framework.errors == caplog.records == []


def test_on_response_may_be_any_function_and_runs_in_the_contexts_of_who_responds():
    core = Core()
    ran = []
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.peer.context = bob.peer.context = FakeContext(FakeFramework())
    bob.peer.context.run = lambda function, *args: (ran.append(bob.peer), function(*args))
    told = []
    bob.peer.send(Request("get"), functools.partial(told.append))
    bob.respond(bob.take(), 200)
    assert ran == [bob.peer]
    assert told[0].status == 200
    assert alice.take_all() == []


def test_a_response_that_cannot_be_relayed_is_answered_with_500_and_harms_nobody():
    core = Core()
    core.router.message("/bob", lambda req, next: to_bob(req, on_response=req.reply))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    id = alice.start_request("message", "/bob")
    # Stands for data nested so deeply that the stack sufficed for reading it only.
    endless = {}
    endless["data"] = endless
    assert bob.peer.outbound.receive(bob.take()["id"], Response(200, "OK", endless))
    (answer,) = alice.take_all()
    assert (answer["status"], answer["id"]) == (500, id)
    assert "cannot be written as JSON" in answer["reason"]
    assert core.scheduler.pending_timers == 0
