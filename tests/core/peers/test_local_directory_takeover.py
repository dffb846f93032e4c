"""The directory: a second link of a device replaces the first one."""

from __future__ import annotations

import pytest

from protoo_flask.core.peers.peer import CONNECTED, Identity
from protoo_flask.core.request import Request
from protoo_flask.core.wire.dialect import PROTOO
from tests.core.devices import Device
from tests.fakes import Core, FakeContext, FakeLink


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
    directory = core.application.directory
    directory.claim(Identity("alice", "a1"), FakeLink(), "first handshake", PROTOO)
    peer = directory.claim(Identity("alice", "a1"), FakeLink(), "second handshake", PROTOO)
    assert peer.context == "second handshake"


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


def test_a_link_that_takes_over_sends_the_unsent_messages_of_the_older_one():
    device = Device()
    device.client.link.is_stuck = True
    device.peer.notify("a")
    device.peer.send(Request("b"))
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["a", "b"]
    assert device.older.link.closed == (3000, "online elsewhere")


@pytest.mark.parametrize("is_away", [True, False], ids=["come back", "take over"])
def test_a_new_link_gets_the_waiting_messages_before_others_can_use_it(is_away):
    core = Core(grace_period=10)
    bob = core.connect("bob", "b1")
    bob.link.is_stuck = True
    bob.peer.notify("first")
    if is_away:
        bob.drop()
    links = []

    class Watchful(FakeLink):
        def send(self, payload, id=None):
            links.append(bob.peer.link)
            return super().send(payload)

    link = Watchful()
    if not is_away:
        bob.link.take_unsent = lambda: [(b"first", None)]
    core.application.connect(Identity("bob", "b1"), link, FakeContext(core.framework))
    assert links == [None if is_away else bob.link]
    assert bob.peer.notify("second") is True
    assert links[1:] == [link]


def test_a_device_that_returns_before_the_end_of_its_old_link_is_noticed_loses_nothing():
    device = Device()
    old = device.client.link
    old.is_stuck = True
    device.peer.notify("a")
    old.closed = (1006, "")  # and then, before disconnect() is called:
    device.connect()
    device.directory.link_closed(device.peer, old, 1006)
    assert [message["method"] for message in device.client.take_all()] == ["a"]
    assert device.peer.state == CONNECTED
