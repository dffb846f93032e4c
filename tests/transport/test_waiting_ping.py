"""A ping that waits behind data: its table of states, with a clock by hand."""

from __future__ import annotations

import pytest

from protoo_flask.transport.waiting_ping import (
    ARRIVED,
    MOVING,
    RESTING,
    SENT,
    SLOWEST,
    STUCK,
    TRANSITIONS,
    WaitingPing,
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
def ping(deliveries):
    ping = WaitingPing(deliveries, 0)
    deliveries.send(2)
    return ping


def test_a_client_that_receives_nothing_is_stuck_after_one_interval(ping):
    assert ping.look(25) == STUCK


def test_a_client_that_goes_on_receiving_is_never_stuck(deliveries, ping):
    for second in range(25, 250, 25):
        deliveries.deliver(100_000)
        assert ping.look(second) == MOVING


def test_new_data_behind_the_ping_hides_no_progress(deliveries, ping):
    deliveries.send(500_000)
    deliveries.deliver(100_000)
    assert ping.look(25) == MOVING


def test_new_data_is_no_progress(deliveries, ping):
    deliveries.send(500_000)
    assert ping.look(25) == STUCK


def test_a_client_that_stops_receiving_is_stuck_after_two_intervals(deliveries, ping):
    deliveries.deliver(100_000)
    assert [ping.look(25), ping.look(50), ping.look(75)] == [MOVING, RESTING, STUCK]


def test_a_client_that_receives_in_bursts_may_rest_for_one_interval(deliveries, ping):
    for second in range(25, 500, 50):
        deliveries.deliver(65_536)
        assert ping.look(second) == MOVING
        assert ping.look(second + 25) == RESTING


def test_the_ping_has_arrived_when_everything_before_it_has(deliveries, ping):
    deliveries.send(1000)
    deliveries.deliver(1_000_000)
    assert ping.look(25) == MOVING
    deliveries.deliver(2)
    assert ping.look(50) == ARRIVED


def test_the_ping_has_arrived_when_nothing_is_left(deliveries, ping):
    # The data was compressed, and less than it seemed.
    deliveries.arrived += 10_000
    deliveries.undelivered = 0
    assert ping.look(25) == ARRIVED


def test_a_client_that_takes_a_byte_now_and_then_is_stuck_in_the_end(deliveries, ping):
    second = 25
    deliveries.deliver(1)
    while ping.look(second) != STUCK:
        second += 25
        deliveries.deliver(1)
    assert second == 1_000_000 / SLOWEST + 25


def test_a_ping_that_arrives_late_has_arrived(deliveries, ping):
    deliveries.deliver(1_000_002)
    assert ping.look(1_000_000) == ARRIVED


def test_every_state_has_a_place_in_the_table():
    waiting = {SENT, MOVING, RESTING}
    assert {state for state, _ in TRANSITIONS} == waiting
    assert set(TRANSITIONS.values()) == {MOVING, RESTING, ARRIVED, STUCK}
    for state in waiting:
        assert {seen for before, seen in TRANSITIONS if before == state} == {
            "ping",
            "some",
            "none",
            "time is over",
        }
