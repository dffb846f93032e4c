"""The directory: how many devices a user may have, and how much may wait for one."""

from __future__ import annotations

import pytest

from protoo_flask.core.peers.local_directory import TooManyPeers
from protoo_flask.core.peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Identity
from protoo_flask.core.request import Request
from protoo_flask.core.transactions.mailbox import MESSAGE_SIZE
from tests.core.devices import GRACE, OFF, ONLINE, Device
from tests.fakes import Core


def names(peers):
    return sorted(f"{peer.username}/{peer.uuid}" for peer in peers)


# Devices of a user


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


def test_a_device_that_is_away_gives_way_to_one_that_is_here():
    core = Core(grace_period=GRACE, max_peers_per_user=2)
    first, second = core.connect("alice", "a1"), core.connect("alice", "a2")
    second.drop()
    core.scheduler.advance(1)
    first.drop()
    third = core.connect("alice", "a3")
    assert core.application.directory.find("alice") == [first.peer, third.peer]
    assert second.peer.state == OFFLINE
    core.connect("alice", "a1")
    with pytest.raises(TooManyPeers):
        core.application.directory.check_space(Identity("alice", "a4"))
    with pytest.raises(TooManyPeers):
        core.connect("alice", "a4")


def test_devices_of_others_do_not_give_way():
    core = Core(grace_period=GRACE, max_peers_per_user=1)
    core.connect("bob", "b1").drop()
    alice = core.connect("alice", "a1")
    alice.drop()
    core.connect("alice", "a2")
    assert [peer.uuid for peer in core.application.directory.find()] == ["b1", "a2"]


# Bytes that wait for a device


LIMIT = 10 * (MESSAGE_SIZE + 100)


def notify_large(peer, size=100):
    empty = len(b'{"method":"x","data":{"t":""}}')
    return peer.notify("x", {"t": "x" * (size - empty)})


def test_as_much_waits_as_a_slow_reader_may_leave_unread_and_who_exceeds_it_is_offline():
    device = Device(max_waiting=LIMIT)
    device.drop()
    transaction = device.peer.send(Request("get"))
    assert all(notify_large(device.peer) for _ in range(9))
    assert device.peer.state == DISCONNECTED
    assert not notify_large(device.peer)
    assert device.peer.state == OFFLINE
    assert transaction.response.status == 410
    assert device.told == [*ONLINE, "peer_disconnect", *OFF]
    assert device.core.scheduler.pending_timers == 0


def test_a_request_that_exceeds_it_is_answered_410_like_the_others():
    device = Device(max_waiting=LIMIT)
    device.drop()
    told = []
    while device.peer.state == DISCONNECTED:
        device.peer.send(Request("get", {"t": "x" * 100}), lambda response: told.append(response))
    assert [response.status for response in told] == [410] * len(told)
    assert len(told) > 3
    assert len(device.peer.outbound) == 0


def test_who_leaves_more_behind_than_may_wait_is_offline_at_once():
    device = Device(max_waiting=LIMIT)
    transactions = [device.peer.send(Request("get", {"t": "x" * 100})) for _ in range(20)]
    device.drop()
    assert device.told == [*ONLINE, *OFF]
    assert {transaction.response.status for transaction in transactions} == {410}


def test_a_slow_reader_who_is_cut_off_may_come_back_if_what_waits_is_not_too_much():
    device = Device(max_waiting=LIMIT)
    device.client.link.is_stuck = True
    notify_large(device.peer)
    device.client.drop(1008)
    device.connect()
    assert len(device.client.take_all()) == 1


def test_who_is_back_when_their_mailbox_overflows_is_not_closed_for_it():
    device = Device(max_waiting=LIMIT)
    device.drop()
    while device.peer.outbound.mailbox.put(b"x" * 100):
        pass
    give_up = device.directory.give_up

    def come_back_first(*args):
        device.connect()
        give_up(*args)

    device.directory.give_up = come_back_first
    device.peer.notify("x")
    assert device.peer.state == CONNECTED
    assert device.client.link.closed is None
