"""The directory of one process: its table, and the peers that it finds."""

from __future__ import annotations

import itertools

import pytest

from protoo_flask.core.peers.local_directory import SIGNALS, TRANSITIONS
from protoo_flask.core.peers.peer import CONNECTED, DISCONNECTED, OFFLINE
from tests.core.devices import GRACE, OFF, ONLINE, Device
from tests.fakes import Core


def names(peers):
    return sorted(f"{peer.username}/{peer.uuid}" for peer in peers)


# Finding


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


def test_a_list_of_peers_does_not_change_later():
    core = Core()
    core.connect("alice", "a1")
    found = core.application.directory.find()
    core.connect("alice", "a2")
    assert names(found) == ["alice/a1"]


def test_a_peer_that_has_gone_is_not_listed_and_not_online():
    core = Core()
    alice = core.connect("alice", "a1")
    alice.drop()
    assert core.application.directory.find() == []
    assert not alice.peer.online
    assert repr(alice.peer) == "<Peer alice/a1 offline>"


def test_nothing_is_kept_of_users_without_devices():
    core = Core()
    for number in range(3):
        core.connect(f"user{number}", "x").drop()
    assert core.application.directory._users == {}


def test_the_same_uuid_of_another_user_is_another_device():
    core = Core()
    alice, bob = core.connect("alice", "x"), core.connect("bob", "x")
    assert alice.peer is not bob.peer
    assert alice.link.closed is None


# The table: state, event -> next state, events told


TABLE = [
    ("here", "connect", CONNECTED, []),
    ("here", "drop", DISCONNECTED, ["peer_disconnect"]),
    ("here", "reload", DISCONNECTED, ["peer_disconnect"]),
    ("here", "leave", OFFLINE, OFF),
    ("here", "leave_without_code", OFFLINE, OFF),
    ("here", "disconnect", OFFLINE, OFF),
    ("here", "close", OFFLINE, OFF),
    ("here", "close_all", OFFLINE, OFF),
    ("here", "expire", CONNECTED, []),
    ("taken over", "old_link_ends", CONNECTED, []),
    ("taken over", "old_link_leaves", CONNECTED, []),
    ("taken over", "connect", CONNECTED, []),
    ("taken over", "drop", DISCONNECTED, ["peer_disconnect"]),
    ("taken over", "leave", OFFLINE, OFF),
    ("away", "connect", CONNECTED, ["peer_reconnect"]),
    ("away", "drop", DISCONNECTED, []),
    ("away", "leave", DISCONNECTED, []),
    ("away", "disconnect", OFFLINE, OFF),
    ("away", "close", OFFLINE, OFF),
    ("away", "close_all", OFFLINE, OFF),
    ("away", "expire", OFFLINE, OFF),
    ("back", "expire", CONNECTED, []),
    ("back", "expire_late", CONNECTED, []),
    ("back", "old_link_ends", CONNECTED, []),
    ("back", "drop", DISCONNECTED, ["peer_disconnect"]),
    ("back", "leave", OFFLINE, OFF),
    ("back", "close", OFFLINE, OFF),
    ("away again", "expire_late", DISCONNECTED, []),
    ("away again", "old_link_ends", DISCONNECTED, []),
    ("away again", "connect", CONNECTED, ["peer_reconnect"]),
    ("away again", "expire", OFFLINE, OFF),
    ("gone", "connect", OFFLINE, ONLINE),  # as a new peer: the old one stays offline
    ("gone", "drop", OFFLINE, []),
    ("gone", "leave", OFFLINE, []),
    ("gone", "expire", OFFLINE, []),
    ("gone", "expire_late", OFFLINE, []),
    ("gone", "disconnect", OFFLINE, []),
    ("gone", "close", OFFLINE, []),
]


@pytest.mark.parametrize(
    ("state", "event", "next_state", "told"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE]
)
def test_each_event_leads_to_the_next_state_and_its_signals(state, event, next_state, told):
    device = Device() if state == "here" else Device().enter(state)
    device.told  # noqa: B018 - forget how it came there
    getattr(device, event)()
    assert device.peer.state == next_state
    assert device.told == told
    assert device.peer.online == (next_state == CONNECTED)
    is_listed = device.peer in device.directory.find()
    assert is_listed == (next_state != OFFLINE)
    assert (device.peer.outbound.mailbox is not None) == (next_state == DISCONNECTED)
    assert device.core.scheduler.pending_timers == (1 if next_state == DISCONNECTED else 0)


