"""Pace: the notifications about a user are limited, and cost what they multiply to."""

from __future__ import annotations

import pytest

from protoo_flask.features.presence.pace import BURST, RATE, Pace


@pytest.mark.parametrize("watchers", [1, 10, 1000])
def test_a_budget_that_is_full_allows_a_burst(watchers):
    pace = Pace()
    for _ in range(BURST // watchers):
        assert pace.take("bob", watchers, 1000.0) == 0
    assert pace.take("bob", watchers, 1000.0) == pytest.approx(watchers / RATE)
    # Others have budgets of their own.
    assert pace.take("carol", watchers, 1000.0) == 0


def test_after_the_wait_the_notifications_may_be_sent():
    pace = Pace()
    assert pace.take("bob", BURST - 10, 1000.0) == 0
    wait = pace.take("bob", 100, 1000.0)
    assert wait == pytest.approx(90 / RATE)
    assert 0 < pace.take("bob", 100, 1000.0 + 0.9 * wait) < wait
    assert pace.take("bob", 100, 1000.001 + wait) == 0


def test_more_watchers_than_a_burst_are_notified_when_the_budget_is_full():
    pace = Pace()
    assert pace.take("bob", 3 * BURST, 1000.0) == 0
    wait = pace.take("bob", 3 * BURST, 1000.0)
    assert wait == pytest.approx(3 * BURST / RATE)
    assert pace.take("bob", 3 * BURST, 1000.0 + wait) == 0


def test_budgets_that_are_full_again_are_forgotten():
    pace = Pace()
    for n in range(10_000):
        pace.take(f"user {n}", 1, float(n))
    assert len(pace) <= 1001


def test_budgets_that_are_not_full_are_kept():
    pace = Pace()
    for n in range(3000):
        pace.take(f"user {n}", 1, 1000.0)
    assert len(pace) == 3000
