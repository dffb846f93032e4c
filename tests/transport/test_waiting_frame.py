"""A frame that waits behind data: its table of states, with a clock by hand."""

from __future__ import annotations

import pytest

from protoo_flask.transport.waiting_frame import (
    ARRIVED,
    MOVING,
    RESTING,
    SENT,
    SLOWEST,
    STUCK,
    TRANSITIONS,
    WaitingFrame,
)


class Deliveries:
    """An outbox whose bytes arrive when the test says so."""

    def __init__(self, undelivered: int) -> None:
        self.arrived = 5000
        self.undelivered = undelivered

    def send(self, size: int) -> None:
        self.undelivered += size

    def deliver(self, size: int) -> None:
        self.arrived += size
        self.undelivered -= size


@pytest.fixture
def deliveries():
    return Deliveries(1_000_000)


@pytest.fixture
def frame(deliveries):
    frame = WaitingFrame(deliveries, 0)
    deliveries.send(2)
    return frame


def test_a_client_that_receives_nothing_is_stuck_after_one_interval(frame):
    assert frame.look(25) == STUCK


def test_a_client_that_goes_on_receiving_is_never_stuck(deliveries, frame):
    for second in range(25, 250, 25):
        deliveries.deliver(100_000)
        assert frame.look(second) == MOVING


def test_new_data_behind_the_frame_hides_no_progress(deliveries, frame):
    deliveries.send(500_000)
    deliveries.deliver(100_000)
    assert frame.look(25) == MOVING


def test_new_data_is_no_progress(deliveries, frame):
    deliveries.send(500_000)
    assert frame.look(25) == STUCK


def test_a_client_that_stops_receiving_is_stuck_after_two_intervals(deliveries, frame):
    deliveries.deliver(100_000)
    assert [frame.look(25), frame.look(50), frame.look(75)] == [MOVING, RESTING, STUCK]


def test_a_client_that_receives_in_bursts_may_rest_for_one_interval(deliveries, frame):
    for second in range(25, 500, 50):
        deliveries.deliver(65_536)
        assert frame.look(second) == MOVING
        assert frame.look(second + 25) == RESTING


def test_the_frame_has_arrived_when_everything_before_it_has(deliveries, frame):
    deliveries.send(1000)
    deliveries.deliver(1_000_000)
    assert frame.look(25) == MOVING
    deliveries.deliver(2)
    assert frame.look(50) == ARRIVED


def test_the_frame_has_arrived_when_nothing_is_left(deliveries, frame):
    # The data was compressed, and less than it seemed.
    deliveries.arrived += 10_000
    deliveries.undelivered = 0
    assert frame.look(25) == ARRIVED


def test_a_client_that_takes_a_byte_now_and_then_is_stuck_in_the_end(deliveries, frame):
    second = 25
    deliveries.deliver(1)
    while frame.look(second) != STUCK:
        second += 25
        deliveries.deliver(1)
    assert second == 1_000_000 / SLOWEST + 25


def test_a_frame_that_arrives_late_has_arrived(deliveries, frame):
    deliveries.deliver(1_000_002)
    assert frame.look(1_000_000) == ARRIVED


def test_every_state_has_a_place_in_the_table():
    waiting = {SENT, MOVING, RESTING}
    assert {state for state, _ in TRANSITIONS} == waiting
    assert set(TRANSITIONS.values()) == {MOVING, RESTING, ARRIVED, STUCK}
    for state in waiting:
        assert {seen for before, seen in TRANSITIONS if before == state} == {
            "frame",
            "some",
            "none",
            "time is over",
        }
