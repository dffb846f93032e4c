"""Calls: devices that come online, lose their connection, or come back."""

from __future__ import annotations

import pytest

from tests.features.sites import status_line

from .switchboards import (
    ALICE,
    S1,
    S2,
    Switchboard,
    end,
    take_end,
    without_id,
)


def test_a_device_that_comes_online_joins_the_ringing_call():
    board = Switchboard("alice/a1", "bob/b1")
    id, rung = board.call(sdp="offer")
    late = board.connect("bob/b2")
    (request,) = late.take_all()
    assert without_id(request) == without_id(rung["b1"])
    late.respond(request, 200)
    assert board["alice/a1"].take()["id"] == id
    assert take_end(board["bob/b1"]) == end(reason="answered elsewhere")


def test_a_device_that_comes_online_joins_only_ringing_calls_to_its_user():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", "dave/d1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["alice/a1"].take()
    board.call("carol/c1")
    board.call("dave/d1", "/users/bob/b1")
    late = board.connect("bob/b2")
    assert sorted(request["data"]["sessionPath"] for request in late.take_all()) == [S1, S2]
    board.connect("carol/c2")
    assert board["carol/c2"].take_all() == []


def test_no_device_joins_a_call_to_one_device():
    board = Switchboard("alice/a1", "bob/b1")
    board.call(path="/users/bob/b1")
    assert board.connect("bob/b2").take_all() == []


def test_no_device_joins_an_answered_or_ended_call():
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 200)
    assert board.connect("bob/b2").take_all() == []
    board["alice/a1"].request("end", S1)
    assert board.connect("bob/b3").take_all() == []


def test_a_device_that_has_rejected_is_not_rung_again_when_it_comes_back():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board["bob/b1"].leave()
    assert board.connect("bob/b1").take_all() == []


def test_a_device_that_went_offline_is_rung_again_when_it_comes_back():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    board.call()
    board["bob/b1"].leave()
    (request,) = board.connect("bob/b1").take_all()
    board["bob/b1"].respond(request, 200)
    assert board["alice/a1"].take()["status"] == 200


def test_a_call_to_the_callers_own_user_does_not_ring_at_the_caller():
    board = Switchboard("alice/a1", "alice/a2")
    board.call(path="/users/alice")
    (request,) = board.connect("alice/a3").take_all()
    assert request["sender"] == ALICE
    assert board["alice/a1"].take_all() == []


def test_a_joining_device_gets_the_early_messages_of_the_caller():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    for number in range(3):
        board["alice/a1"].start_request("icecandidate", S1, {"n": number})
    board["alice/a1"].notify("icecandidate", S1, {"n": 3})
    for request in board["bob/b1"].take_all()[:-1]:
        board["bob/b1"].respond(request, 200)
    board["alice/a1"].take_all()
    late = board.connect("bob/b2")
    session, *candidates, notification = late.take_all()
    assert session["method"] == "session"
    for number, request in enumerate(candidates):
        assert without_id(request) == {
            "method": "icecandidate",
            "data": {"n": number, "sessionPath": S1},
            "sender": ALICE,
        }
        late.respond(request, 200)
    assert "id" not in notification
    assert notification["data"] == {"n": 3, "sessionPath": S1}
    assert board["alice/a1"].take_all() == []  # the caller has had the answers of b1


def test_a_joining_device_gets_no_messages_of_other_devices():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    board["bob/b1"].notify("icecandidate", S1, {"n": 1})
    assert [message["method"] for message in board.connect("bob/b2").take_all()] == ["session"]


def test_a_device_within_its_grace_period_rings_when_it_is_back():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board["bob/b1"].drop()
    board["alice/a1"].request("session", "/users/bob")
    board["alice/a1"].notify("icecandidate", S1)
    board.core.scheduler.advance(20)
    request, candidate = board.connect("bob/b1").take_all()
    assert (request["method"], candidate["method"]) == ("session", "icecandidate")
    board["bob/b1"].respond(request, 200)
    assert board["alice/a1"].take()["status"] == 200


def test_a_device_that_is_back_after_the_end_of_the_call_does_not_ring():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board["bob/b1"].drop()
    board["alice/a1"].request("session", "/users/bob")
    board["alice/a1"].start_request("end", S1)
    assert [without_id(message) for message in board.connect("bob/b1").take_all()] == [
        end(reason="canceled")
    ]


def test_a_device_counts_as_gone_after_its_grace_period():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board.call()
    board["bob/b1"].drop()
    board.core.scheduler.advance(29)
    assert board["alice/a1"].take_all() == []
    board.core.scheduler.advance(1)
    assert status_line(board["alice/a1"].take()) == (410, "peer offline")


@pytest.mark.parametrize("name", ["alice/a1", "bob/b1"])
def test_a_party_that_reloads_its_page_keeps_the_call(name):
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    path = board.open_call()
    board[name].drop(1001)
    board.core.scheduler.advance(29)
    board.connect(name)
    assert board.sessions(name) == [
        {
            "path": path,
            "state": "open",
            "caller": ALICE,
            "callee": {"username": "bob", "uuid": "b1"},
        }
    ]
    other = board["bob/b1" if name == "alice/a1" else "alice/a1"]
    board[name].start_request("update", path, {"sdp": "restart"})
    request = other.take()
    assert (request["method"], request["data"]["sdp"]) == ("update", "restart")
    other.respond(request, 200, "", {"sdp": "answer"})
    assert board[name].take()["data"] == {"sdp": "answer"}
    assert other.take_all() == []


def test_a_caller_that_reconnects_gets_the_answer():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    id, rung = board.call()
    board["alice/a1"].drop()
    board["bob/b1"].respond(rung["b1"], 200)
    board.connect("alice/a1")
    answer = board["alice/a1"].take()
    assert (answer["status"], answer["id"]) == (200, id)
    assert board.states("alice/a1") == {S1: "open"}
