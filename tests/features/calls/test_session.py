"""Session: each cell of its table, its attributes, and its listeners."""

from __future__ import annotations

import itertools

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.features.calls import session as module
from protoo_flask.features.calls.session import (
    ANSWERED_ENDINGS,
    CLOSED,
    CONNECTING,
    OPEN,
    PROGRESS,
    UNANSWERED_ENDINGS,
    Session,
)

STATES = [CONNECTING, PROGRESS, OPEN, CLOSED]
EVENTS = ["progress", "accept", *UNANSWERED_ENDINGS, "ended"]

#: Written by hand: (state, event) -> next state; all other events change nothing.
EXPECTED = {
    ("connecting", "progress"): "progress",
    ("connecting", "accept"): "open",
    ("connecting", "rejected"): "closed",
    ("connecting", "declined"): "closed",
    ("connecting", "gone"): "closed",
    ("connecting", "unavailable"): "closed",
    ("connecting", "canceled"): "closed",
    ("connecting", "offline"): "closed",
    ("connecting", "timeout"): "closed",
    ("connecting", "glare"): "closed",
    ("connecting", "failed"): "closed",
    ("connecting", "lost"): "closed",
    ("connecting", "refused"): "closed",
    ("progress", "accept"): "open",
    ("progress", "rejected"): "closed",
    ("progress", "declined"): "closed",
    ("progress", "gone"): "closed",
    ("progress", "unavailable"): "closed",
    ("progress", "canceled"): "closed",
    ("progress", "offline"): "closed",
    ("progress", "timeout"): "closed",
    ("progress", "glare"): "closed",
    ("progress", "failed"): "closed",
    ("progress", "lost"): "closed",
    ("progress", "refused"): "closed",
    ("open", "ended"): "closed",
    ("open", "offline"): "closed",
    ("open", "lost"): "closed",
}

WAYS = {CONNECTING: [], PROGRESS: ["progress"], OPEN: ["accept"], CLOSED: ["accept", "ended"]}

ALICE = {"username": "alice", "uuid": "a1"}


def make_session(state=CONNECTING):
    clock = itertools.count(1)
    session = Session("/sessions/1", ALICE, {"username": "bob"}, lambda: float(next(clock)))
    for event in WAYS[state]:
        session.enter(event)
    assert session.state == state
    return session


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_cell_of_the_table(state, event):
    session = make_session(state)
    expected = EXPECTED.get((state, event))
    assert session.enter(event) == expected
    assert session.state == (expected or state)


def test_these_tests_cover_all_events():
    assert {event for _, event in module.TRANSITIONS} == set(EVENTS)
    assert set(ANSWERED_ENDINGS) <= set(EVENTS)


def test_a_session_has_the_times_of_its_start_answer_and_end():
    session = make_session(CLOSED)
    assert (session.started, session.answered, session.ended) == (1.0, 2.0, 3.0)
    assert session.cause == "ended"


def test_a_call_without_an_answer_has_no_time_of_one():
    session = make_session(PROGRESS)
    session.enter("timeout")
    assert (session.started, session.answered, session.ended) == (1.0, None, 2.0)
    assert session.cause == "timeout"


def test_an_event_after_the_end_changes_nothing():
    session = make_session(CLOSED)
    session.enter("offline")
    assert (session.cause, session.ended) == ("ended", 3.0)


@pytest.mark.parametrize(
    ("state", "is_ringing"), [(CONNECTING, True), (PROGRESS, True), (OPEN, False), (CLOSED, False)]
)
def test_a_session_rings_until_its_answer_or_end(state, is_ringing):
    assert make_session(state).is_ringing is is_ringing


def test_the_description_of_a_session_is_its_entry_in_the_list_of_calls():
    assert make_session(OPEN).describe() == {
        "path": "/sessions/1",
        "state": "open",
        "caller": ALICE,
        "callee": {"username": "bob"},
    }


def test_listening_is_a_call_or_a_decorator():
    session = make_session()

    @session.on("close")
    def closed(session): ...

    assert session.on("close", print) is print
    assert session.listeners("close") == [closed, print]
    assert session.listeners("open") == []


def test_a_session_knows_whether_it_has_a_listener():
    session = make_session()
    assert not session.is_listened_to
    session.on("open", print)
    assert session.is_listened_to


@pytest.mark.parametrize(
    ("event", "hint"), [("closed", "; did you mean 'close'?"), ("ringing", ""), (None, "")]
)
def test_an_unknown_event_is_refused_with_a_list_of_the_known_ones(event, hint):
    with pytest.raises(UsageError) as caught:
        make_session().on(event, print)
    assert str(caught.value) == (
        f"session.on(event, fn) knows progress, open, close, not {event!r}{hint}"
    )


async def coroutine(session): ...


@pytest.mark.parametrize("function", [5, coroutine])
def test_a_listener_that_cannot_be_called_is_refused(function):
    with pytest.raises(UsageError):
        make_session().on("close", function)


def test_a_party_equals_its_form_on_the_wire_and_has_attributes():
    caller, callee = {"username": "alice", "uuid": "a1"}, {"username": "bob"}
    session = Session("/s/1", caller, callee, lambda: 0.0)
    assert session.caller == {"username": "alice", "uuid": "a1"}
    assert (session.caller.username, session.caller.uuid) == ("alice", "a1")
    assert (session.callee.username, session.callee.uuid) == ("bob", None)
