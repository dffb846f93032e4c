"""Calls: their ends, and glare: two peers that call each other."""

from __future__ import annotations

import pytest

from protoo_flask.core.transactions.unanswered import MAX_UNANSWERED
from tests.features.sites import status_line

from .switchboards import (
    NOTHING,
    S1,
    Switchboard,
    end,
    got,
    take_end,
)

# The end -------------------------------------------------------------------------------


@pytest.mark.parametrize("provisional", [None, 180])
def test_the_caller_cancels(provisional):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    id, rung = board.call()
    if provisional:
        board["bob/b1"].respond(rung["b1"], provisional)
        board["alice/a1"].take()
    end_id = board["alice/a1"].start_request("end", S1)
    assert board["alice/a1"].take_all() == [
        {"status": 200, "reason": "session canceled", "id": end_id, "data": {}},
        {"status": 487, "reason": "canceled", "id": id, "data": {}},
    ]
    for name in ("bob/b1", "bob/b2"):
        assert take_end(board[name]) == end(reason="canceled")
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})
    assert board.core.scheduler.pending_timers == 0


def test_a_ringing_device_cannot_end_the_call():
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    answer = board["bob/b1"].request("end", S1)
    assert status_line(answer) == (400, 'to reject a call, answer its "session" request')
    assert board["alice/a1"].take_all() == []
    board["bob/b1"].respond(rung["b1"], 200)
    assert board["alice/a1"].take()["status"] == 200


@pytest.mark.parametrize(
    ("ender", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")], ids=["caller", "callee"]
)
def test_either_party_hangs_up(ender, other):
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    answer = board[ender].request("end", path, {"why": "lunch", "sessionPath": "made up"})
    assert status_line(answer) == (200, "session ended")
    assert take_end(board[other]) == {
        "method": "end",
        "data": {"why": "lunch", "sessionPath": path},
        "sender": board[ender].peer.address,
    }
    assert board[ender].take_all() == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_an_end_may_be_a_notification():
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    board["bob/b1"].notify("end", path)
    assert take_end(board["alice/a1"])["sender"] == board["bob/b1"].peer.address
    assert board["bob/b1"].take_all() == []


@pytest.mark.parametrize("leave", ["drop", "leave"])
def test_the_caller_goes_offline_before_the_answer(leave):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    board.call()
    getattr(board["alice/a1"], leave)()
    for name in ("bob/b1", "bob/b2"):
        assert take_end(board[name]) == end(reason="offline")
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


@pytest.mark.parametrize(("leaver", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")])
def test_a_party_goes_offline(leaver, other):
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    board[leaver].drop()
    assert take_end(board[other]) == end(path, reason="offline")
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_a_party_is_offline_when_its_grace_period_is_over():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    path = board.open_call()
    board["bob/b1"].drop()
    board.core.scheduler.advance(29)
    assert board["alice/a1"].take_all() == []
    board.core.scheduler.advance(1)
    assert take_end(board["alice/a1"]) == end(path, reason="offline")


def test_a_device_outside_the_call_that_goes_offline_ends_nothing():
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2")
    path = board.open_call()
    board["alice/a2"].drop()
    board["bob/b2"].drop()
    assert board.states("alice/a1") == {path: "open"}


# Glare ---------------------------------------------------------------------------------


def glare(ids, first="/users/bob", second="/users/alice"):
    """Let Alice call Bob and Bob call Alice; returns the board, and the messages to each client."""
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2", ids=iter(ids))
    board["alice/a1"].start_request("session", first)
    board["alice/a1"].take()
    board["bob/b2"].start_request("session", second)
    return board, {name: got(client) for name, client in board.clients.items()}


def test_glare_keeps_the_first_call_when_its_path_is_lower():
    board, messages = glare(["s1", "s2"])
    assert messages == {
        "alice/a1": [],
        "alice/a2": [],
        "bob/b1": [("session", None)],
        "bob/b2": [("session", None), 491],
    }
    assert board.states("alice/a1") == board.states("bob/b2") == {S1: "connecting"}
    assert board.states("alice/a2") == {}
    assert len(board.all_calls()) == 1


def test_glare_keeps_the_second_call_when_its_path_is_lower():
    board, messages = glare(["s2", "s1"])
    assert messages == {
        "alice/a1": [491, ("session", None)],
        "alice/a2": [("session", None)],
        "bob/b1": [("session", None), ("end", "glare")],
        "bob/b2": [("session", None), ("end", "glare"), 100],
    }
    assert board.states("alice/a1") == board.states("bob/b2") == {S1: "connecting"}
    assert board.states("bob/b1") == {}
    assert len(board.all_calls()) == 1


def test_the_call_that_loses_a_glare_is_answered_491():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    assert status_line(board["bob/b1"].request("session", "/users/alice")) == (
        491,
        "request pending",
    )


@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]])
@pytest.mark.parametrize(
    ("first", "second"),
    [("/users/bob/b1", "/users/alice"), ("/users/bob", "/users/alice/a2")],
    ids=["the-second-caller-is-not-rung", "the-first-caller-is-not-rung"],
)
def test_there_is_no_glare_unless_each_call_rings_at_the_other_caller(ids, first, second):
    board, messages = glare(ids, first, second)
    assert messages["bob/b2"][-1] == 100
    assert len(board.all_calls()) == 2


def test_an_open_call_is_no_glare_for_a_call_back():
    board = Switchboard("alice/a1", "bob/b1", ids=iter(["s2", "s1"]))
    board.open_call()
    board.call("bob/b1", "/users/alice")
    assert sorted(board.states("alice/a1").values()) == ["connecting", "open"]


def test_a_device_that_has_rejected_may_call_back():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board.call("bob/b1", "/users/alice")
    assert len(board.all_calls()) == 2


# Parties without a connection ----------------------------------------------------------


def away_board():
    options = {"grace_period": 30, "detection_time": 50, "request_timeout": 10}
    board = Switchboard("alice/a1", "bob/b1", core_options=options)
    return board, board.open_call()


@pytest.mark.parametrize("full", [False, True], ids=["", "much is unanswered"])
def test_a_party_that_is_away_longer_than_the_request_timeout_still_gets_the_end(full):
    board, path = away_board()
    bob = board["bob/b1"]
    bob.drop()
    if full:
        bob.peer.outbound.unanswered.size = MAX_UNANSWERED
    assert board["alice/a1"].request("end", path)["status"] == 200
    board.core.scheduler.advance(29)
    board.connect("bob/b1")
    (end,) = board["bob/b1"].take_all()
    assert (end["method"], end["data"]["sessionPath"]) == ("end", path)


def test_an_end_lost_with_a_connection_is_sent_again_over_the_next():
    board, path = away_board()
    board["alice/a1"].request("end", path)
    lost = board["bob/b1"].take()
    board.core.scheduler.advance(49)
    board["bob/b1"].drop()
    board.connect("bob/b1")
    assert board["bob/b1"].take() == lost
