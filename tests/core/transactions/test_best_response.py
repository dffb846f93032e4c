"""best_rejection: the one answer to a request that several devices have rejected."""

from __future__ import annotations

import pytest

from protoo_flask.core.response import Response
from protoo_flask.core.transactions.best_response import best_rejection


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([486], 486),
        ([603, 404, 486], 404),
        ([404, 603], 404),
        ([500, 302, 480], 302),
        ([600, 699], 600),
    ],
)
def test_the_lowest_status_is_the_best(statuses, best):
    assert best_rejection(*map(Response, statuses)).status == best


def test_the_first_of_equal_rejections_is_the_best():
    first, second = Response(486, "first"), Response(486, "second")
    assert best_rejection(first, second) is first
    assert best_rejection(second, first) is second


def test_a_missing_rejection_is_skipped():
    rejection = Response(486)
    assert best_rejection(None, rejection) is rejection
    assert best_rejection(rejection, None) is rejection
