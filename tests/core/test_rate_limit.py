"""Token buckets: how often something may happen for each of many names."""

from __future__ import annotations

import contextlib
import threading

import pytest

from protoo_flask.core import rate_limit
from protoo_flask.core.rate_limit import BURST_SECONDS, RateLimit


def make(rate: float) -> RateLimit:
    return RateLimit(rate, contextlib.nullcontext())


def count_allowed(limit, name, now, tries=1000):
    return sum(not limit.take(name, now) for _ in range(tries))


def test_ten_seconds_worth_may_come_at_once():
    assert count_allowed(make(10), "alice", 50.0) == 10 * BURST_SECONDS == 100


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.1])
def test_one_at_least_is_allowed_at_once(rate):
    assert count_allowed(make(rate), "alice", 0.0) == 1


def test_afterwards_the_rate_is_allowed():
    limit = make(10)
    count_allowed(limit, "alice", 0.0)
    assert [count_allowed(limit, "alice", second) for second in (0.09, 0.1, 1.1, 61.1)] == [
        *(0, 1, 10, 100)
    ]


def test_a_refusal_tells_the_time_and_counts_nothing():
    limit = make(2)
    count_allowed(limit, "alice", 0.0)
    waits = [limit.take("alice", 0.0) for _ in range(5)]
    assert waits == pytest.approx([0.5] * 5)
    assert limit.take("alice", 0.25) == pytest.approx(0.25)
    assert limit.take("alice", 0.5) == 0


def test_a_look_counts_nothing():
    limit = make(0.1)
    assert [limit.look("alice", 0.0) for _ in range(3)] == [0, 0, 0]
    assert len(limit) == 0
    limit.take("alice", 0.0)
    assert limit.look("alice", 4.0) == pytest.approx(6.0)
    assert limit.look("alice", 10.0) == 0


def test_names_do_not_affect_each_other():
    limit = make(0.1)
    assert limit.take("alice", 0.0) == 0
    assert limit.take("bob", 0.0) == 0
    assert limit.take("alice", 0.0) > 0


def test_many_names_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_NAMES", 100)
    limit = make(10)
    for number in range(10_000):
        limit.take(f"name-{number}", number / 10_000)
        assert len(limit) <= 100


def test_buckets_that_are_full_are_forgotten_first_and_empty_ones_last(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_NAMES", 100)
    limit = make(10)
    count_allowed(limit, "attacker", 0.0)
    for number in range(1000):
        limit.take(f"name-{number}", 0.0)
    assert limit.take("attacker", 0.0) > 0


def test_threads_take_no_more_than_there_is():
    limit = RateLimit(1.0, threading.RLock(), 500)
    allowed: list[int] = []

    def take_often():
        allowed.append(count_allowed(limit, "alice", 5.0))

    threads = [threading.Thread(target=take_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 500


def test_a_limit_may_have_a_burst_and_costs():
    limit = RateLimit(2.0, contextlib.nullcontext(), 7)
    assert [limit.take("alice", 0.0, cost) for cost in (3, 4)] == [0, 0]
    assert limit.take("alice", 0.0, 3) == pytest.approx(1.5)
    assert limit.look("alice", 1.0, 2) == 0
    assert limit.take("alice", 1.0, 2) == 0


def test_what_is_given_back_may_be_taken_again_and_no_more():
    limit = RateLimit(1.0, contextlib.nullcontext(), 5)
    count_allowed(limit, "alice", 0.0)
    limit.give_back("alice", 0.0, 2)
    assert count_allowed(limit, "alice", 0.0) == 2
    for _ in range(9):
        limit.give_back("alice", 0.0)
    assert len(limit) == 0
    assert count_allowed(limit, "alice", 0.0) == 5


def test_promises_are_one_behind_the_other_and_a_minute_ahead_at_most():
    limit = RateLimit(1.0, contextlib.nullcontext(), 1)
    assert [limit.promise("alice", 10.0, 0.5) for _ in range(3)] == [0.5, 1.5, 2.5]
    # The last promise is over.
    assert limit.promise("alice", 12.75, 0.25) == 0.25
    assert limit.promise("bob", 12.75, 0.125) == 0.125
    told = [limit.promise("alice", 20.0, 0.5) for _ in range(100)]
    assert told[-1] == rate_limit.MAX_WAIT == 60
    assert limit.promise("alice", 20.0, 90.0) == 90.0
