"""The grace period: a peer whose connection drops, and comes back, or does not."""

from __future__ import annotations

import itertools

import pytest

from protoo_flask.core.peers.local_directory import SIGNALS, TRANSITIONS, TooManyPeers
from protoo_flask.core.peers.peer import (
    CONNECTED,
    DISCONNECTED,
    OFFLINE,
    Identity,
)
from protoo_flask.core.request import Request
from protoo_flask.core.transactions.mailbox import MESSAGE_SIZE
from protoo_flask.core.wire.dialect import PROTOO
from tests.fakes import Core, FakeContext, FakeLink

GRACE = 10

ONLINE = ["peer_online", "user_online"]
OFF = ["peer_offline", "user_offline"]


class Device:
    """Alice's only device, brought into a state, and what may happen to it."""

    def __init__(self, grace_period=GRACE, **options):
        self.core = Core(grace_period=grace_period, **options)
        self.directory = self.core.application.directory
        self.client = self.core.connect("alice", "a1")
        self.peer = self.client.peer
        self.older = self.client  # the link before this one

    def connect(self):
        self.older, self.client = self.client, self.core.connect("alice", "a1")

    def drop(self):
        self.client.drop()

    def reload(self):
        self.client.drop(1001)

    def leave(self):
        self.client.leave()

    def leave_without_code(self):
        self.client.drop(1005)

    def old_link_ends(self):
        self.older.drop()

    def old_link_leaves(self):
        self.older.leave()

    def disconnect(self):
        self.core.application.disconnect("alice", None, 3001, "banned")

    def close(self):
        self.peer.close()

    def close_all(self):
        self.core.application.close()

    def expire(self):
        self.core.scheduler.advance(GRACE)

    def expire_late(self):
        """Let a timer fire that nobody could stop any more: that of an earlier absence."""
        assert self.mailbox is not None
        self.directory._expire(self.peer, self.mailbox)

    @property
    def told(self):
        told = [name for name, _ in self.core.framework.told]
        self.core.framework.told.clear()
        return told

    def enter(self, state):
        if state == "taken over":
            self.connect()
        elif state in ("back", "away", "gone"):
            self.drop()
            self.mailbox = self.peer.outbound.mailbox
            if state == "gone":
                self.expire()
            elif state == "back":
                self.connect()
        elif state == "away again":
            self.enter("back")
            self.drop()
        assert self.told
        return self


# state, event -> next state, what is told
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
def test_what_happens_in_each_state(state, event, next_state, told):
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
def test_in_whatever_order_things_happen_the_signals_alternate_and_nothing_is_left(events):
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


def test_who_comes_back_is_the_same_peer_with_the_data_of_the_new_authorization():
    core = Core(grace_period=GRACE)
    first = core.connect("alice", "a1", "first")
    first.drop()
    assert repr(first.peer) == "<Peer alice/a1 disconnected>"
    second = core.connect("alice", "a1", "second")
    assert second.peer is first.peer
    assert second.peer.data == "second"


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


# What waits


def test_what_was_sent_and_not_answered_comes_again_with_the_same_ids_then_what_waited():
    device = Device()
    answered, unanswered = device.peer.send(Request("a")), device.peer.send(Request("b"))
    device.client.respond(device.client.take(), 200)
    sent = device.client.take()
    device.drop()
    assert device.peer.notify("c")
    during = device.peer.send(Request("d"))
    assert device.peer.notify("e")
    assert during.response is None
    device.connect()
    messages = device.client.take_all()
    assert [message["method"] for message in messages] == ["b", "c", "d", "e"]
    assert messages[0] == sent
    device.client.respond(messages[0], 201)
    device.client.respond(messages[2], 202)
    assert [transaction.response.status for transaction in (answered, unanswered, during)] == [
        *(200, 201, 202)
    ]


def test_what_the_lost_link_took_and_could_not_send_keeps_its_place():
    device = Device()
    sent = device.peer.send(Request("a"))
    device.client.take()
    device.client.link.is_stuck = True
    device.peer.notify("b")
    stuck = device.peer.send(Request("c"))
    device.peer.notify("d")
    device.drop()
    device.peer.notify("e")
    device.connect()
    messages = device.client.take_all()
    assert [message["method"] for message in messages] == ["a", "b", "c", "d", "e"]
    assert [messages[0]["id"], messages[2]["id"]] == [sent.id, stuck.id]


def test_so_does_what_was_sent_between_the_end_of_the_link_and_its_notice():
    device = Device()
    device.client.link.closed = (1006, "")  # the registry has not been told yet
    assert device.peer.notify("a")
    transaction = device.peer.send(Request("b"))
    device.drop()
    device.peer.notify("c")
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["a", "b", "c"]
    assert transaction.response is None


def test_a_link_that_takes_over_sends_what_the_older_one_could_not():
    device = Device()
    device.client.link.is_stuck = True
    device.peer.notify("a")
    device.peer.send(Request("b"))
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["a", "b"]
    assert device.older.link.closed == (3000, "online elsewhere")


