"""The connections that each address has at a time: seats, takeovers, and nothing that is lost."""

from __future__ import annotations

import threading
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.connection_limit import ConnectionLimit

HOME, OFFICE = "192.0.2.1", "192.0.2.2"


def make(seats=2):
    return ConnectionLimit(seats, threading.RLock())


def connect(limit, device, address=HOME):
    """Connect a device; returns its place, or ``None`` if it was refused."""
    place = limit.enter(address)
    if place is None or not place.may_connect((device, "1")):
        if place is not None:
            place.leave()
        return None
    place.open()
    return place


def test_an_address_has_as_many_connections_as_there_are_seats():
    limit = make(2)
    places = [connect(limit, name) for name in "abc"]
    assert [place is not None for place in places] == [True, True, False]
    assert limit.count(HOME) == 2
    assert connect(limit, "a", OFFICE) is not None
    places[0].leave()
    assert connect(limit, "c") is not None
    assert connect(limit, "d") is None


def test_handshakes_in_progress_have_seats():
    limit = make(1)
    place = limit.enter(HOME)
    assert connect(limit, "b") is None
    place.leave()
    assert connect(limit, "b") is not None


def test_as_many_handshakes_wait_without_a_seat_as_there_are_seats():
    limit = make(2)
    places = [limit.enter(HOME) for _ in range(5)]
    assert [place is not None for place in places] == [True] * 4 + [False]
    assert [place.has_seat for place in places[:4]] == [True, True, False, False]
    places[3].leave()
    assert limit.enter(HOME) is not None


def test_one_that_waits_gets_a_seat_that_is_free_meanwhile():
    limit = make(1)
    first, second = limit.enter(HOME), limit.enter(HOME)
    first.leave()
    assert second.may_connect(("b", "1"))
    assert limit.count(HOME) == 1


def test_a_device_that_comes_back_takes_the_seat_of_its_connection():
    limit = make(1)
    old = connect(limit, "a")
    new = connect(limit, "a")
    assert (old.has_seat, new.has_seat, limit.count(HOME)) == (False, True, 1)
    old.leave()
    assert limit.count(HOME) == 1
    assert connect(limit, "b") is None
    new.leave()
    assert len(limit) == 0


def test_of_a_device_that_comes_back_elsewhere_both_connections_count():
    limit = make(1)
    connect(limit, "a")
    connect(limit, "b", OFFICE)
    assert connect(limit, "a", OFFICE) is None


@pytest.mark.parametrize("closes", [True, False], ids=["its connection closes", "it stays"])
def test_a_device_that_does_not_come_back_after_all_gives_the_seat_back(closes):
    limit = make(1)
    old, new = connect(limit, "a"), limit.enter(HOME)
    assert new.may_connect(("a", "1"))
    if closes:
        old.leave()
    new.leave()
    assert limit.count(HOME) == (0 if closes else 1)
    assert old.has_seat is not closes
    assert (connect(limit, "b") is not None) is closes


def test_two_handshakes_do_not_take_the_same_seat():
    limit = make(2)
    connect(limit, "a")
    connect(limit, "b")
    first, second = limit.enter(HOME), limit.enter(HOME)
    assert first.may_connect(("a", "1"))
    assert not second.may_connect(("a", "1"))


def test_a_handshake_may_turn_out_to_be_of_another_device():
    limit = make(2)
    a, b = connect(limit, "a"), connect(limit, "b")
    place = limit.enter(HOME)
    assert place.may_connect(("a", "1"))
    assert place.may_connect(("b", "1"))
    assert (a.has_seat, b.has_seat) == (True, False)
    assert not place.may_connect(("c", "1"))
    assert (a.has_seat, b.has_seat, place.has_seat) == (True, True, False)
    place.leave()
    assert limit.count(HOME) == 2


def test_a_look_tells_the_same_and_counts_nothing():
    limit = make(1)
    assert limit.would_admit(HOME, ("a", "1"))
    assert len(limit) == 0
    place = connect(limit, "a")
    assert limit.would_admit(HOME, ("a", "1"))
    assert not limit.would_admit(HOME, ("b", "1"))
    place.leave()
    assert limit.would_admit(HOME, ("b", "1"))


def test_a_place_that_is_forgotten_gives_its_seat_back():
    limit = make(1)
    place = limit.enter(HOME)
    waiting = limit.enter(HOME)
    assert limit.enter(HOME) is None
    del place, waiting
    assert len(limit) == 0
    assert connect(limit, "a") is not None


