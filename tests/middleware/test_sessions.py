"""session_handler: who is rung, who is told what, and that it ends in every way."""

from __future__ import annotations

import pytest

from protoo_flask import Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.core.router import Router
from protoo_flask.middleware import p2p_messenger, session_handler
from protoo_flask.middleware.sessions import MAX_SESSIONS

from .switchboards import NOTHING, S1, S2, Switchboard, end, summary, without_id

ALICE = {"username": "alice", "uuid": "a1"}


def take_end(client):
    """Take the ``end`` that must have come, without its id, and accept it."""
    message = client.take()
    assert message["method"] == "end", message
    client.respond(message, 200)
    return without_id(message)


# Ringing ------------------------------------------------------------------------------


def test_the_caller_is_told_first_where_the_call_is():
    board = Switchboard("alice/a1", "bob/b1")
    answer = board["alice/a1"].request("session", "/users/bob", {"sdp": "offer"})
    assert summary(answer) == (100, "connecting")
    assert answer["data"] == {"sessionPath": S1}
    assert board["alice/a1"].take_all() == []


def test_a_device_that_rings_gets_what_the_caller_has_sent_and_who_that_is():
    board = Switchboard("alice/a1", "bob/b1")
    board["alice/a1"].request("session", "/users/bob", {"sdp": "offer", "sessionPath": "made up"})
    (request,) = board["bob/b1"].take_all()
    assert without_id(request) == {
        "method": "session",
        "data": {"sdp": "offer", "sessionPath": S1},
        "sender": ALICE,
    }


@pytest.mark.parametrize(
    ("path", "rung"),
    [
        ("/users/bob", ["b1", "b2"]),
        ("/users/bob/b2", ["b2"]),
        ("/users/alice", ["a2"]),
        ("/users/alice/a2", ["a2"]),
    ],
)
def test_who_is_rung(path, rung):
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2", "carol/c1")
    _, requests = board.call(path=path)
    assert sorted(requests) == rung


@pytest.mark.parametrize("path", ["/users/carol", "/users/bob/b2", "/users/alice", "/users/b%20b"])
def test_there_is_nobody_to_be_rung(path):
    board = Switchboard("alice/a1", "bob/b1")
    assert summary(board["alice/a1"].request("session", path)) == (404, "peer not found")
    assert board.left_behind() == NOTHING
    assert board.unfinished() == {}


def test_a_device_cannot_call_itself():
    board = Switchboard("alice/a1", "alice/a2")
    answer = board["alice/a1"].request("session", "/users/alice/a1")
    assert summary(answer) == (482, "loop detected: this is the device that calls")


def test_a_session_that_is_a_notification_calls_nobody():
    board = Switchboard("alice/a1", "bob/b1")
    board["alice/a1"].notify("session", "/users/bob")
    assert board["bob/b1"].take_all() == []
    assert board.left_behind() == NOTHING


@pytest.mark.parametrize(
    ("mount", "path", "session_path"),
    [
        ("/", "/bob", "/sessions/s1"),
        ("/Users", "/Users/bob", "/Users/sessions/s1"),
        ("/:team/users", "/red/users/bob", "/red/users/sessions/s1"),
    ],
)
def test_the_path_of_a_call_is_below_where_the_calls_are_mounted(mount, path, session_path):
    board = Switchboard("alice/a1", "bob/b1", mount=mount)
    answer = board["alice/a1"].request("session", path)
    assert answer["data"] == {"sessionPath": session_path}
    (request,) = board["bob/b1"].take_all()
    assert request["data"] == {"sessionPath": session_path}
    assert summary(board["alice/a1"].request("end", session_path)) == (200, "session canceled")


def test_calls_may_be_made_at_another_path():
    board = Switchboard("alice/a1", "bob/b1", path="/call/:username")
    _, rung = board.call(path="/users/call/bob")
    assert rung["b1"]["data"] == {"sessionPath": S1}


def test_what_a_caller_wants_may_take_longer_than_a_request():
    board = Switchboard(
        "alice/a1", "bob/b1", core_options={"response_timeout": 60, "request_timeout": 10}
    )
    id, rung = board.call()
    board.core.scheduler.advance(119)
    assert board["alice/a1"].take_all() == []
    board["bob/b1"].respond(rung["b1"], 200)
    assert board["alice/a1"].take()["id"] == id