def test_what_has_waited_comes_before_what_listeners_of_the_return_send():
    device = Device()
    device.core.framework.on_event.append(
        lambda event: event.name == "peer_reconnect" and event.subject.notify("welcome")
    )
    device.drop()
    device.peer.notify("waited")
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["waited", "welcome"]


def test_a_request_that_ends_meanwhile_is_not_delivered_any_more():
    device = Device(request_timeout=3)
    device.drop()
    late = device.peer.send(Request("late"))
    canceled = device.peer.send(Request("canceled"))
    canceled.cancel()
    device.core.scheduler.advance(3)
    assert (late.response.status, canceled.response.status) == (408, 487)
    assert device.peer.outbound.mailbox.size == 0
    device.connect()
    assert device.client.take_all() == []


def test_every_return_sends_again_what_is_not_answered():
    device = Device(request_timeout=1000)
    transaction = device.peer.send(Request("a"))
    for _ in range(3):
        (message,) = device.client.take_all()
        assert message["id"] == transaction.id
        device.drop()
        device.connect()


def test_what_waits_ends_with_the_peer():
    device = Device()
    device.drop()
    transaction = device.peer.send(Request("a"))
    device.peer.notify("b")
    device.expire()
    assert (transaction.response.status, transaction.response.is_local) == (410, True)
    assert not device.peer.notify("c")
    assert device.peer.send(Request("d")).response.status == 410
    device.connect()
    assert device.client.take_all() == []


def test_who_waits_is_told_before_the_offline_is():
    device = Device()
    device.drop()
    order = []
    device.core.framework.on_event.append(lambda event: order.append(event.name))
    device.peer.send(Request("a"), lambda response: order.append(response.status))
    device.expire()
    assert order == [410, *OFF]


def test_a_request_to_somebody_away_times_out_like_any_other():
    device = Device(request_timeout=3)
    device.drop()
    assert device.peer.request("get").status == 408
    assert device.peer.state == DISCONNECTED


def test_thousands_of_requests_in_flight_survive_a_drop():
    device = Device(request_timeout=1000)
    transactions = [device.peer.send(Request("get", {"n": n})) for n in range(5000)]
    for message in device.client.take_all()[::2]:
        device.client.respond(message, 200)
    device.drop()
    device.connect()
    again = device.client.take_all()
    assert [message["data"]["n"] for message in again] == list(range(1, 5000, 2))
    for message in again:
        device.client.respond(message, 200)
    assert all(transaction.response.status == 200 for transaction in transactions)
    assert len(device.peer.outbound) == 0
    assert device.core.scheduler.pending_timers == 0


# How much waits

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


# Devices that are away, and the limit of devices


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


def test_a_link_is_reachable_before_it_gets_what_has_waited():
    device = Device()
    device.drop()
    device.peer.notify("a")
    link, sent_before = FakeLink(), []
    identity = Identity("alice", "a1")
    device.directory.claim(
        identity, link, device.peer.context, PROTOO, lambda: sent_before.extend(link.payloads)
    )
    assert sent_before == []
    assert len(link.payloads) == 1
    device.peer.close()


# What happens at the same moment, where there are threads


@pytest.mark.parametrize("is_away", [True, False], ids=["come back", "take over"])
def test_a_link_is_the_peers_only_when_it_has_what_waited_lest_others_overtake_that(is_away):
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


def test_what_a_link_is_too_slow_to_take_at_the_return_waits_for_the_next():
    device = Device()
    device.drop()
    for n in range(5):
        device.peer.notify("n", {"n": n})

    class SlowLink(FakeLink):
        def send(self, payload, id=None):
            return len(self.payloads) < 2 and super().send(payload)

    slow = SlowLink()
    device.directory.claim(Identity("alice", "a1"), slow, device.peer.context, PROTOO)
    device.peer.notify("n", {"n": 5})
    assert len(slow.payloads) == 2
    device.directory.release(device.peer, slow, 1008)
    device.connect()
    assert [message["data"]["n"] for message in device.client.take_all()] == [2, 3, 4, 5]


def test_who_comes_while_the_end_of_the_old_link_is_about_to_be_noticed_loses_nothing():
    device = Device()
    old = device.client.link
    old.is_stuck = True
    device.peer.notify("a")
    old.closed = (1006, "")  # and then, before disconnect() is called:
    device.connect()
    device.directory.release(device.peer, old, 1006)
    assert [message["method"] for message in device.client.take_all()] == ["a"]
    assert device.peer.state == CONNECTED


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
    directory.release(peer, peer.link, 1006)
    directory.claim(Identity("alice", "a1"), FakeLink(), "handshake 2", PROTOO)
    directory.remove(peer, 1000, "")
    assert seen == [
        ("peer_online", "handshake 1", True, CONNECTED),
        ("peer_disconnect", "handshake 1", True, DISCONNECTED),
        ("peer_reconnect", "handshake 2", True, CONNECTED),
        ("peer_offline", "handshake 2", False, OFFLINE),
    ]
