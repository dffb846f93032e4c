"""Calls: requests inside a call, and the list of calls."""

from __future__ import annotations

import pytest

from tests.features.sites import status_line

from .switchboards import (
    ALICE,
    S1,
    S2,
    Switchboard,
    without_id,
)

# Inside --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    ["icecandidate", "update", "hold", "unhold", "message", "get", "put", "dtmf"],
)
@pytest.mark.parametrize(("sender", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")])
def test_a_request_inside_goes_to_the_other_party(method, sender, other):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    path = board.open_call()
    id = board[sender].start_request(method, path, {"n": 1, "sessionPath": "made up"})
    request = board[other].take()
    assert without_id(request) == {
        "method": method,
        "data": {"n": 1, "sessionPath": path},
        "sender": board[sender].peer.address,
    }
    board[other].respond(request, 183, "wait")
    board[other].respond(request, 488, "no", {"n": 2})
    assert board[sender].take_all() == [
        {"status": 183, "reason": "wait", "id": id, "data": {}},
        {"status": 488, "reason": "no", "id": id, "data": {"n": 2}},
    ]
    assert board["bob/b2"].take_all() == []
    assert board.unfinished() == {}


def test_a_session_request_inside_a_call_is_refused():
    # Sent on, it would ring a second time at a ringing device, which may then answer only one.
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    answer = board["alice/a1"].request("session", S1)
    assert answer["status"] == 405
    assert board["bob/b1"].take_all() == []


@pytest.mark.parametrize(("sender", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")])
def test_a_notification_inside_stays_a_notification(sender, other):
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    board[sender].notify("icecandidate", path, {"n": 1})
    assert board[other].take_all() == [
        {
            "method": "icecandidate",
            "data": {"n": 1, "sessionPath": path},
            "sender": board[sender].peer.address,
        }
    ]
    assert board[sender].take_all() == []


def test_a_request_inside_times_out_like_any_other():
    board = Switchboard("alice/a1", "bob/b1", core_options={"request_timeout": 7})
    path = board.open_call()
    board["alice/a1"].start_request("hold", path)
    board.core.scheduler.advance(6.9)
    assert board["alice/a1"].take_all() == []
    board.core.scheduler.advance(0.1)
    assert status_line(board["alice/a1"].take()) == (408, "request timeout")
    assert board.states("alice/a1") == {path: "open"}


def test_before_the_answer_requests_of_the_caller_go_to_every_ringing_device():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "bob/b3")
    _, rung = board.call()
    board["bob/b3"].respond(rung["b3"], 486)
    board["bob/b2"].respond(rung["b2"], 180)
    board["alice/a1"].take()
    board["alice/a1"].start_request("icecandidate", S1, {"n": 1})
    board["alice/a1"].notify("icecandidate", S1, {"n": 2})
    for name in ("bob/b1", "bob/b2"):
        assert [message["data"]["n"] for message in board[name].take_all()] == [1, 2]
    assert board["bob/b3"].take_all() == []


def test_before_the_answer_requests_of_a_ringing_device_go_to_the_caller():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    board.call()
    id = board["bob/b1"].start_request("icecandidate", S1, {"n": 1})
    request = board["alice/a1"].take()
    assert request["sender"] == board["bob/b1"].peer.address
    assert request["data"] == {"n": 1, "sessionPath": S1}
    board["alice/a1"].respond(request, 200, "got it")
    assert board["bob/b1"].take() == {"status": 200, "reason": "got it", "id": id, "data": {}}
    assert board["bob/b2"].take_all() == []


#: ([(device, its answer to the same request)], the status for the caller, and the number of
#: answers after which the caller gets it)
RACES = {
    "the-first-accepts": ([("b1", 200), ("b2", 200), ("b3", 486)], 200, 1),
    "one-accepts-after-a-failure": ([("b2", 486), ("b3", 202), ("b1", 200)], 202, 2),
    "all-fail": ([("b2", 503), ("b3", 486), ("b1", 500)], 486, 3),
    "one-goes": ([("b1", "drop"), ("b2", 500), ("b3", 503)], 410, 3),
    "one-is-silent": ([("b1", 500), ("b2", 503), ("b3", "silent")], 408, 3),
}


@pytest.mark.parametrize(("deeds", "status", "after"), RACES.values(), ids=RACES)
def test_the_caller_gets_one_answer_from_several_devices(deeds, status, after):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "bob/b3")
    board.call()
    id = board["alice/a1"].start_request("update", S1)
    requests = {uuid: board[f"bob/{uuid}"].take() for uuid, _ in deeds}
    for number, (uuid, deed) in enumerate(deeds, 1):
        client = board[f"bob/{uuid}"]
        if deed == "drop":
            client.drop()
        elif deed == "silent":
            board.core.scheduler.advance(10)
        else:
            client.respond(requests[uuid], deed, uuid)
        if number == after:
            answer = board["alice/a1"].take()
            assert (answer["status"], answer["id"]) == (status, id)
        assert board["alice/a1"].take_all() == []


#: (a peer outside the call, the state of the call)
STRANGERS = {
    "somebody-else": ("carol/c1", "ringing"),
    "somebody-else-later": ("carol/c1", "open"),
    "another-device-of-the-caller": ("alice/a2", "open"),
    "a-device-that-was-not-rung": ("bob/b2", "ringing"),
    "a-device-that-has-rejected": ("bob/b1", "rejected"),
    "a-device-that-has-not-won": ("bob/b2", "won"),
}


@pytest.mark.parametrize("method", ["icecandidate", "end", "message"])
@pytest.mark.parametrize(("who", "state"), STRANGERS.values(), ids=STRANGERS)
def test_a_peer_outside_the_call_is_refused(who, state, method):
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2", "carol/c1")
    if state == "open":
        board.open_call()
    elif state == "ringing":
        board.call(path="/users/bob/b1")
    else:
        _, rung = board.call()
        board["bob/b1"].respond(rung["b1"], 200 if state == "won" else 486)
    for client in board.clients.values():
        client.take_all()
    before = board.states("alice/a1")
    assert status_line(board[who].request(method, S1)) == (403, "this is not your session")
    board[who].notify(method, S1)
    assert all(client.take_all() == [] for client in board.clients.values())
    assert board.states("alice/a1") == before
    assert board.states(who) == {}


@pytest.mark.parametrize("method", ["icecandidate", "end", "message", "session"])
@pytest.mark.parametrize("who", ["alice/a1", "bob/b1", "carol/c1"])
def test_a_call_that_has_ended_is_answered_404(who, method):
    board = Switchboard("alice/a1", "bob/b1", "carol/c1")
    path = board.open_call()
    board["bob/b1"].request("end", path)
    board["alice/a1"].take()
    assert status_line(board[who].request(method, path)) == (404, "session not found")
    assert status_line(board[who].request(method, "/users/sessions/x")) == (
        404,
        "session not found",
    )


# The list of calls ---------------------------------------------------------------------


def test_the_list_has_the_calls_of_a_peer_and_those_that_ring_at_it():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "carol/c1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["alice/a1"].take()
    board.advance(1)
    board.call("carol/c1", "/users/bob/b1")
    first = {"path": S1, "state": "progress", "caller": ALICE, "callee": {"username": "bob"}}
    second = {
        "path": S2,
        "state": "connecting",
        "caller": {"username": "carol", "uuid": "c1"},
        "callee": {"username": "bob", "uuid": "b1"},
    }
    assert board.sessions("alice/a1") == [first]
    assert board.sessions("bob/b1") == [first, second]
    assert board.sessions("bob/b2") == [first]
    assert board.sessions("carol/c1") == [second]
    board["bob/b2"].respond(rung["b2"], 200)
    board["alice/a1"].take()
    board["bob/b1"].take()
    answered = {**first, "state": "open", "callee": {"username": "bob", "uuid": "b2"}}
    assert board.sessions("alice/a1") == [answered]
    assert board.sessions("bob/b2") == [answered]
    assert board.sessions("bob/b1") == [second]