def test_the_id_of_a_call_cannot_be_guessed():
    board = Switchboard("alice/a1", "bob/b1")
    paths = set()
    other = Router()
    other.use("/real", session_handler(_Deaf()))
    board.core.router._frozen = False
    board.core.router.use(other)
    for _ in range(10):
        answer = board["alice/a1"].request("session", "/real/bob")
        paths.add(answer["data"]["sessionPath"])
    assert len(paths) == 10
    assert {len(path) for path in paths} == {len("/real/sessions/") + 22}


class _Deaf:
    """Stands for a Protoo that tells nothing."""

    def on(self, event, function): ...


# Answers ------------------------------------------------------------------------------


def test_provisional_responses_go_to_the_caller_as_they_come():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    id, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180, "ringing", {"n": 1})
    board["bob/b2"].respond(rung["b2"], 183, "thinking")
    board["bob/b1"].respond(rung["b1"], 100)
    assert board["alice/a1"].take_all() == [
        {"status": 180, "reason": "ringing", "id": id, "data": {"n": 1}},
        {"status": 183, "reason": "thinking", "id": id, "data": {}},
        {"status": 100, "reason": "", "id": id, "data": {}},
    ]


@pytest.mark.parametrize(("status", "state"), [(100, "connecting"), (101, "progress")])
def test_a_call_is_in_progress_when_a_device_has_said_more_than_that_it_was_reached(status, state):
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], status)
    board["alice/a1"].take()
    assert board.states("alice/a1") == {S1: state}


@pytest.mark.parametrize("first", [None, 180])
def test_the_first_that_accepts_is_in_the_call(first):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "bob/b3")
    id, rung = board.call()
    if first:
        board["bob/b2"].respond(rung["b2"], first)
        board["alice/a1"].take()
    board["bob/b2"].respond(rung["b2"], 202, "hi", {"sdp": "answer", "sessionPath": "made up"})
    assert board["alice/a1"].take_all() == [
        {
            "status": 202,
            "reason": "hi",
            "id": id,
            "data": {"sdp": "answer", "sessionPath": S1},
        }
    ]
    for name in ("bob/b1", "bob/b3"):
        assert take_end(board[name]) == end(reason="answered elsewhere")
    assert board["bob/b2"].take_all() == []
    assert board.states("alice/a1") == {S1: "open"}


@pytest.mark.parametrize("late", [180, 200, 202, 486, 603])
def test_what_a_device_answers_that_was_told_of_the_end_is_ignored(late):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 200)
    board["bob/b2"].respond(rung["b2"], late)
    assert board["alice/a1"].take()["status"] == 200
    assert board["alice/a1"].take_all() == []
    assert board.states("alice/a1") == {S1: "open"}
    # Whatever it takes itself for: the last thing it hears is that it is not in the call.
    assert take_end(board["bob/b2"]) == end(reason="answered elsewhere")
    assert summary(board["bob/b2"].request("hold", S1)) == (403, "this is not your session")


#: (what the devices b1, b2, ... do, in order; what the caller is told; what those that still
#: ring then are told)
REJECTIONS = {
    "the-only-one": ([(486, "busy", {"until": "noon"})], (486, "busy", {"until": "noon"}), None),
    "the-lowest-counts": (
        [(486, "busy", {}), (480, "away", {"n": 1}), (500, "oops", {})],
        (480, "away", {"n": 1}),
        None,
    ),
    "of-equal-ones-the-first": ([(486, "1", {}), (486, "2", {})], (486, "1", {}), None),
    "a-redirection-is-a-rejection": (
        [(302, "moved", {"to": "x"})],
        (302, "moved", {"to": "x"}),
        None,
    ),
    "a-6xx-for-all": (
        [(603, "never", {"n": 1}), None, None],
        (603, "never", {"n": 1}),
        "declined elsewhere",
    ),
    "a-6xx-counts-though-lower-ones-came": (
        [(404, "", {}), (600, "busy everywhere", {}), None],
        (600, "busy everywhere", {}),
        "declined elsewhere",
    ),
    "all-have-gone": (["drop", "drop"], (410, "peer offline", {}), None),
    "rejected-and-gone": ([(486, "busy", {}), "drop"], (486, "busy", {}), None),
    "gone-and-rejected": (["drop", (503, "low battery", {})], (503, "low battery", {}), None),
    "a-410-of-the-device-itself": (
        [(410, "moved out", {}), (486, "", {})],
        (410, "moved out", {}),
        None,
    ),
}


