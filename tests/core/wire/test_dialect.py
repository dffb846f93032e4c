"""Dialects: each link has one, and messages that move to another link are written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.errors import Unsendable
from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from protoo_flask.core.wire.dialect import PROTOO, translate
from tests.core.wire.toy import TOY, ToyClient
from tests.fakes import Core

SENDER = {"username": "al", "uuid": "a1"}

WRITTEN = {
    "request": lambda dialect: dialect.serialize_request("get", 7, {"n": 1}, None),
    "request with a sender": lambda dialect: dialect.serialize_request("get", 7, {}, SENDER),
    "notification": lambda dialect: dialect.serialize_notification("news", {"n": 1}, None),
    "notification with a sender": lambda dialect: dialect.serialize_notification("n", {}, SENDER),
    "response": lambda dialect: dialect.serialize_response(200, "OK", 7, {"n": 1}),
    "response without a reason": lambda dialect: dialect.serialize_response(404, "", 7, {}),
}


# Translating


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize(("old", "new"), [(PROTOO, TOY), (TOY, PROTOO), (PROTOO, PROTOO)])
def test_a_translated_message_is_the_one_that_the_other_dialect_would_have_written(write, old, new):
    assert translate(write(old), old, new) == write(new)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_translating_leaves_the_data_of_a_message_as_they_are(data):
    try:
        written = PROTOO.serialize_request("get", 7, data, SENDER)
    except Unsendable:
        return
    assert translate(written, PROTOO, PROTOO) == written


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


def come_back(core, client, how, kind):
    if how == "after a drop":
        client.drop()
        client.peer.notify("waited", {"n": 3})
    return core.connect("bob", "b1", kind=kind)


@pytest.mark.parametrize("how", ["after a drop", "by a takeover"])
def test_unanswered_and_waiting_messages_are_written_again_with_the_same_ids(how):
    core = Core(grace_period=10)
    old = core.connect("bob", "b1")
    unanswered = old.peer.send(Request("asked", {"n": 1}))
    sent = old.take()
    old.link.is_stuck = True
    stuck = old.peer.send(Request("stuck"))
    old.peer.notify("told", {"n": 2}, SENDER)
    new = come_back(core, old, how, ToyClient)
    messages = new.take_all()
    waited = [{"method": "waited", "data": {"n": 3}}] if how == "after a drop" else []
    assert messages == [
        sent,
        {"method": "stuck", "id": stuck.id, "data": {}},
        {"method": "told", "data": {"n": 2}, "sender": SENDER},
        *waited,
    ]
    new.respond(messages[0], 200)
    new.respond(messages[1], 202)
    assert (unanswered.response.status, stuck.response.status) == (200, 202)


def test_a_response_that_has_waited_is_written_again():
    core, requests = Core(grace_period=10), []
    core.router.get("/", lambda req, next: requests.append(req))
    old = core.connect("bob", "b1")
    old.send({"method": "get", "path": "/", "id": 7})
    old.drop()
    requests[0].reply(200, "at last", {"n": 1})
    new = core.connect("bob", "b1", kind=ToyClient)
    assert new.take_all() == [{"status": 200, "reason": "at last", "id": 7, "data": {"n": 1}}]


def test_messages_are_written_again_at_each_change_of_the_dialect():
    core = Core(grace_period=10)
    client = core.connect("bob", "b1")
    transaction = client.peer.send(Request("get", {"text": "é"}))
    sent = client.take()
    for kind in (ToyClient, ToyClient, None, ToyClient, None):
        client.drop()
        client = core.connect("bob", "b1", **({} if kind is None else {"kind": kind}))
        assert client.take_all() == [sent]
    client.respond(sent, 200)
    assert transaction.response.status == 200


def test_the_size_of_unanswered_requests_follows_the_dialect():
    core = Core(grace_period=10)
    client = core.connect("bob", "b1")
    transaction = client.peer.send(Request("get"))
    outbound = client.peer.outbound
    size = outbound._size
    client.drop()
    client = core.connect("bob", "b1", kind=ToyClient)
    assert outbound._size == len(transaction.payload) != size
    client.respond(client.take(), 200)
    assert outbound._size == 0


def test_new_messages_are_written_in_the_new_dialect_from_the_takeover_on():
    core = Core(grace_period=10)
    old = core.connect("bob", "b1")
    new = core.connect("bob", "b1", kind=ToyClient)
    old.peer.notify("news")
    assert (old.take_all(), new.take_all()) == ([], [{"method": "news", "data": {}}])