def test_the_table_names_every_signal_and_every_state():
    states = (CONNECTED, DISCONNECTED, OFFLINE)
    assert {state for state, _ in TRANSITIONS} == set(TRANSITIONS.values()) == set(states)
    changes = {(state, after) for (state, _), after in TRANSITIONS.items() if state != after}
    assert changes == set(SIGNALS)


@pytest.mark.parametrize(
    "events", list(itertools.product(["connect", "drop", "expire"], repeat=5)), ids="-".join
)
def test_after_any_order_of_events_signals_alternate_and_nothing_is_left(events):
    device = Device()
    for event in events:
        getattr(device, event)()
    device.directory.remove(device.client.peer, 1000, "end")
    user = [name for name, _ in device.core.framework.told if name.startswith("user")]
    assert user == ["user_online", "user_offline"] * (len(user) // 2)
    peer = [name for name, _ in device.core.framework.told if name.startswith("peer")]
    allowed = {
        "peer_online": {"peer_disconnect", "peer_offline"},
        "peer_disconnect": {"peer_reconnect", "peer_offline"},
        "peer_reconnect": {"peer_disconnect", "peer_offline"},
        "peer_offline": {"peer_online"},
    }
    assert peer[0] == "peer_online"
    assert peer[-1] == "peer_offline"
    assert all(after in allowed[before] for before, after in zip(peer, peer[1:]))
    assert device.core.scheduler.pending_timers == 0
    assert device.directory.find() == []
    assert device.directory._timers == {}


# The grace period


def test_without_a_grace_period_a_drop_is_an_offline():
    device = Device(grace_period=0)
    device.drop()
    assert device.told == [*ONLINE, *OFF]
    assert device.core.scheduler.pending_timers == 0


def test_the_grace_period_is_counted_from_each_drop():
    device = Device()
    device.drop()
    device.core.scheduler.advance(GRACE - 1)
    device.connect()
    device.drop()
    device.core.scheduler.advance(GRACE - 1)
    assert device.peer.state == DISCONNECTED
    device.core.scheduler.advance(1)
    assert device.peer.state == OFFLINE


def test_a_page_that_is_gone_is_waited_for_as_long_as_a_reload_takes():
    device = Device(reload=2)
    device.client.drop(3003)
    assert device.peer.state == DISCONNECTED
    device.core.scheduler.advance(2)
    assert device.peer.state == OFFLINE


def test_a_page_that_was_reloaded_has_the_whole_grace_period_at_its_next_drop():
    device = Device(reload=2)
    device.client.drop(3003)
    device.core.scheduler.advance(1)
    device.connect()
    assert device.told == [*ONLINE, "peer_disconnect", "peer_reconnect"]
    device.drop()
    device.core.scheduler.advance(GRACE - 1)
    assert device.peer.state == DISCONNECTED


def test_a_page_that_is_gone_may_be_offline_at_once():
    device = Device(reload=0)
    device.client.drop(3003)
    assert device.told == [*ONLINE, *OFF]
    assert device.core.scheduler.pending_timers == 0


def test_a_device_that_comes_back_is_the_same_peer_with_data_of_the_new_authorization():
    core = Core(grace_period=GRACE)
    first = core.connect("alice", "a1", "first")
    first.drop()
    assert repr(first.peer) == "<Peer alice/a1 disconnected>"
    second = core.connect("alice", "a1", "second")
    assert second.peer is first.peer
    assert second.peer.data == "second"


def test_a_device_that_connects_after_its_offline_is_a_new_peer():
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


def test_a_user_is_online_until_the_grace_period_of_the_last_device_is_over():
    core = Core(grace_period=GRACE)
    first, second = core.connect("alice", "a1"), core.connect("alice", "a2")
    core.framework.told.clear()
    first.drop()
    core.scheduler.advance(GRACE / 2)
    second.drop()
    core.scheduler.advance(GRACE / 2)
    assert [name for name, _ in core.framework.told] == ["peer_disconnect"] * 2 + ["peer_offline"]
    core.framework.told.clear()
    core.scheduler.advance(GRACE / 2)
    assert [name for name, _ in core.framework.told] == OFF


# Closing


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