@pytest.mark.parametrize(("deeds", "told", "reason"), REJECTIONS.values(), ids=REJECTIONS)
def test_what_the_caller_is_told_when_nobody_accepts(deeds, told, reason):
    names = [f"bob/b{number}" for number, _ in enumerate(deeds, 1)]
    board = Switchboard("alice/a1", *names)
    id, rung = board.call()
    still_ringing = []
    for name, deed in zip(names, deeds):
        if deed is None:
            still_ringing.append(name)
            continue
        assert board["alice/a1"].take_all() == []
        if deed == "drop":
            board[name].drop()
        else:
            board[name].respond(rung[board[name].peer.uuid], *deed)
    status, text, data = told
    assert board["alice/a1"].take_all() == [
        {"status": status, "reason": text, "id": id, "data": data}
    ]
    for name in still_ringing:
        assert take_end(board[name]) == end(reason=reason)
    assert all(board[name].take_all() == [] for name in names)
    assert board.left_behind() == NOTHING
    assert board.unfinished() == {}


def test_the_rest_still_rings_when_one_has_rejected_or_gone():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "bob/b3")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board["bob/b2"].leave()
    board["bob/b3"].respond(rung["b3"], 200)
    assert board["alice/a1"].take()["status"] == 200
    assert board["bob/b1"].take_all() == []


def test_nobody_answers():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", core_options={"session_timeout": 30})
    id, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["alice/a1"].take()
    board.core.scheduler.advance(29.9)
    assert board["alice/a1"].take_all() == []
    board.core.scheduler.advance(0.1)
    assert board["alice/a1"].take_all() == [
        {"status": 408, "reason": "request timeout", "id": id, "data": {}}
    ]
    for name in ("bob/b1", "bob/b2"):
        assert take_end(board[name]) == end(reason="timeout")
    assert board.left_behind() == NOTHING
    assert (board.unfinished(), board.core.scheduler.pending_timers) == ({}, 0)


def test_an_answered_call_goes_on_for_as_long_as_it_likes():
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    assert board.core.scheduler.pending_timers == 0
    board.core.scheduler.advance(100_000)
    assert board.states("bob/b1") == {path: "open"}


# Those who come online, those who are away ------------------------------------------------


def test_a_device_that_comes_online_while_it_rings_joins():
    board = Switchboard("alice/a1", "bob/b1")
    id, rung = board.call(sdp="offer")
    late = board.connect("bob/b2")
    (request,) = late.take_all()
    assert without_id(request) == without_id(rung["b1"])
    late.respond(request, 200)
    assert board["alice/a1"].take()["id"] == id
    assert take_end(board["bob/b1"]) == end(reason="answered elsewhere")


def test_a_device_that_comes_online_joins_all_calls_that_ring_and_no_other():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", "dave/d1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["alice/a1"].take()
    board.call("carol/c1")
    board.call("dave/d1", "/users/bob/b1")
    late = board.connect("bob/b2")
    assert [request["data"]["sessionPath"] for request in late.take_all()] == [S1, S2]
    board.connect("carol/c2")
    assert board["carol/c2"].take_all() == []


def test_a_call_to_one_device_is_joined_by_nobody():
    board = Switchboard("alice/a1", "bob/b1")
    board.call(path="/users/bob/b1")
    assert board.connect("bob/b2").take_all() == []


def test_nobody_joins_a_call_that_was_answered_or_is_over():
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


def test_the_caller_does_not_ring_when_calling_its_own_user():
    board = Switchboard("alice/a1", "alice/a2")
    board.call(path="/users/alice")
    (request,) = board.connect("alice/a3").take_all()
    assert request["sender"] == ALICE
    assert board["alice/a1"].take_all() == []


def test_who_joins_gets_what_the_caller_has_sent_inside_the_call():
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
    assert board["alice/a1"].take_all() == []  # it has had its answers


def test_who_joins_gets_nothing_of_what_the_callee_has_sent():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    board["bob/b1"].notify("icecandidate", S1, {"n": 1})
    assert [message["method"] for message in board.connect("bob/b2").take_all()] == ["session"]


