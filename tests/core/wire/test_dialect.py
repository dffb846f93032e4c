"""Dialects: each link has one, and a device that changes it is a new peer."""

from __future__ import annotations

import pytest

from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from protoo_flask.core.wire.dialect import PROTOO
from tests.core.wire.toy import TOY, ToyClient
from tests.fakes import Core

SENDER = {"username": "al", "uuid": "a1"}


def test_each_dialect_names_its_sub_protocol():
    assert PROTOO.subprotocol == "protoo"


# A link with a dialect of its own


def test_requests_are_read_and_responses_written_in_the_dialect_of_their_link():
    core = Core()
    core.router.put("/rooms/:id", lambda req, next: req.reply(201, "made", {"got": req.data}))
    toy = core.connect("bob", "b1", kind=ToyClient)
    toy.send_raw(b'{"m": "put", "p": "/rooms/7", "i": 5, "d": {"n": 1}}')
    assert toy.link.take() == {"s": 201, "r": "made", "i": 5, "d": {"got": {"n": 1}}}


def test_bad_messages_are_answered_in_the_dialect_of_their_link():
    toy = Core().connect("bob", "b1", kind=ToyClient)
    toy.send_raw(b'{"m": "put", "p": "x", "i": 5}')
    toy.inbox.receive_binary()
    first, second = toy.link.take(), toy.link.take()
    assert (first["s"], first["r"], first["i"]) == (400, 'path must start with "/"', 5)
    assert (second["s"], second["i"]) == (400, 0)


def test_an_id_in_progress_is_refused_in_the_dialect_of_its_link():
    core = Core()
    core.router.get("/", lambda req, next: None)
    toy = core.connect("bob", "b1", kind=ToyClient)
    for _ in range(2):
        toy.send({"method": "get", "path": "/", "id": 7})
    assert toy.link.take()["s"] == 400


def test_requests_and_notifications_are_written_in_the_dialect_of_the_peer_that_gets_them():
    toy = Core().connect("bob", "b1", kind=ToyClient)
    transaction = toy.peer.send(Request("get", {"n": 1}))
    toy.peer.notify("news", {"n": 2}, SENDER)
    assert toy.link.take() == {"m": "get", "i": transaction.id, "d": {"n": 1}}
    assert toy.link.take() == {"m": "news", "d": {"n": 2}, "f": SENDER}
    toy.send_raw(b'{"s": 200, "r": "OK", "i": %d, "d": {"n": 3}}' % transaction.id)
    assert transaction.response.data == {"n": 3}


@pytest.mark.parametrize("kinds", ["protoo to toy", "toy to protoo"])
def test_peers_of_both_dialects_talk_to_each_other(kinds):
    core = Core()
    core.router.message("/bob", lambda req, next: to_bob(req, on_response=req.reply))
    if kinds == "protoo to toy":
        alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1", kind=ToyClient)
    else:
        alice, bob = core.connect("alice", "a1", kind=ToyClient), core.connect("bob", "b1")
    to_bob = bob.peer.send
    id = alice.start_request("message", "/bob", {"text": "hi"})
    request = bob.take()
    assert request == {
        "method": "message",
        "id": request["id"],
        "data": {"text": "hi"},
        "sender": {"username": "alice", "uuid": "a1"},
    }
    bob.respond(request, 180, "reading")
    bob.respond(request, 200, "read", {"n": 1})
    assert alice.take_all() == [
        {"status": 180, "reason": "reading", "id": id, "data": {}},
        {"status": 200, "reason": "read", "id": id, "data": {"n": 1}},
    ]


def test_a_broadcast_is_written_once_for_each_dialect():
    core = Core()
    plain = [core.connect("alice", f"a{n}") for n in range(2)]
    toys = [core.connect("bob", f"b{n}", kind=ToyClient) for n in range(3)]
    written_before = TOY.notifications
    everybody = [plain[0], toys[0], plain[1], toys[1], toys[2]]
    assert broadcast([client.peer for client in everybody], "news", {"n": 1}, SENDER) == 5
    assert TOY.notifications == written_before + 1
    for clients in (plain, toys):
        payloads = [client.link.payloads[0] for client in clients]
        assert all(payload is payloads[0] for payload in payloads)
    expected = {"method": "news", "data": {"n": 1}, "sender": SENDER}
    assert [client.take() for client in everybody] == [expected] * 5


def test_a_broadcast_to_peers_of_one_dialect_is_not_written_in_another():
    core = Core()
    alice = core.connect("alice", "a1")
    core.connect("bob", "b1", kind=ToyClient)
    written_before = TOY.notifications
    broadcast([alice.peer], "news")
    assert TOY.notifications == written_before


# A device that comes back in another dialect


@pytest.mark.parametrize("how", ["after a drop", "by a takeover"])
def test_a_device_that_comes_back_in_another_dialect_is_a_new_peer(how):
    core = Core(grace_period=10)
    old = core.connect("bob", "b1")
    unanswered = old.peer.send(Request("asked"))
    old.take()
    if how == "after a drop":
        old.drop()
        old.peer.notify("waited")
    new = core.connect("bob", "b1", kind=ToyClient)
    assert new.peer is not old.peer
    assert (old.peer.state, new.peer.state) == ("offline", "connected")
    assert (unanswered.response.status, unanswered.response.is_local) == (410, True)
    assert new.take_all() == []
    told = [name for name, _ in core.framework.told]
    assert told[-4:] == ["peer_offline", "user_offline", "peer_online", "user_online"] or told[
        -4:
    ] == ["peer_offline", "user_offline", "user_online", "peer_online"]
    if how == "by a takeover":
        assert old.link.closed == (3000, "online elsewhere")


def test_a_device_that_comes_back_in_the_same_dialect_is_the_same_peer():
    core = Core(grace_period=10)
    old = core.connect("bob", "b1", kind=ToyClient)
    unanswered = old.peer.send(Request("asked"))
    sent = old.take()
    old.drop()
    new = core.connect("bob", "b1", kind=ToyClient)
    assert new.peer is old.peer
    assert new.take_all() == [sent]
    new.respond(sent, 200)
    assert unanswered.response.status == 200
