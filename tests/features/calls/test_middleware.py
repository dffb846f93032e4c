"""session_handler: the devices that ring, and their answers to the caller."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.transactions.unanswered import MAX_UNANSWERED
from protoo_flask.features.calls.calls import MAX_RINGING
from protoo_flask.middleware import session_handler
from tests.fakes import Core
from tests.features.sites import Deaf, status_line

from .switchboards import (
    ALICE,
    NOTHING,
    S1,
    Switchboard,
    end,
    take_end,
    without_id,
)

# Ringing -------------------------------------------------------------------------------


def test_the_caller_first_gets_the_path_of_the_call():
    board = Switchboard("alice/a1", "bob/b1")
    answer = board["alice/a1"].request("session", "/users/bob", {"sdp": "offer"})
    assert status_line(answer) == (100, "connecting")
    assert answer["data"] == {"sessionPath": S1}
    assert board["alice/a1"].take_all() == []


def test_a_ringing_device_gets_the_data_and_address_of_the_caller():
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
def test_the_addressed_devices_ring_except_the_caller(path, rung):
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2", "carol/c1")
    _, requests = board.call(path=path)
    assert sorted(requests) == rung


@pytest.mark.parametrize("path", ["/users/carol", "/users/bob/b2", "/users/alice", "/users/b%20b"])
def test_a_call_without_any_device_online_is_answered_404(path):
    board = Switchboard("alice/a1", "bob/b1")
    assert status_line(board["alice/a1"].request("session", path)) == (404, "peer not found")
    assert board.left_behind() == NOTHING
    assert board.unfinished() == {}


def test_a_device_cannot_call_itself():
    board = Switchboard("alice/a1", "alice/a2")
    answer = board["alice/a1"].request("session", "/users/alice/a1")
    assert status_line(answer) == (482, "loop detected: this is the device that calls")


def test_a_session_notification_calls_nobody():
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
def test_the_path_of_a_call_is_below_the_mount(mount, path, session_path):
    board = Switchboard("alice/a1", "bob/b1", mount=mount)
    answer = board["alice/a1"].request("session", path)
    assert answer["data"] == {"sessionPath": session_path}
    (request,) = board["bob/b1"].take_all()
    assert request["data"] == {"sessionPath": session_path}
    assert status_line(board["alice/a1"].request("end", session_path)) == (
        200,
        "session canceled",
    )


def test_the_path_for_calls_can_be_chosen():
    board = Switchboard("alice/a1", "bob/b1", path="/call/:username")
    _, rung = board.call(path="/users/call/bob")
    assert rung["b1"]["data"] == {"sessionPath": S1}


def test_a_call_may_ring_longer_than_the_request_timeout():
    board = Switchboard(
        "alice/a1", "bob/b1", core_options={"response_timeout": 60, "request_timeout": 10}
    )
    id, rung = board.call()
    board.core.scheduler.advance(119)
    assert board["alice/a1"].take_all() == []
    board["bob/b1"].respond(rung["b1"], 200)
    assert board["alice/a1"].take()["id"] == id


def test_the_id_of_a_call_cannot_be_guessed():
    core = Core()
    core.router.use("/real", session_handler(Deaf()))
    board = Switchboard("alice/a1", "bob/b1", core=core)
    paths = set()
    for _ in range(MAX_RINGING):
        answer = board["alice/a1"].request("session", "/real/bob")
        paths.add(answer["data"]["sessionPath"])
    assert len(paths) == MAX_RINGING
    assert {len(path) for path in paths} == {len("/real/sessions/") + 22}


# Answers -------------------------------------------------------------------------------


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


def test_a_device_cannot_change_the_path_of_the_call():
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180, data={"sessionPath": "/chat/rooms/42"})
    board["bob/b1"].respond(rung["b1"], 200, data={"sessionPath": "/chat/rooms/42"})
    answers = board["alice/a1"].take_all()
    assert [answer["data"]["sessionPath"] for answer in answers] == [S1, S1]


def test_the_number_of_calls_ringing_at_a_device_is_limited():
    board = Switchboard("alice/a1", "carol/c1", "bob/b1", "bob/b2")
    for _ in range(MAX_RINGING):
        board.call("alice/a1", "/users/bob/b1")
    answer = board["carol/c1"].request("session", "/users/bob/b1")
    assert answer["status"] == 100
    assert (board["carol/c1"].take()["status"], board["bob/b1"].take_all()) == (486, [])
    _, rung = board.call("carol/c1", "/users/bob")
    assert list(rung) == ["b2"]


def test_a_device_that_could_not_be_rung_may_ring_when_it_comes_online_again():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    bob = board["bob/b1"].peer
    bob.outbound.unanswered.size = MAX_UNANSWERED
    _, rung = board.call()
    assert list(rung) == ["b2"]
    bob.outbound.unanswered.size = 0
    board["bob/b1"].leave()
    board.connect("bob/b1")
    assert board["bob/b1"].take()["method"] == "session"


def test_a_mount_too_long_for_the_path_of_a_call_is_answered_414():
    board = Switchboard("alice/a1", "bob/b1", mount="/:team")
    answer = board["alice/a1"].request("session", f"/{'x' * 3000}/bob")
    assert answer["status"] == 414
    assert board["bob/b1"].take_all() == []


@pytest.mark.parametrize("path", ["/:user", "/:uuid?", None, 5])
def test_a_path_without_a_username_is_refused_when_it_is_registered(path):
    with pytest.raises(UsageError, match="takes a path with the parameter :username"):
        session_handler(Deaf(), path)


@pytest.mark.parametrize(("status", "state"), [(100, "connecting"), (101, "progress")])
def test_a_call_is_in_progress_after_a_1xx_above_100(status, state):
    board = Switchboard("alice/a1", "bob/b1")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], status)
    board["alice/a1"].take()
    assert board.states("alice/a1") == {S1: state}


@pytest.mark.parametrize("first", [None, 180])
def test_the_first_device_that_accepts_is_in_the_call(first):
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
def test_a_response_of_a_released_device_is_ignored(late):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 200)
    board["bob/b2"].respond(rung["b2"], late)
    assert board["alice/a1"].take()["status"] == 200
    assert board["alice/a1"].take_all() == []
    assert board.states("alice/a1") == {S1: "open"}
    # The device may believe to be in the call. Its last message says that it is not.
    assert take_end(board["bob/b2"]) == end(reason="answered elsewhere")
    assert status_line(board["bob/b2"].request("hold", S1)) == (
        403,
        "this is not your session",
    )


#: (the reactions of the devices b1, b2, ... in order, the answer to the caller, and the reason
#: in the "end" to devices that still ring)
REJECTIONS = {
    "the-only-one": ([(486, "busy", {"until": "noon"})], (486, "busy", {"until": "noon"}), None),
    "the-lowest-counts": (
        [(488, "no video", {}), (486, "busy", {"n": 1}), (500, "oops", {})],
        (486, "busy", {"n": 1}),
        None,
    ),
    "a-page-without-calls-and-a-busy-phone": (
        [(404, "not found", {}), (486, "busy", {"n": 1})],
        (486, "busy", {"n": 1}),
        None,
    ),
    "a-busy-phone-and-pages-without-calls": (
        [(486, "busy", {}), (405, "", {}), (480, "away", {}), (404, "not found", {})],
        (486, "busy", {}),
        None,
    ),
    "only-pages-without-calls": (
        [(480, "away", {}), (404, "not found", {})],
        (404, "not found", {}),
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
        [(410, "moved out", {}), (480, "", {})],
        (410, "moved out", {}),
        None,
    ),
}


@pytest.mark.parametrize(("deeds", "told", "reason"), REJECTIONS.values(), ids=REJECTIONS)
def test_the_caller_gets_the_best_rejection_when_no_device_accepts(deeds, told, reason):
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


def test_the_other_devices_still_ring_after_one_has_rejected_or_gone():
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", "bob/b3")
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board["bob/b2"].leave()
    board["bob/b3"].respond(rung["b3"], 200)
    assert board["alice/a1"].take()["status"] == 200
    assert board["bob/b1"].take_all() == []


def test_a_call_that_rings_too_long_is_answered_408():
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


@pytest.mark.parametrize(
    ("rejection", "told"),
    [
        ((486, "busy"), (486, "busy")),
        ((302, "moved"), (302, "moved")),
        ((404, "not found"), (408, "request timeout")),
        ((480, "away"), (408, "request timeout")),
        ((503, "overloaded"), (408, "request timeout")),
    ],
    ids=repr,
)
def test_a_call_that_rings_too_long_tells_what_a_device_has_said(rejection, told):
    board = Switchboard("alice/a1", "bob/b1", "bob/b2", core_options={"session_timeout": 30})
    id, rung = board.call()
    board["bob/b1"].respond(rung["b1"], *rejection)
    board.core.scheduler.advance(30)
    answer = board["alice/a1"].take()
    assert (answer["id"], status_line(answer)) == (id, told)
    assert take_end(board["bob/b2"]) == end(reason="timeout")
    assert board.left_behind() == NOTHING


def test_a_device_at_which_no_more_calls_may_ring_counts_as_busy():
    board = Switchboard("alice/a1", "carol/c1", "bob/b1", "bob/b2")
    for _ in range(MAX_RINGING):
        board.call("alice/a1", "/users/bob/b1")
    _, rung = board.call("carol/c1", "/users/bob")
    board["bob/b2"].respond(rung["b2"], 404, "not found")
    assert status_line(board["carol/c1"].take()) == (486, "busy here")


def test_an_answered_call_has_no_time_limit():
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    assert board.core.scheduler.pending_timers == 0
    board.core.scheduler.advance(100_000)
    assert board.states("bob/b1") == {path: "open"}
