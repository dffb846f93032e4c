"""The backlog: who is handled, who waits, and how much that is."""

from __future__ import annotations

from typing import Any

import pytest

from protoo_flask.core.backlog import MAX_BACKLOG, REQUEST_SIZE, Backlog
from protoo_flask.core.request import Request


@pytest.fixture
def requests() -> list[Any]:
    return [Request(f"method{n}") for n in range(5)]


def test_as_many_are_handled_at_once_as_may_be(requests):
    backlog = Backlog(2)
    assert [backlog.claim(request, 0) for request in requests] == [True, True, False, False, False]


def test_a_place_is_passed_on_in_order_of_arrival_and_then_given_back(requests):
    backlog = Backlog(1)
    for request in requests[:4]:
        backlog.claim(request, 0)
    assert [backlog.pass_on() for _ in range(4)] == [*requests[1:4], None]
    assert backlog.claim(requests[4], 0)


def test_what_waits_is_counted_and_what_is_handled_is_not(requests):
    backlog = Backlog(1)
    for length, request in enumerate(requests[:3], 10):
        backlog.claim(request, length)
    assert backlog.size == 11 + 12 + 2 * REQUEST_SIZE
    backlog.pass_on()
    assert backlog.size == 12 + REQUEST_SIZE
    backlog.pass_on()
    assert backlog.size == 0


def test_it_is_full_beyond_its_limit_and_takes_what_comes_all_the_same(requests):
    backlog = Backlog(1)
    backlog.claim(requests[0], 10 * MAX_BACKLOG)
    backlog.claim(requests[1], MAX_BACKLOG - REQUEST_SIZE)
    assert not backlog.is_full
    backlog.claim(requests[2], 0)
    assert backlog.is_full
    assert backlog.pass_on() is requests[1]
    assert not backlog.is_full


def test_what_is_dropped_is_returned_and_gives_no_place_away(requests):
    backlog = Backlog(1)
    for request in requests[:3]:
        backlog.claim(request, 10)
    assert backlog.drop() == requests[1:3]
    assert (backlog.size, backlog.drop()) == (0, [])
    assert not backlog.claim(requests[3], 0)
    assert [backlog.pass_on(), backlog.pass_on()] == [requests[3], None]
