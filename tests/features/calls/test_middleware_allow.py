"""session_handler(allow=...): the application decides who may call whom."""

from __future__ import annotations

import pytest

from protoo_flask import Reject
from protoo_flask.features.calls.middleware import MAX_SESSIONS
from tests.fakes import Core
from tests.features.sites import status_line

from .switchboards import NOTHING, S1, Switchboard

REFUSED = (403, "you may not call this user")


class Friends:
    """An ``allow`` for pairs of usernames, that keeps its arguments."""

    def __init__(self, *pairs):
        self.pairs = pairs
        self.asked = []

    def __call__(self, peer, username):
        self.asked.append((peer, username))
        return (peer.username, username) in self.pairs


def nobody(peer, username):
    return False


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1", "/users/%62ob"])
def test_allow_gets_the_calling_peer_and_the_called_user(path):
    friends = Friends(("alice", "bob"))
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", allow=friends)
    board.call(path=path)
    answer = board["alice/a1"].request("session", "/users/carol")
    assert status_line(answer) == REFUSED
    assert answer["data"] == {}
    assert board["carol/c1"].take_all() == []
    alice = board["alice/a1"].peer
    assert friends.asked == [(alice, "bob"), (alice, "carol")]


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1", "/users/bob/b9", "/users/nobody"])
def test_a_refused_caller_cannot_tell_who_is_there(path):
    sessions = []
    board = Switchboard(
        *("alice/a1", "bob/b1", "bob/b2"),
        allow=nobody,
        on_session=lambda session, req: sessions.append(session),
    )
    assert status_line(board["alice/a1"].request("session", path)) == REFUSED
    board["alice/a1"].notify("session", path)
    assert [client.take_all() for client in board.clients.values()] == [[], [], []]
    assert sessions == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_refused_calls_do_not_count():
    friends = Friends(("alice", "bob"))
    board = Switchboard("alice/a1", "bob/b1", allow=friends)
    for _ in range(MAX_SESSIONS + 1):
        assert status_line(board["alice/a1"].request("session", "/users/carol")) == REFUSED
    board.call()


@pytest.mark.parametrize("path", ["/users/alice", "/users/alice/a2"])
def test_allow_is_asked_about_the_callers_own_user_too(path):
    board = Switchboard("alice/a1", "alice/a2", allow=nobody)
    assert status_line(board["alice/a1"].request("session", path)) == REFUSED
    assert board["alice/a2"].take_all() == []


def test_allow_is_asked_once_for_a_call():
    friends = Friends(("alice", "bob"))
    board = Switchboard("alice/a1", "bob/b1", allow=friends)
    _, rung = board.call()
    board.connect("bob/b2")
    joined = board["bob/b2"].take()
    assert joined["method"] == "session"
    board["alice/a1"].start_request("icecandidate", S1)
    for uuid, request in (("b1", rung["b1"]), ("b2", joined)):
        board[f"bob/{uuid}"].take()
        board[f"bob/{uuid}"].respond(request, 200 if uuid == "b2" else 486)
    board["bob/b2"].start_request("hold", S1)
    board["alice/a1"].request("end", S1)
    assert friends.asked == [(board["alice/a1"].peer, "bob")]


def test_allow_comes_before_on_session():
    order = []

    def allow(peer, username):
        order.append("allow")
        return True

    board = Switchboard(
        *("alice/a1", "bob/b1"),
        allow=allow,
        on_session=lambda session, req: order.append("on_session"),
    )
    board.call()
    assert order == ["allow", "on_session"]


def reject(peer, username):
    raise Reject(402, "calls are for paying members")


def fail(peer, username):
    raise KeyError("no such table")


@pytest.mark.parametrize(
    ("allow", "answer"),
    [
        (reject, (402, "calls are for paying members")),
        (fail, (500, "internal server error")),
        (lambda peer, username: None, REFUSED),
    ],
)
def test_a_refusal_or_error_of_allow_is_the_answer(allow, answer):
    board = Switchboard("alice/a1", "bob/b1", allow=allow)
    assert status_line(board["alice/a1"].request("session", "/users/bob")) == answer
    assert board["bob/b1"].take_all() == []
    assert board.left_behind() == NOTHING


def test_a_call_that_times_out_in_allow_rings_nowhere():
    core = Core(response_timeout=60)
    sessions = []

    def think(peer, username):
        core.scheduler.advance(61)
        return True

    board = Switchboard(
        *("alice/a1", "bob/b1"),
        core=core,
        allow=think,
        on_session=lambda session, req: sessions.append(session),
    )
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 504
    assert board["bob/b1"].take_all() == []
    assert sessions == []
    assert board.left_behind() == NOTHING


def test_a_caller_that_leaves_while_allow_is_asked_rings_nowhere():
    def leave(peer, username):
        board["alice/a1"].leave()
        return True

    board = Switchboard("alice/a1", "bob/b1", allow=leave)
    board["alice/a1"].start_request("session", "/users/bob")
    assert board["bob/b1"].take_all() == []
    assert board.left_behind() == NOTHING


def test_without_allow_everybody_may_call_everybody():
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
