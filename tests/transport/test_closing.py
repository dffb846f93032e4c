"""How a connection ends: the table of states."""

from __future__ import annotations

import pytest

from protoo_flask.transport.closing import CLOSED, CLOSING, DRAINING, LEFT, OPEN, TRANSITIONS

ORDER = [OPEN, LEFT, CLOSING, DRAINING, CLOSED]


@pytest.mark.parametrize("state", ORDER)
def test_every_state_but_the_last_ends_with_the_connection(state):
    assert TRANSITIONS.get((state, "ended")) == (None if state == CLOSED else CLOSED)


def test_no_event_leads_back():
    for (state, _), next in TRANSITIONS.items():
        assert ORDER.index(next) > ORDER.index(state)


def test_every_state_can_be_reached():
    assert {OPEN, *TRANSITIONS.values()} == set(ORDER)
