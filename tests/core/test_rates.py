"""Rates: the forms in which a site writes them."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.rates import Rate, Rates, parse_rate, parse_rates


@pytest.mark.parametrize(
    ("value", "per_second", "burst"),
    [
        ("50/s", 50, None),
        ("3000/m", 50, None),
        ("9000/h", 2.5, None),
        ("0.5/s", 0.5, None),
        ("50 / S", 50, None),
        ("10/minute", 1 / 6, None),
        ("10 per minute", 1 / 6, None),
        ("7 per sec", 7, None),
        ("50/s burst=100", 50, 100),
        ("50/s, burst = 100", 50, 100),
        (50, 50, None),
        (0.1, 0.1, None),
        (("50/s", 100), 50, 100),
        ([50, 1], 50, 1),
    ],
)
def test_the_forms_of_a_rate(value, per_second, burst):
    rate = parse_rate(value, "rate_limit(rate)")
    assert (rate.per_second, rate.burst) == (pytest.approx(per_second), burst)


@pytest.mark.parametrize(
    "value",
    [
        *("", "50", "50/d", "/s", "-1/s", "0/s", "0.0/s", "1e3/s", "50/s burst=0", "50/s burst=x"),
        *("50/s burst=0.5", "١/s", "50/s;20/m", "9999999999/s", "nan/s", "50/s burst"),
        *(0, -1, True, float("nan"), float("inf"), None, b"50/s", object()),
        *((), ("50/s",), ("50/s", 0), ("50/s", None), ("50/s", 10, 10), ("50/s burst=5", 10)),
        *(("50/s", True), ("50/s", "10"), (("50/s", 10), 10), {"peer": "50/s"}),
    ],
    ids=repr,
)
def test_anything_else_is_refused_with_the_forms(value):
    with pytest.raises(UsageError, match=r'rate_limit\(rate\) is a rate, like "50/s", .*, not '):
        parse_rate(value, "rate_limit(rate)")


def test_one_rate_is_that_of_a_device_and_a_user_has_four_times_as_much():
    assert parse_rates("20/s", "X") == Rates(Rate(20, 200, 20), Rate(80, 800, 80))
    assert parse_rates(("20/s", 5), "X") == Rates(Rate(20, 5, 20), Rate(80, 20, 80))


@pytest.mark.parametrize(("value", "burst"), [("10/s", 100), ("11/s", 110), ("1/m", 100)])
def test_the_burst_is_that_of_ten_seconds_and_lets_a_call_begin(value, burst):
    peer, _user = parse_rates(value, "X")
    assert peer.burst == burst


def test_devices_and_users_have_rates_of_their_own():
    assert parse_rates({"peer": "20/s"}, "X") == Rates(Rate(20, 200, 20), None)
    assert parse_rates({"user": (60, 300), "peer": None}, "X") == Rates(None, Rate(60, 300, 60))
    assert parse_rates(None, "X") == Rates()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {},
            'dict of rates, like {"peer": "20/s", "user": "60/s"}, or None for no limit, not {}',
        ),
        ({"device": "5/s"}, ", a dict of rates, like"),
        ("fast", "X is a rate, like"),
        ({"peer": "fast"}, r"X\['peer'\] is a rate"),
        ({"user": {"peer": "5/s"}}, r"X\['user'\] is a rate"),
    ],
)
def test_a_dict_with_anything_else_is_refused(value, text):
    with pytest.raises(UsageError, match=text):
        parse_rates(value, "X")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("50/s", "50/s"),
        ("10/m", "10/m"),
        ("600/m burst=7", "10/s burst=7"),
        ("0.5/s", "30/m"),
        ("0.5/h", "0.5/h"),
        ((2.5, 1.5), "2.5/s burst=1.5"),
    ],
)
def test_a_rate_is_shown_as_a_site_would_write_it(value, text):
    assert str(parse_rate(value, "X")) == text
    assert parse_rate(text, "X")[:2] == parse_rate(value, "X")[:2]