def test_a_device_that_is_away_is_rung_when_it_is_back():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board["bob/b1"].drop()
    board["alice/a1"].request("session", "/users/bob")
    board["alice/a1"].notify("icecandidate", S1)
    board.core.scheduler.advance(20)
    request, candidate = board.connect("bob/b1").take_all()
    assert (request["method"], candidate["method"]) == ("session", "icecandidate")
    board["bob/b1"].respond(request, 200)
    assert board["alice/a1"].take()["status"] == 200


def test_a_device_that_is_away_does_not_ring_when_it_is_over_before_it_is_back():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board["bob/b1"].drop()
    board["alice/a1"].request("session", "/users/bob")
    board["alice/a1"].start_request("end", S1)
    assert [without_id(message) for message in board.connect("bob/b1").take_all()] == [
        end(reason="canceled")
    ]


def test_a_device_that_does_not_come_back_has_gone():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    board.call()
    board["bob/b1"].drop()
    board.core.scheduler.advance(29)
    assert board["alice/a1"].take_all() == []
    board.core.scheduler.advance(1)
    assert summary(board["alice/a1"].take()) == (410, "peer offline")


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


def test_a_caller_that_comes_back_while_it_rings_hears_the_answer():
    board = Switchboard("alice/a1", "bob/b1", core_options={"grace_period": 30})
    id, rung = board.call()
    board["alice/a1"].drop()
    board["bob/b1"].respond(rung["b1"], 200)
    board.connect("alice/a1")
    answer = board["alice/a1"].take()
    assert (answer["status"], answer["id"]) == (200, id)
    assert board.states("alice/a1") == {S1: "open"}


# The end --------------------------------------------------------------------------------


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


def test_a_device_that_rings_cannot_end_the_call():
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    answer = board["bob/b1"].request("end", S1)
    assert summary(answer) == (400, 'to reject a call, answer its "session" request')
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
    assert summary(answer) == (200, "session ended")
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


def test_another_device_that_goes_offline_ends_nothing():
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2")
    path = board.open_call()
    board["alice/a2"].drop()
    board["bob/b2"].drop()
    assert board.states("alice/a1") == {path: "open"}


