"""Calls whose parties are connected to two nodes of a cluster: as within one process."""

from __future__ import annotations

import pytest

from . import (
    test_middleware,
    test_middleware_allow,
    test_middleware_ending,
    test_middleware_inside,
    test_middleware_joining,
    test_middleware_listeners,
    test_middleware_mounting,
    test_middleware_release,
)
from .spread_switchboards import spread_switchboard

MODULES = [
    test_middleware,
    test_middleware_allow,
    test_middleware_ending,
    test_middleware_inside,
    test_middleware_joining,
    test_middleware_listeners,
    test_middleware_mounting,
    test_middleware_release,
]

#: What these tests look at is different in a cluster, or they have no board.
OTHERS = {
    "test_a_call_that_times_out_in_allow_rings_nowhere": "has a core of its own",
    "test_calls_do_not_keep_a_closed_app_in_memory": "the hub keeps its nodes",
    "test_ten_thousand_calls_that_end_in_every_way_leave_nothing": "see test_cluster_random.py",
    "test_the_application_is_asked_before_anything_rings": "sees the home in a path",
    "test_the_id_of_a_call_cannot_be_guessed": "has a core of its own",
}


def find_tests():
    tests = {}
    for module in MODULES:
        for name, function in vars(module).items():
            if name.startswith("test_") and callable(function):
                assert name not in tests
                tests[name] = function
    assert set(OTHERS) <= set(tests)
    return {name: function for name, function in tests.items() if name not in OTHERS}


globals().update(find_tests())


@pytest.fixture(autouse=True, params=[2, 3])
def spread_the_switchboard(request, monkeypatch):
    for module in MODULES:
        monkeypatch.setattr(module, "Switchboard", spread_switchboard(request.param))
