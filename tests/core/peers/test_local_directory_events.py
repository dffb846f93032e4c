"""The directory: which events the site is told, and in which order."""

from __future__ import annotations

from protoo_flask.core.peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Identity
from protoo_flask.core.request import Request
from protoo_flask.core.wire.dialect import PROTOO
from tests.core.devices import GRACE, OFF, Device
from tests.fakes import Core, FakeLink


def names(peers):
    return sorted(f"{peer.username}/{peer.uuid}" for peer in peers)


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
    directory, seen = core.application.directory, []

    def reachable():
        seen.append((names(directory.find()), list(core.framework.told)))

    peer = directory.claim(Identity("alice", "a1"), FakeLink(), None, PROTOO, reachable)
    assert seen == [(["alice/a1"], [])]
    assert core.framework.told == []
    directory.tell(peer)
    assert core.framework.told


def test_a_link_that_ends_twice_is_told_once():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.drop()
    alice.drop()
    assert [name for name, _ in core.framework.told].count("peer_offline") == 1


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


def test_a_link_is_closed_before_slow_listeners_of_the_departure_run():
    core = Core()
    alice = core.connect("alice", "a1")
    closed = []
    core.framework.on_event.append(lambda event: closed.append(alice.link.closed))
    alice.peer.send(Request("get"), lambda response: closed.append(alice.link.closed))
    core.application.disconnect("alice", None, 3001, "banned")
    assert closed == [(3001, "banned")] * 3


def test_unanswered_requests_end_before_the_offline_is_told():
    core = Core()
    bob = core.connect("bob", "b1")
    order = []
    core.framework.on_event.append(lambda event: order.append(event.name))
    for _ in range(2):
        bob.peer.send(Request("get"), lambda response: order.append(response.status))
    bob.drop()
    assert order == [410, 410, "peer_offline", "user_offline"]
    assert core.scheduler.pending_timers == 0


def test_waiting_requests_end_before_the_offline_is_told():
    device = Device()
    device.drop()
    order = []
    device.core.framework.on_event.append(lambda event: order.append(event.name))
    device.peer.send(Request("a"), lambda response: order.append(response.status))
    device.expire()
    assert order == [410, *OFF]


def test_an_event_that_is_told_at_once_finds_a_peer_with_its_context_and_its_place():
    core = Core(grace_period=GRACE)
    directory = core.application.directory
    post = directory._events.post
    seen = []

    def tell_at_once(username, event):
        peer = event.subject
        if event.name.startswith("peer"):
            seen.append((event.name, peer.context, peer in directory.find(), peer.state))
        post(username, event)

    directory._events.post = tell_at_once
    peer = directory.claim(Identity("alice", "a1"), FakeLink(), "handshake 1", PROTOO)
    directory.link_closed(peer, peer.link, 1006)
    directory.claim(Identity("alice", "a1"), FakeLink(), "handshake 2", PROTOO)
    directory.remove(peer, 1000, "")
    assert seen == [
        ("peer_online", "handshake 1", True, CONNECTED),
        ("peer_disconnect", "handshake 1", True, DISCONNECTED),
        ("peer_reconnect", "handshake 2", True, CONNECTED),
        ("peer_offline", "handshake 2", False, OFFLINE),
    ]
