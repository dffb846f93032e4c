"""Arrivals: what happens after a handshake has come counts for it, however late it is done."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core import arrivals as arrivals_module
from protoo_flask.core.arrivals import MAX_CLOSURES_OF_USER, Arrivals, TurnedAway

BANNED = (3001, "banned")
KICKED = (3001, "one device at a time")
ELSEWHERE = (3000, "online elsewhere")
TOO_LONG = (1001, "authorization took too long")


class Door:
    """The arrivals of a site, and the handshake whose authorizer runs."""

    def __init__(self):
        self.current = None
        self.arrivals = Arrivals(contextlib.nullcontext(), lambda: self.current)

    def begin(self):
        return self.arrivals.begin()

    def connect(self, arrival, username="alice", uuid="a1"):
        """Let a handshake connect; returns how it was turned away, or ``None``."""
        try:
            self.arrivals.admit(arrival, username, uuid, lambda: None)
        except TurnedAway as error:
            return error.code, error.reason
        finally:
            self.arrivals.end(arrival)
        return None

    def disconnect(self, username="alice", uuid=None, what=BANNED, by=None):
        self.current = by
        self.arrivals.turn_away(username, uuid, *what)
        self.current = None


@pytest.fixture
def door():
    return Door()


def test_handshakes_that_are_done_in_the_order_of_arrival_all_connect(door):
    first, second = door.begin(), door.begin()

    assert door.connect(first) is None
    assert door.connect(second) is None


def test_of_two_handshakes_of_a_device_the_later_one_wins(door):
    first, second = door.begin(), door.begin()

    assert door.connect(second) is None
    assert door.connect(first) == ELSEWHERE


def test_a_claim_that_fails_turns_nobody_away(door):
    first, second = door.begin(), door.begin()
    with pytest.raises(ZeroDivisionError):
        door.arrivals.admit(second, "alice", "a1", lambda: 1 // 0)
    assert door.connect(first) is None


@pytest.mark.parametrize(
    ("username", "uuid", "fate"),
    [
        ("alice", "a1", BANNED),
        ("alice", None, BANNED),
        (None, None, BANNED),
        ("alice", "a2", None),
        ("bob", None, None),
        ("bob", "a1", None),
    ],
)
def test_a_disconnection_turns_away_the_handshakes_that_it_is_about(door, username, uuid, fate):
    arrival = door.begin()
    door.disconnect(username, uuid)
    assert door.connect(arrival) == fate


def test_a_disconnection_does_not_concern_handshakes_that_come_after_it(door):
    before = door.begin()
    door.disconnect()
    after = door.begin()
    assert door.connect(after) is None
    assert door.connect(before) == ELSEWHERE


def test_a_device_that_connects_leaves_earlier_disconnections_in_force(door):
    first, second = door.begin(), door.begin()
    door.disconnect(uuid="a1")
    third = door.begin()
    assert door.connect(third) is None
    assert door.connect(second) == ELSEWHERE
    assert door.connect(first) == ELSEWHERE


def test_an_authorizer_that_disconnects_its_user_does_not_turn_itself_away(door):
    other, own = door.begin(), door.begin()
    door.disconnect(what=KICKED, by=own)
    assert door.connect(own) is None
    assert door.connect(other, uuid="a2") == KICKED


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the older one last"])
def test_of_two_authorizers_that_disconnect_each_other_the_younger_one_comes_in(door, order):
    handshakes = [door.begin(), door.begin()]
    for index in order:
        door.disconnect(what=KICKED, by=handshakes[index])
    assert door.connect(handshakes[0], uuid="a1") == KICKED
    assert door.connect(handshakes[1], uuid="a2") is None


@pytest.mark.parametrize("ban_first", [True, False])
def test_an_authorizer_that_disconnects_its_user_does_not_lift_a_ban(door, ban_first):
    own = door.begin()
    if ban_first:
        door.disconnect()
    door.disconnect(by=own)
    if not ban_first:
        door.disconnect()
    assert door.connect(own) == BANNED


def test_an_authorizer_that_closes_the_site_turns_itself_away(door):
    own = door.begin()
    door.disconnect(username=None, by=own)
    assert door.connect(own) == BANNED


# Closures that are remembered


def test_nothing_is_remembered_without_handshakes_in_progress(door):
    door.disconnect()
    assert door.connect(door.begin()) is None
    assert len(door.arrivals) == 0


def test_everything_is_forgotten_when_the_last_older_handshake_ends(door):
    first, second = door.begin(), door.begin()
    for number in range(1000):
        door.disconnect(f"user-{number}")
        door.disconnect("always the same")
    assert len(door.arrivals) == 1001
    assert door.connect(second) is None
    assert len(door.arrivals) == 1002
    door.arrivals.end(first)
    assert len(door.arrivals) == 0


def test_a_handshake_that_nobody_refers_to_has_ended(door):
    lost, last = door.begin(), door.begin()
    del lost
    door.disconnect()
    assert len(door.arrivals) == 1
    door.arrivals.end(last)
    assert len(door.arrivals) == 0


def test_only_closures_that_are_too_old_for_every_handshake_are_forgotten(door):
    first, second = door.begin(), door.begin()
    door.disconnect("alice")
    third = door.begin()
    door.disconnect("bob")
    door.arrivals.end(first)
    assert len(door.arrivals) == 2
    door.arrivals.end(second)
    assert len(door.arrivals) == 1
    assert door.connect(third, "bob", "b1") == BANNED


def test_a_handshake_is_turned_away_when_too_much_has_happened_since(door, monkeypatch):
    monkeypatch.setattr(arrivals_module, "MAX_CLOSURES", 10)
    hanging, other = door.begin(), door.begin()
    for number in range(11):
        door.disconnect(f"user-{number}")
    assert len(door.arrivals) == 10
    late = door.begin()
    assert door.connect(hanging) == (1001, "authorization took too long")
    assert door.connect(other) == (1001, "authorization took too long")
    assert door.connect(late) is None


@pytest.mark.parametrize(("number", "fate"), [(63, None), (64, None), (65, TOO_LONG)])
def test_of_one_user_only_so_many_devices_are_remembered(door, number, fate):
    hanging, other = door.begin(), door.begin()
    for n in range(number):
        assert door.connect(door.begin(), "alice", f"tab-{n}") is None
    assert len(door.arrivals) <= MAX_CLOSURES_OF_USER + 1
    # Other users are not concerned.
    assert door.connect(door.begin(), "bob", "b1") is None
    assert door.connect(other, "carol", "c1") is None
    late = door.begin()
    assert door.connect(hanging, "alice", "a1") == fate
    assert door.connect(late, "alice", "a1") is None
    assert len(door.arrivals) == 0


def test_a_device_that_connects_again_and_again_is_remembered_once(door):
    hanging = door.begin()
    for _ in range(1000):
        assert door.connect(door.begin(), "alice", "a2") is None
    assert len(door.arrivals) == 1
    assert door.connect(hanging, "alice", "a1") is None
    assert door.arrivals._devices == {}


def test_a_user_that_was_disconnected_stays_so_however_many_devices_connect(door):
    first = door.begin()
    door.disconnect("alice")
    second = door.begin()
    for n in range(MAX_CLOSURES_OF_USER + 10):
        assert door.connect(door.begin(), "alice", f"tab-{n}") is None
    assert door.connect(first) in (BANNED, TOO_LONG)
    assert door.connect(second) == TOO_LONG
    assert (len(door.arrivals), door.arrivals._devices) == (0, {})