# Inside ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    ["icecandidate", "update", "hold", "unhold", "message", "get", "put", "session", "dtmf"],
)
@pytest.mark.parametrize(("sender", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")])
def test_what_a_party_sends_inside_goes_to_the_other(method, sender, other):
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


@pytest.mark.parametrize(("sender", "other"), [("alice/a1", "bob/b1"), ("bob/b1", "alice/a1")])
def test_a_notification_inside_is_passed_on_as_one(sender, other):
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
    assert summary(board["alice/a1"].take()) == (408, "request timeout")
    assert board.states("alice/a1") == {path: "open"}


def test_before_the_answer_the_caller_speaks_to_every_device_that_rings():
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


def test_before_the_answer_a_device_that_rings_speaks_to_the_caller():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    board.call()
    id = board["bob/b1"].start_request("icecandidate", S1, {"n": 1})
    request = board["alice/a1"].take()
    assert request["sender"] == board["bob/b1"].peer.address
    assert request["data"] == {"n": 1, "sessionPath": S1}
    board["alice/a1"].respond(request, 200, "got it")
    assert board["bob/b1"].take() == {"status": 200, "reason": "got it", "id": id, "data": {}}
    assert board["bob/b2"].take_all() == []


#: (what b1, b2 and b3 answer to the same request, in order; what the caller is told, and
#: after how many of them)
RACES = {
    "the-first-accepts": ([("b1", 200), ("b2", 200), ("b3", 486)], 200, 1),
    "one-accepts-after-a-failure": ([("b2", 486), ("b3", 202), ("b1", 200)], 202, 2),
    "all-fail": ([("b2", 503), ("b3", 486), ("b1", 500)], 486, 3),
    "one-goes": ([("b1", "drop"), ("b2", 500), ("b3", 503)], 410, 3),
    "one-is-silent": ([("b1", 500), ("b2", 503), ("b3", "silent")], 408, 3),
}


@pytest.mark.parametrize(("deeds", "status", "after"), RACES.values(), ids=RACES)
def test_what_the_caller_is_told_by_several_devices(deeds, status, after):
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


#: (who; in what state of the call)
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
def test_a_stranger_has_no_part_in_the_call(who, state, method):
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
    assert summary(board[who].request(method, S1)) == (403, "this is not your session")
    board[who].notify(method, S1)
    assert all(client.take_all() == [] for client in board.clients.values())
    assert board.states("alice/a1") == before
    assert board.states(who) == {}


@pytest.mark.parametrize("method", ["icecandidate", "end", "message", "session"])
@pytest.mark.parametrize("who", ["alice/a1", "bob/b1", "carol/c1"])
def test_a_call_that_is_over_is_unknown_to_everybody(who, method):
    board = Switchboard("alice/a1", "bob/b1", "carol/c1")
    path = board.open_call()
    board["bob/b1"].request("end", path)
    board["alice/a1"].take()
    assert summary(board[who].request(method, path)) == (404, "session not found")
    assert summary(board[who].request(method, "/users/sessions/x")) == (404, "session not found")


# The list of calls ---------------------------------------------------------------------


def test_the_list_has_the_calls_that_a_peer_is_in_and_those_that_ring_there():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "carol/c1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["alice/a1"].take()
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


# Glare ---------------------------------------------------------------------------------


def glare(ids, first="/users/bob", second="/users/alice"):
    """Let Alice call Bob and Bob call Alice; returns the board, and what each has got."""
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2", ids=iter(ids))
    board["alice/a1"].start_request("session", first)
    board["alice/a1"].take()
    board["bob/b2"].start_request("session", second)
    return board, {
        name: [
            message.get("status") or (message["method"], message["data"].get("reason"))
            for message in client.take_all()
        ]
        for name, client in board.clients.items()
    }


def test_of_two_who_call_each_other_the_call_whose_path_is_lower_stays_the_first():
    board, got = glare(["s1", "s2"])
    assert got == {
        "alice/a1": [],
        "alice/a2": [],
        "bob/b1": [("session", None)],
        "bob/b2": [("session", None), 491],
    }
    assert board.states("alice/a1") == board.states("bob/b2") == {S1: "connecting"}
    assert board.states("alice/a2") == {}
    assert len(board.all_calls()) == 1


def test_of_two_who_call_each_other_the_call_whose_path_is_lower_stays_the_second():
    board, got = glare(["s2", "s1"])
    assert got == {
        "alice/a1": [491, ("session", None)],
        "alice/a2": [("session", None)],
        "bob/b1": [("session", None), ("end", "glare")],
        "bob/b2": [("session", None), ("end", "glare"), 100],
    }
    assert board.states("alice/a1") == board.states("bob/b2") == {S1: "connecting"}
    assert board.states("bob/b1") == {}
    assert len(board.all_calls()) == 1


def test_the_caller_that_has_to_give_way_is_told_why():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    assert summary(board["bob/b1"].request("session", "/users/alice")) == (491, "request pending")


@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]])
@pytest.mark.parametrize(
    ("first", "second"),
    [("/users/bob/b1", "/users/alice"), ("/users/bob", "/users/alice/a2")],
    ids=["the-second-caller-is-not-rung", "the-first-caller-is-not-rung"],
)
def test_it_is_no_glare_unless_each_rings_at_the_other(ids, first, second):
    board, got = glare(ids, first, second)
    assert got["bob/b2"][-1] == 100
    assert len(board.all_calls()) == 2


def test_who_is_called_back_while_one_call_is_answered_hears_it_ring():
    board = Switchboard("alice/a1", "bob/b1", ids=iter(["s2", "s1"]))
    board.open_call()
    board.call("bob/b1", "/users/alice")
    assert sorted(board.states("alice/a1").values()) == ["connecting", "open"]


def test_who_has_rejected_may_call_back():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board.call("bob/b1", "/users/alice")
    assert len(board.all_calls()) == 2


# on_session ----------------------------------------------------------------------------


def test_the_application_is_asked_before_anything_rings():
    seen = []

    def on_session(session, req):
        seen.append((session.path, session.caller, session.callee, session.state, req.peer.uuid))
        assert board["bob/b1"].take_all() == []
        assert board["alice/a1"].take_all() == []

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    board.call()
    board.call(path="/users/bob/b1")
    assert seen == [
        (S1, ALICE, {"username": "bob"}, "connecting", "a1"),
        (S2, ALICE, {"username": "bob", "uuid": "b1"}, "connecting", "a1"),
    ]


