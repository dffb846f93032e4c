"""The limit on the handshakes of a process: who comes at once, and when the others come back."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core.handshake_queue import LONGEST, HandshakeQueue


def make(rate):
    return HandshakeQueue(rate, contextlib.nullcontext())


def count_allowed(queue, now, tries=1000):
    return sum(not queue.take(now, is_heard=False) for _ in range(tries))


@pytest.mark.parametrize(("rate", "at_once"), [(100, 100), (1, 1), (0.1, 1), (2.5, 2)])
def test_a_second_s_worth_may_come_at_once_and_one_at_least(rate, at_once):
    assert count_allowed(make(rate), 50.0) == at_once


def test_afterwards_the_rate_is_allowed():
    queue = make(10)
    count_allowed(queue, 0.0)
    assert [count_allowed(queue, now) for now in (0.09, 0.1, 0.6, 60.6)] == [0, 1, 5, 10]


def test_each_client_that_is_refused_is_given_a_time_of_its_own():
    queue = make(10)
    count_allowed(queue, 5.0)
    assert [queue.take(5.0) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert queue.take(5.05) == pytest.approx(0.45)


def test_all_come_in_who_keep_to_their_times():
    queue, now = make(50), 1000.0
    waiting = [now + wait for wait in (queue.take(now) for _ in range(1050)) if wait]
    assert len(waiting) == 1000
    assert max(waiting) - now == pytest.approx(20.0)
    assert [queue.take(time) for time in sorted(waiting)] == [0] * 1000


def test_who_does_not_hear_the_time_takes_none():
    queue = make(10)
    count_allowed(queue, 0.0)
    waits = [queue.take(0.0, is_heard=False) for _ in range(3)]
    assert [*waits, queue.take(0.0)] == pytest.approx([0.1] * 4)
    assert queue.take(0.0) == pytest.approx(0.2)


def test_a_look_gives_a_time_and_counts_no_handshake():
    queue = make(1)
    assert [queue.look(0.0) for _ in range(3)] == [0, 0, 0]
    assert queue.take(0.0) == 0
    assert [queue.look(0.0) for _ in range(3)] == pytest.approx([1, 2, 3])
    assert queue.look(1.0) == 0


def test_nobody_waits_for_longer_than_a_minute_and_the_times_are_given_once_more():
    queue = make(2)
    count_allowed(queue, 0.0)
    waits = [queue.take(0.0) for _ in range(240)]
    assert max(waits) == pytest.approx(LONGEST)
    assert waits[:120] == pytest.approx(waits[120:])
    assert len(set(map(round, waits))) >= 60


def test_a_rate_that_is_slower_than_that_is_told():
    queue = make(1 / 300)
    assert queue.take(0.0) == 0
    assert [queue.take(0.0) for _ in range(2)] == pytest.approx([300, 300])
