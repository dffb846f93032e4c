"""Leg: each cell of its table, and the event of each response."""

from __future__ import annotations

import pytest

from protoo_flask.core.response import Response
from protoo_flask.features.calls import leg as module
from protoo_flask.features.calls.leg import Leg, event_of

STATES = ["ringing", "proceeding", "accepted", "rejected", "gone", "released"]
EVENTS = ["provisional", "accept", "reject", "gone", "release"]

NEXT = {
    "provisional": "proceeding",
    "accept": "accepted",
    "reject": "rejected",
    "gone": "gone",
    "release": "released",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_cell_of_the_table(state, event):
    leg = Leg(peer=None)
    leg.state = state
    is_alive = state in ("ringing", "proceeding")
    assert leg.enter(event) is is_alive
    assert leg.state == (NEXT[event] if is_alive else state)


def test_these_tests_cover_all_states_and_events():
    assert {event for _, event in module.TRANSITIONS} == set(EVENTS)
    assert {state for state, _ in module.TRANSITIONS} | set(module.TRANSITIONS.values()) == set(
        STATES
    )


@pytest.mark.parametrize(
    ("response", "event"),
    [
        (Response(100), "provisional"),
        (Response(199), "provisional"),
        (Response(200), "accept"),
        (Response(299), "accept"),
        (Response(300), "reject"),
        (Response(486), "reject"),
        (Response(699), "reject"),
        (Response(410), "reject"),
        (Response(410, is_local=True), "gone"),
        (Response(400, is_local=True), "reject"),
        (Response(487, is_local=True), "reject"),
    ],
    ids=repr,
)
def test_a_response_causes_an_event_of_the_table(response, event):
    assert event_of(response) == event