def refuse(session, req):
    req.reply(486, "busy", {"until": "noon"})


def raise_reject(session, req):
    raise Reject(403, "no calls at night")


def crash(session, req):
    raise RuntimeError("secret")


@pytest.mark.parametrize(
    ("on_session", "told"),
    [
        (refuse, (486, "busy", {"until": "noon"})),
        (raise_reject, (403, "no calls at night", {})),
        (crash, (500, "internal server error", {})),
    ],
)
def test_the_application_refuses(on_session, told):
    closed = []

    def listen(session, req):
        session.on("close", closed.append)
        on_session(session, req)

    board = Switchboard("alice/a1", "bob/b1", on_session=listen)
    id = board["alice/a1"].start_request("session", "/users/bob")
    status, reason, data = told
    assert board["alice/a1"].take_all() == [
        {"status": status, "reason": reason, "id": id, "data": data}
    ]
    assert board["bob/b1"].take_all() == []
    assert closed == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_the_application_may_say_something_provisional():
    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: req.reply(181, "forwarded")
    )
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [181, 100]


def test_an_application_that_takes_too_long_to_decide_calls_nobody():
    def on_session(session, req):
        board.core.scheduler.advance(60)

    board = Switchboard(
        "alice/a1", "bob/b1", on_session=on_session, core_options={"response_timeout": 60}
    )
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 504
    assert board["bob/b1"].take_all() == []


def test_a_caller_that_leaves_while_the_application_decides_calls_nobody():
    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: board["alice/a1"].drop()
    )
    board["alice/a1"].start_request("session", "/users/bob")
    assert board["bob/b1"].take_all() == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_an_application_that_answers_while_it_rings_ends_the_call():
    requests = []
    board = Switchboard(
        "alice/a1", "bob/b1", "bob/b2", on_session=lambda session, req: requests.append(req)
    )
    _, rung = board.call()
    requests[0].reply(302, "voice mail")
    board["bob/b1"].respond(rung["b1"], 200)
    assert [message["status"] for message in board["alice/a1"].take_all()] == [302]
    assert take_end(board["bob/b1"]) == end(reason="failed")
    assert take_end(board["bob/b2"]) == end(reason="failed")
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


class Log:
    """An on_session that notes what it is told."""

    def __init__(self):
        self.entries = []
        self.session = None

    def __call__(self, session, req):
        self.session = session
        for event in ("progress", "open", "close"):
            session.on(event, lambda session, event=event: self.entries.append(event))


def test_the_application_is_told_of_each_state_once():
    log = Log()
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", on_session=log)
    _, rung = board.call()
    assert log.entries == []
    for status in (100, 180, 180):
        board["bob/b1"].respond(rung["b1"], status)
    board["bob/b2"].respond(rung["b2"], 180)
    assert log.entries == ["progress"]
    board["bob/b1"].respond(rung["b1"], 200)
    assert log.entries == ["progress", "open"]
    board["alice/a1"].request("end", S1)
    assert log.entries == ["progress", "open", "close"]


def facts(session):
    return {
        name: getattr(session, name)
        for name in ("state", "cause", "status", "reason", "started", "answered", "ended")
    }


BOB = {"username": "bob", "uuid": "b1"}


def test_what_is_known_of_a_call_that_was_answered():
    log = Log()
    board = Switchboard("alice/a1", "bob/b1", on_session=log)
    _, rung = board.call()
    board.core.scheduler.advance(5)
    board["bob/b1"].respond(rung["b1"], 202, "hi")
    board.core.scheduler.advance(60)
    board["bob/b1"].request("end", S1)
    assert facts(log.session) == {
        "state": "closed",
        "cause": "ended",
        "status": 202,
        "reason": "hi",
        "started": 1000.0,
        "answered": 1005.0,
        "ended": 1065.0,
    }
    assert log.session.callee == log.session.ended_by == BOB


def cancel(board, rung):
    board["alice/a1"].request("end", S1)


def leave_caller(board, rung):
    board["alice/a1"].leave()


def leave_callee(board, rung):
    board["bob/b1"].leave()


