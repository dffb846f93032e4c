"""A peer: its names, its notifications, its listeners, and its end."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import Unsendable, UsageError
from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from tests.fakes import Core


def test_a_peer_has_the_names_and_data_that_the_authorizer_gave():
    core = Core()
    peer = core.connect("alice", "a1", {"admin": True}).peer
    assert (peer.username, peer.uuid, peer.data) == ("alice", "a1", {"admin": True})
    assert peer.address == {"username": "alice", "uuid": "a1"}
    assert peer.online
    assert repr(peer) == "<Peer alice/a1 online>"


def test_closing_a_peer_closes_its_link_and_takes_it_off_at_once():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.peer.close()
    assert alice.link.closed == (1000, "normal closure")
    assert core.application.directory.find() == []
    assert core.framework.told[-1] == ("user_offline", "alice")


def test_only_a_request_can_be_sent():
    core = Core()
    bob = core.connect("bob", "b1")
    with pytest.raises(UsageError, match="takes a Request"):
        bob.peer.send({"method": "get"})


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


def test_a_broadcast_is_written_once_and_counts_the_peers_that_are_there():
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


def test_a_broadcast_to_anything_but_several_peers_is_refused():
    bob = Core().connect("bob", "b1")
    for peers in ("bob", bob.peer, 7, None, ["bob"], [7]):
        with pytest.raises(UsageError, match="takes peers"):
            broadcast(peers, "news")


def test_the_names_of_a_sender_are_strings_on_the_wire():
    bob = Core().connect("bob", "b1")
    sender = {"username": 7, "uuid": 1}
    bob.peer.notify("news", sender=sender)
    request = Request("question")
    request.sender = sender
    bob.peer.send(request)
    for _ in range(2):
        assert bob.take()["sender"] == {"username": "7", "uuid": "1"}


@pytest.mark.parametrize("sender", [7, "alice", {"username": "alice"}], ids=repr)
def test_a_sender_that_no_client_could_read_is_refused(sender):
    bob = Core().connect("bob", "b1")
    with pytest.raises(UsageError, match="sender takes"):
        bob.peer.notify("news", sender=sender)
    with pytest.raises(UsageError, match="sender takes"):
        Request("question").sender = sender
    assert bob.take_all() == []


def test_a_broadcast_that_cannot_be_written_reaches_nobody():
    bob = Core().connect("bob", "b1")
    with pytest.raises(Unsendable):
        broadcast([bob.peer], "news", {"x": object()})
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
