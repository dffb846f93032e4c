"""Rounds: what is sent in one leaves at its end, but nobody waits for long."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import pytest

from protoo_flask.transport.greenlets.write_batching import MAX_DELAY, MAX_HELD, Round


class Clock:
    """Stands still until it is advanced."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def round(clock: Clock) -> Round:
    return Round(clock)


class Holder:
    def __init__(self, release: Callable[[], Any]) -> None:
        self.release = release


def make_holders(count: int, released: list[int]) -> list[Holder]:
    return [Holder(partial(released.append, number)) for number in range(count)]


def test_what_is_sent_in_a_round_leaves_at_its_end_in_order(round):
    released: list[int] = []
    round.begin()
    assert all(round.hold_back(holder) for holder in make_holders(3, released))
    assert released == []
    round.end()
    assert released == [0, 1, 2]
    round.begin()
    round.end()
    assert released == [0, 1, 2]


def test_outside_of_a_round_nothing_is_held_back(round):
    released: list[int] = []
    (holder,) = make_holders(1, released)
    assert not round.hold_back(holder)
    round.begin()
    round.end()
    assert not round.hold_back(holder)
    assert released == []


def test_what_is_held_back_in_a_long_round_leaves_in_time(round, clock):
    released: list[int] = []
    round.begin()
    for number, holder in enumerate(make_holders(30, released)):
        clock.time += MAX_DELAY * 0.3
        assert round.hold_back(holder)
        assert len(released) >= number - 3
    round.end()
    assert released == [*range(30)]


def test_what_somebody_sends_who_takes_long_leaves_at_once_with_what_was_held_back(round, clock):
    released: list[int] = []
    first, second, third = make_holders(3, released)
    round.begin()
    assert round.hold_back(first)
    clock.time += MAX_DELAY * 1.01
    assert not round.hold_back(second)
    assert released == [0]
    assert not round.hold_back(third)
    round.end()
    assert released == [0]


def test_what_is_sent_by_what_is_released_because_somebody_takes_long_leaves_at_once(round, clock):
    held_back: list[bool] = []
    (last,) = make_holders(1, [])
    round.begin()
    assert round.hold_back(Holder(lambda: held_back.append(round.hold_back(last))))
    clock.time += MAX_DELAY * 1.01
    assert not round.hold_back(last)
    assert held_back == [False]


def test_so_many_hold_something_back_and_no_more(round):
    released: list[int] = []
    round.begin()
    for holder in make_holders(MAX_HELD, released):
        assert round.hold_back(holder)
    assert released == []
    assert round.hold_back(Holder(lambda: released.append(-1)))
    assert released == [*range(MAX_HELD)]
    round.end()
    assert released == [*range(MAX_HELD), -1]


def test_what_is_held_back_by_what_is_released_leaves_too(round):
    released: list[int] = []
    (holder,) = make_holders(1, released)
    round.begin()
    assert round.hold_back(Holder(lambda: released.append(round.hold_back(holder))))
    round.end()
    assert released == [False]
