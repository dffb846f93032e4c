"""Room: its states, its listeners, and its messages."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import Unsendable, UsageError
from protoo_flask.features.rooms.room import (
    CLOSED,
    CLOSING,
    OPEN,
    OPENING,
    TRANSITIONS,
)
from protoo_flask.features.rooms.rooms import Rooms
from tests.fakes import Core

STATES = (OPENING, OPEN, CLOSING, CLOSED)
EVENTS = ("open", "refuse", "empty", "close", "told")


@pytest.fixture
def peer():
    return Core().connect("alice", "a1").peer


@pytest.fixture
def rooms(peer):
    return Rooms(peer.runtime.scheduler, max_peers=3, max_rooms=3)


@pytest.fixture
def room(rooms, peer):
    return rooms.begin_join("/rooms/42", "42", peer)[0]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_a_room_follows_the_table_and_ignores_all_other_events(room, state, event):
    expected = {
        (OPENING, "open"): OPEN,
        (OPENING, "refuse"): CLOSED,
        (OPENING, "close"): CLOSED,
        (OPEN, "empty"): CLOSING,
        (OPEN, "close"): CLOSING,
        (CLOSING, "told"): CLOSED,
    }
    room.state = state
    assert room.enter_state(event) is ((state, event) in expected)
    assert room.state == expected.get((state, event), state)
    assert expected == TRANSITIONS


@pytest.mark.parametrize("accepted", [True, False])
def test_the_gate_for_waiting_joins_opens_at_the_decision_of_the_application(rooms, room, accepted):
    join_gate = room.join_gate
    assert not join_gate.is_set()
    rooms.finish_opening(room, accepted)
    assert join_gate.is_set()
    assert (room.state, len(rooms)) == ((OPEN, 1) if accepted else (CLOSED, 0))


def test_a_room_closed_during_its_opening_does_not_open(rooms, room):
    assert room.close() == 0
    assert room.join_gate.is_set()
    rooms.finish_opening(room, True)
    assert (room.state, len(rooms)) == (CLOSED, 0)


def test_a_room_is_found_only_while_it_is_open(rooms, room, peer):
    found = [rooms.find("/rooms/42")]
    rooms.finish_opening(room, True)
    found.append(rooms.find("/rooms/42"))
    rooms.end_join(room, peer)
    found.append(rooms.find("/rooms/42"))
    assert found == [None, room, None]


def test_the_next_room_is_made_after_the_listeners_of_the_closing_one(rooms, room, peer):
    spawned = []
    peer.runtime.scheduler.spawn = lambda *call: spawned.append(call)
    rooms.finish_opening(room, True)
    room.on("close", lambda room: None)
    rooms.end_join(room, peer)
    assert room.state == CLOSING
    same, is_new = rooms.begin_join("/rooms/42", "42", peer)
    assert (same, is_new, same.join_gate.is_set()) == (room, False, False)
    for function, *args in spawned:
        function(*args)
    assert (room.state, room.join_gate.is_set()) == (CLOSED, True)
    rooms.end_join(room, peer)
    other, is_new = rooms.begin_join("/rooms/42", "42", peer)
    assert is_new
    assert other is not room


def test_a_listener_that_ends_its_greenlet_does_not_block_the_next_room(rooms, room, peer):
    class Fatal(BaseException): ...

    def end_greenlet(room):
        raise Fatal

    rooms.finish_opening(room, True)
    room.on("close", end_greenlet)
    with pytest.raises(Fatal):
        rooms.end_join(room, peer)
    assert (room.state, len(rooms), len(rooms._events)) == (CLOSED, 0, 0)


def test_a_listener_for_an_unknown_event_or_with_a_wrong_form_is_refused(room):
    with pytest.raises(UsageError, match=r"knows join_request, request, join, leave, close, not"):
        room.on("joined")
    with pytest.raises(UsageError, match="where a function belongs"):
        room.on("join", 5)

    async def check(room, req): ...

    with pytest.raises(UsageError, match="coroutine"):
        room.on("join_request", check)


def test_on_is_a_call_and_a_decorator(room):
    def first(room, peer): ...

    assert room.on("join", first) is first

    @room.on("join")
    def second(room, peer): ...

    assert room.listeners("join") == [first, second]
    assert room.listeners("leave") == []


def test_a_room_sends_only_dicts_that_can_be_written_as_json(room, peer):
    for send in (room.broadcast, lambda *args: room.send(peer, *args)):
        with pytest.raises(UsageError, match=r"a room sends a dict as data, not \[1\]"):
            send("news", [1])
    with pytest.raises(Unsendable):
        room.broadcast("news", {"x": object()})


def test_a_room_sends_a_request_with_its_path(room):
    core = Core()
    bob = core.connect("bob", "b1")
    responses = []
    transaction = room.send(bob.peer, "mute", {"sessionPath": "x", "now": True}, responses.append)
    request = bob.take()
    assert request["data"] == {"sessionPath": "/rooms/42", "now": True}
    assert "sender" not in request
    bob.respond(request, 200, "muted")
    assert [transaction.response.reason, *(r.reason for r in responses)] == ["muted", "muted"]
    late = room.send(bob.peer, "mute", timeout=3)
    core.scheduler.advance(3)
    assert late.response.status == 408


def test_the_repr_of_a_room_has_its_path_and_state(room):
    assert repr(room) == "<Room /rooms/42 opening, 0 in>"
