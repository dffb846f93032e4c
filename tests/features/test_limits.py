"""Limits: which numbers a middleware accepts."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.features.limits import check_limit


def test_a_positive_integer_is_returned():
    assert [check_limit(value, "") for value in (1, 10**9)] == [1, 10**9]


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_any_other_value_is_refused_by_the_name_of_the_option(value):
    with pytest.raises(UsageError) as caught:
        check_limit(value, "hall(max_seats=...) takes a number")
    expected = f"hall(max_seats=...) takes a number, an integer of at least 1, not {value!r}"
    assert str(caught.value) == expected