def test_a_place_that_has_left_does_nothing_more():
    limit = make(1)
    place = connect(limit, "a")
    place.leave()
    place.leave()
    assert limit.count(HOME) == 0
    assert not place.may_connect(("a", "1"))
    place.open()
    assert len(limit) == 0


def test_all_connections_may_end_at_once():
    limit = make(2)
    places = [connect(limit, "a"), connect(limit, "b"), connect(limit, "a", OFFICE)]
    handshake = limit.enter(OFFICE)
    limit.leave_all()
    assert [place.has_left for place in places] == [True] * 3
    assert (limit.count(HOME), limit.count(OFFICE)) == (0, 1)
    for place in [*places, handshake]:
        place.leave()
    assert len(limit) == 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "identify", "open", "leave", "forget", "all end"]),
        st.integers(0, 7),
        st.sampled_from([HOME, OFFICE]),
        st.sampled_from(["a", "b", "c", "d"]),
    ),
    max_size=60,
)


class Server:
    """Does with places what a site does, and counts by itself.

    The directory of a site closes the connection of a device when another one is open, after it
    has heard of that.
    """

    def __init__(self, seats):
        self.limit = make(seats)
        self.places = {}
        self.stage = {}
        self.numbers = count()

    def pick(self, stage, index):
        found = [number for number in self.places if self.stage[number] in stage]
        return found[index % len(found)] if found else None

    def do(self, event, index, address, device):
        if event == "arrive":
            place = self.limit.enter(address)
            seated = sum(p.has_seat for p in self.places.values() if p.address == address)
            if place is None:
                assert seated == self.limit.seats
            else:
                number = next(self.numbers)
                self.places[number], self.stage[number] = place, "new"
        elif event == "identify":
            number = self.pick(["new", "admitted"], index)
            if number is not None:
                self.identify(number, (device, "1"))
        elif event == "open":
            number = self.pick(["admitted"], index)
            if number is not None:
                self.open(number)
        elif event in ("leave", "forget"):
            stages = ["new", "admitted"] if event == "forget" else ["new", "admitted", "open"]
            number = self.pick(stages, index)
            if number is not None:
                self.leave(number, is_told=event == "leave")
        else:
            self.limit.leave_all()
            for number in [n for n in self.places if self.stage[n] == "open"]:
                assert self.places[number].has_left
                self.leave(number)

    def identify(self, number, device):
        place = self.places[number]
        former = next(
            (
                p
                for n, p in self.places.items()
                if self.stage[n] == "open" and p.device == device and p.address == place.address
            ),
            None,
        )
        others = [p for p in self.places.values() if p.address == place.address and p is not place]
        is_free = sum(p.has_seat for p in others) < self.limit.seats
        if place.may_connect(device):
            self.stage[number] = "admitted"
        else:
            assert not is_free
            assert former is None or not former.has_seat
            self.leave(number)

    def open(self, number):
        place = self.places[number]
        for other in list(self.places):
            same = self.places[other]
            if self.stage[other] == "open" and same.device == place.device:
                self.leave(other)
        place.open()
        self.stage[number] = "open"

    def leave(self, number, is_told=True):
        place = self.places.pop(number)
        del self.stage[number]
        if is_told:
            place.leave()

    def check(self):
        for address in (HOME, OFFICE):
            seated = [p for p in self.places.values() if p.address == address and p.has_seat]
            assert self.limit.count(address) == len(seated) <= self.limit.seats
            connected = [
                p
                for n, p in self.places.items()
                if p.address == address and self.stage[n] == "open"
            ]
            assert len(connected) <= self.limit.seats


@given(st.integers(1, 3), EVENTS)
def test_whatever_happens_seats_are_counted_exactly_and_all_are_given_back(seats, events):
    server = Server(seats)
    for event in events:
        server.do(*event)
        server.check()
    for number in list(server.places):
        server.leave(number)
    assert len(server.limit) == 0


def test_threads_lose_no_seats():
    limit = make(4)
    most = []

    def come_and_go(name):
        for _ in range(300):
            place = connect(limit, name)
            if place is not None:
                most.append(limit.count(HOME))
                place.leave()
            del place
            limit.enter(HOME)  # and forget it

    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(limit) == 0
    assert max(most) <= 4