def wait(board, rung):
    board.core.scheduler.advance(120)


def reject(status):
    return lambda board, rung: board["bob/b1"].respond(rung["b1"], status, "no")


def call_back(board, rung):
    board["bob/b1"].request("session", "/users/alice")


UNANSWERED = {
    "canceled": (cancel, "canceled", 487, "canceled", ALICE),
    "caller-leaves": (leave_caller, "offline", 487, "offline", ALICE),
    "callee-leaves": (leave_callee, "gone", 410, "peer offline", None),
    "timeout": (wait, "timeout", 408, "request timeout", None),
    "rejected": (reject(486), "rejected", 486, "no", None),
    "declined": (reject(603), "declined", 603, "no", None),
    "glare": (call_back, "glare", 491, "request pending", None),
}


@pytest.mark.parametrize(
    ("deed", "cause", "status", "reason", "ended_by"), UNANSWERED.values(), ids=UNANSWERED
)
def test_what_is_known_of_a_call_that_was_missed(deed, cause, status, reason, ended_by):
    log = Log()
    sessions = []

    def on_session(session, req):
        if req.peer.uuid == "a1":
            log(session, req)
        sessions.append(session)

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session, ids=iter(["s2", "s1"]))
    board["alice/a1"].request("session", "/users/bob")
    rung = {"b1": board["bob/b1"].take()}
    if deed is cancel:
        board["alice/a1"].request("end", S2)
    else:
        deed(board, rung)
    assert log.entries == ["close"]
    assert facts(log.session) == {
        "state": "closed",
        "cause": cause,
        "status": status,
        "reason": reason,
        "started": 1000.0,
        "answered": None,
        "ended": board.core.scheduler.time,
    }
    assert (log.session.ended_by, log.session.callee) == (ended_by, {"username": "bob"})


def test_a_call_to_somebody_who_is_not_there_is_a_missed_call():
    log = Log()
    board = Switchboard("alice/a1", on_session=log)
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 404
    assert log.entries == ["close"]
    assert (log.session.cause, log.session.status) == ("unavailable", 404)
    assert log.session.callee == {"username": "bob"}


def test_what_was_told_by_whom_after_the_answer():
    log = Log()
    board = Switchboard("alice/a1", "bob/b1", on_session=log)
    board.open_call()
    board["alice/a1"].drop()
    assert (log.session.cause, log.session.status, log.session.ended_by) == ("offline", 200, ALICE)


def test_an_error_in_what_listens_is_logged_and_harms_nothing(caplog):
    told = []

    def on_session(session, req):
        session.on("open", crash_later)
        session.on("open", told.append)
        session.on("close", told.append)

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    path = board.open_call()
    assert len(told) == 1
    assert summary(board["alice/a1"].request("end", path)) == (200, "session ended")
    assert len(told) == 2
    (record,) = caplog.records
    assert record.message.startswith("error in tests.middleware.test_sessions.crash_later(<Session")
    assert "RuntimeError: secret" in caplog.text


def crash_later(session):
    raise RuntimeError("secret")


def test_what_listens_may_add_more_that_does():
    told = []

    def on_open(session):
        session.on("close", lambda session: told.append(session.cause))

    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: session.on("open", on_open)
    )
    board["alice/a1"].request("end", board.open_call())
    assert told == ["ended"]


def test_what_listens_may_make_things_happen_to_the_call():
    told = []

    def on_session(session, req):
        session.on("progress", lambda session: board["alice/a1"].request("end", S1))
        session.on("close", lambda session: told.append(session.cause))

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    assert told == ["canceled"]
    assert take_end(board["bob/b1"]) == end(reason="canceled")


# Limits and mistakes ---------------------------------------------------------------------


def test_a_peer_can_make_only_so_many_calls_at_a_time():
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", max_sessions=2)
    path = board.open_call()
    board.call()
    answer = board["alice/a1"].request("session", "/users/bob")
    assert summary(answer) == (403, "you have made 2 calls that go on, which is the limit")
    board.call("alice/a2")
    board["alice/a1"].request("end", path)
    board["bob/b1"].take()
    board.call()


def test_who_is_called_by_many_may_call_nevertheless():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", "dave/d1", max_sessions=1)
    board.open_call("alice/a1", "bob/b1")
    board.open_call("carol/c1", "bob/b1")
    board.call("bob/b1", "/users/dave")


