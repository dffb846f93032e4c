"""best_rejection: the one answer to a request that several devices have rejected."""

from __future__ import annotations

import itertools

import pytest

from protoo_flask.core.response import Response
from protoo_flask.core.transactions.best_response import best_rejection


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        # the lowest class
        ([603, 404, 486], 486),
        ([302, 603, 600], 302),
        ([699, 408], 408),
        ([603, 600], 600),
        ([500, 302, 480], 302),
        ([399, 400], 399),
        ([503, 499, 500], 499),
        ([404, 500], 404),
        # those that say least
        *(([least, 486], 486) for least in (404, 405, 408, 410, 480)),
        *(([least, 499, 503], 499) for least in (404, 405, 408, 410, 480)),
        ([480, 410, 408, 405, 404], 404),
        ([480, 410], 410),
        # the lowest of the rest
        ([486], 486),
        ([488, 404, 486, 400], 400),
        ([409, 481, 403], 403),
        ([505, 503, 580], 503),
        ([305, 300, 380], 300),
    ],
    ids=repr,
)
def test_the_best_rejection_wins_in_any_order(statuses, best):
    for order in itertools.permutations(statuses):
        assert best_rejection(*map(Response, order)).status == best


def test_the_best_of_all_is_the_best_of_the_best_so_far():
    # A call and a relay keep only the best rejection so far.
    statuses = [302, 404, 480, 486, 503, 603]
    for order in itertools.product(statuses, repeat=3):
        best = None
        for rejection in map(Response, order):
            best = best_rejection(best, rejection)
        assert best is not None
        assert best.status == best_rejection(*map(Response, order)).status


def test_the_first_of_equal_rejections_is_the_best():
    first, second = Response(486, "first"), Response(486, "second")
    assert best_rejection(first, second) is first
    assert best_rejection(second, first) is second


def test_a_missing_rejection_is_skipped():
    rejection = Response(486)
    assert best_rejection(None, rejection) is rejection
    assert best_rejection(rejection, None) is rejection
