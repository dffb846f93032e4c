"""The outbox follows its table of states."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.transport import outbox as outbox_module
from protoo_flask.transport.outbox import (
    BLOCKED,
    CORKED,
    GONE,
    IDLE,
    OPENING,
    TRANSITIONS,
    Outbox,
)

from .fake_channel import FakeChannel, encode, make_outbox, send_texts
from .wire import PING, TEXT

STATES = [IDLE, CORKED, OPENING, BLOCKED, GONE]
EVENTS = ["open", "cork", "sent", "full", "failed", "close"]


def make_outbox_in(state: str, channel: FakeChannel) -> Outbox:
    """Return an outbox in a state; the socket has no room."""
    outbox = make_outbox(channel)
    if state in (OPENING, CORKED):
        outbox.cork(b"101" if state == OPENING else b"")
    elif state == BLOCKED:
        send_texts(outbox, b"first")
    elif state == GONE:
        channel.broken = True
        send_texts(outbox, b"first")
        channel.broken = False
    assert outbox._state == state
    return outbox


def fire(event: str, outbox: Outbox, channel: FakeChannel) -> None:
    if event == "open":
        outbox.cork(b"101")
    elif event == "cork":
        outbox.cork()
    elif event == "close":
        outbox.close()
    else:
        channel.broken = event == "failed"
        room = 1000 if event == "sent" else 0
        if outbox._state == BLOCKED:
            channel.make_room(room)
        else:
            channel.room = room
            outbox.send(TEXT, b"message")
            outbox.uncork()


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_an_event_leads_to_the_next_state_or_changes_nothing(channel, state, event):
    outbox = make_outbox_in(state, channel)
    fire(event, outbox, channel)
    assert outbox._state == TRANSITIONS.get((state, event), state)


@pytest.mark.parametrize("state", STATES)
def test_an_outbox_that_is_gone_stays_gone(channel, state):
    outbox = make_outbox_in(state, channel)
    outbox.close()
    for event in EVENTS:
        fire(event, outbox, channel)
        channel.make_room(1000)
        assert outbox._state == GONE
    assert channel.received == b""


class RecordingOutbox(Outbox):
    """Checks each change of its state."""

    @property
    def _state(self) -> Any:
        return self.__dict__["_state"]

    @_state.setter
    def _state(self, state: str) -> None:
        old = self.__dict__.get("_state")
        steps = {(old, state) for (old, _), state in TRANSITIONS.items()}
        assert old in (None, state) or (old, state) in steps
        self.__dict__["_state"] = state


STEPS = st.one_of(
    st.tuples(st.sampled_from(["send", "ping"]), st.sampled_from([b"", b"message", b"x" * 60])),
    st.tuples(st.sampled_from(["room"]), st.integers(0, 100)),
    st.tuples(
        st.sampled_from(["cork", "open", "uncork", "take", "finish", "batch", "break", "close"]),
        st.none(),
    ),
)


@given(st.lists(STEPS, max_size=30))
def test_no_other_step_is_taken_whatever_happens(steps):
    channel = FakeChannel()
    outbox = RecordingOutbox(channel, encode, 100)
    for step, value in steps:
        if step in ("send", "ping"):
            outbox.send(TEXT if step == "send" else PING, value)
        elif step == "room":
            channel.make_room(value)
        elif step in ("cork", "open"):
            outbox.cork(b"101" if step == "open" else b"")
        elif step == "uncork":
            outbox.uncork()
        elif step == "take":
            outbox.take_unsent()
        elif step == "finish":
            outbox.finish(lambda: None)
        elif step == "batch":
            if channel.corked is not None:
                channel.end_batch()
            channel.corked = []
        elif step == "break":
            channel.broken = True
        else:
            outbox.close()


def test_the_table_is_the_one_in_the_docstring():
    assert outbox_module.__doc__ is not None
    table = outbox_module.__doc__.split("=\n")[2]
    written: dict[Any, str] = {}
    for line in table.splitlines()[:-1]:
        state, event, next, *_ = line.split()
        states = [IDLE, CORKED, OPENING, BLOCKED] if state == "any" else [state]
        written.update({(state, event): next for state in states})
    assert written == TRANSITIONS
