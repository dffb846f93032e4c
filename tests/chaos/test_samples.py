"""The metrics beside what the load knows: what is found."""

from __future__ import annotations

import pytest

from protoo_flask.observe.catalogue import CATALOGUE

from .samples import IDLE, PLENTY, Samples, check_counters, check_idle
from .site import BURST, RATE

OPENED, CLOSED = "protoo_connections_opened_total", "protoo_connections_closed_total"
ANSWERED, REFUSED = "protoo_requests_total", "protoo_refusals_total"
OK = {"method": "message", "status": "200"}
FLOOD = PLENTY * (BURST + RATE)


def test_of_a_site_without_clients_nothing_is_found():
    samples = [*([name, {}, 0.0] for name in IDLE), [OPENED, {}, 7.0]]
    samples += [[CLOSED, {"code": "1000"}, 4.0], [CLOSED, {"code": "1006"}, 3.0]]
    assert check_idle(Samples(samples)) == []


@pytest.mark.parametrize("name", IDLE)
def test_what_is_left_is_found(name):
    assert name in CATALOGUE
    assert f"{name} is 2 in the end" in check_idle(Samples([[name, {}, 2.0]]))


def test_a_connection_that_was_never_closed_is_found():
    samples = Samples([[OPENED, {}, 7.0], [CLOSED, {"code": "1000"}, 6.0]])
    assert check_idle(samples) == ["7 connections were opened, and 6 closed"]


def test_metrics_without_a_connection_are_found():
    assert check_idle(Samples([])) == ["0 connections were opened, and 0 closed"]


@pytest.mark.parametrize("name", [OPENED, CLOSED, ANSWERED, REFUSED])
def test_the_counters_exist(name):
    assert name in CATALOGUE


@pytest.mark.parametrize(
    ("samples", "floods", "faults", "found"),
    [
        ([[ANSWERED, OK, 9.0], [ANSWERED, OK, 1.0]], {}, [], []),
        ([[ANSWERED, OK, 9.0]], {}, [], ["9 messages were answered 200, and 10 acknowledged"]),
        ([[ANSWERED, OK, 9.0]], {}, ["cut", "hup"], []),
        ([[ANSWERED, OK, 10.0]], {"requests": FLOOD}, [], []),
        (
            [[ANSWERED, OK, 10.0]],
            {"requests": FLOOD + 1},
            [],
            ["no request of a flood was refused"],
        ),
        (
            [[ANSWERED, OK, 10.0], [REFUSED, {"limit": "rate_of_peer"}, 1.0]],
            {"requests": FLOOD + 1},
            [],
            [],
        ),
    ],
)
def test_counters_that_are_too_small_are_found(samples, floods, faults, found):
    assert check_counters(Samples(samples), 10, floods, faults) == found