def test_by_default_the_number_of_calls_is_limited_too():
    board = Switchboard("alice/a1", "bob/b1")
    for _ in range(MAX_SESSIONS):
        board.call()
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 403


def test_calls_that_the_application_was_asked_about_at_the_same_time_are_counted():
    board = Switchboard("alice/a1", "bob/b1", max_sessions=1, on_session=lambda *_: again())

    def again():
        again_once = calls.pop() if calls else None
        if again_once:
            board["alice/a1"].start_request("session", "/users/bob")

    calls = [True]
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [100, 403]
    assert len(board.all_calls()) == 1


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2", None])
def test_a_limit_that_cannot_work_is_refused(number):
    with pytest.raises(UsageError, match=r"max_sessions=.* at least 1, not "):
        session_handler(_Deaf(), max_sessions=number)


async def coroutine(session, req): ...


@pytest.mark.parametrize("function", [5, coroutine])
def test_an_on_session_that_cannot_be_called_is_refused(function):
    with pytest.raises(UsageError):
        session_handler(_Deaf(), on_session=function)


# Together with a messenger ---------------------------------------------------------------


class Site(Switchboard):
    """Calls and messages at the same place, the calls first."""

    def __init__(self, *names, **options):
        super().__init__(*names, **options)
        self.peers = self.core.application.registry.find
        self.stored = []
        self.core.router._frozen = False
        self.core.router.use("/users", p2p_messenger(self, on_offline=self.store))

    def store(self, req, username):
        self.stored.append(username)


def test_a_message_inside_a_call_goes_to_the_other_party():
    site = Site("alice/a1", "bob/b1", "bob/b2")
    path = site.open_call()
    site["alice/a1"].start_request("message", path, {"text": "hi"})
    assert site["bob/b1"].take()["data"] == {"text": "hi", "sessionPath": path}
    assert site["bob/b2"].take_all() == []


def test_a_message_to_a_user_goes_where_it_goes_without_calls():
    site = Site("alice/a1", "bob/b1")
    site["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    assert site["bob/b1"].take()["data"] == {"text": "hi"}


def test_a_message_to_a_call_that_is_over_is_no_message_to_a_user():
    site = Site("alice/a1", "bob/b1")
    path = site.open_call()
    site["alice/a1"].request("end", path)
    assert summary(site["alice/a1"].request("message", path)) == (404, "session not found")
    assert site.stored == []


@pytest.mark.parametrize("path", ["/users/sessions", "/users/sessions/x1"])
def test_somebody_who_is_called_sessions_gets_messages_and_calls(path):
    site = Site("alice/a1", "sessions/x1")
    site["alice/a1"].start_request("message", path, {"text": "hi"})
    message = site["sessions/x1"].take()
    assert (message["method"], message["data"]) == ("message", {"text": "hi"})
    site["alice/a1"].start_request("session", path)
    assert site["sessions/x1"].take()["method"] == "session"
    assert site.states("sessions/x1") == {S1: "connecting"}
    site["sessions/x1"].request("end", S1)


def test_a_device_whose_uuid_is_that_of_a_call_is_not_taken_for_it():
    site = Site("alice/a1", "bob/b1", "sessions/s1")
    path = site.open_call()
    assert path == S1
    site["alice/a1"].start_request("message", path)
    assert site["bob/b1"].take()["method"] == "message"
    assert site["sessions/s1"].take_all() == []


# Several apps, and nothing kept -----------------------------------------------------------


def test_two_apps_have_calls_of_their_own():
    boards = [Switchboard("alice/a1", "bob/b1"), Switchboard("alice/a1", "bob/b1")]
    path = boards[0].open_call()
    assert summary(boards[1]["alice/a1"].request("hold", path)) == (404, "session not found")


def test_the_application_may_add_to_what_the_devices_are_rung_with():
    def on_session(session, req):
        req.data["name"] = "Alice A."

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    _, rung = board.call(sdp="offer")
    assert rung["b1"]["data"] == {"sdp": "offer", "name": "Alice A.", "sessionPath": S1}


def test_an_offer_that_cannot_be_written_is_answered():
    def on_session(session, req):
        req.data["value"] = object()

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [100, 400]
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})
