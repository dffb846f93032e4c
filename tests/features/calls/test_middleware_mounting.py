"""Calls: limits, mistakes, a messenger at the same place, and several apps."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.response import Response
from protoo_flask.features.calls.middleware import MAX_SESSIONS
from protoo_flask.middleware import p2p_messenger, session_handler
from tests.features.sites import Deaf, status_line

from .switchboards import (
    NOTHING,
    S1,
    S2,
    Switchboard,
)

# Limits and mistakes -------------------------------------------------------------------


def test_the_number_of_calls_made_by_a_peer_is_limited():
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", max_sessions=2)
    path = board.open_call()
    board.call()
    answer = board["alice/a1"].request("session", "/users/bob")
    assert status_line(answer) == (
        429,
        "you have made 2 calls that go on, which is the limit",
    )
    board.call("alice/a2")
    board["alice/a1"].request("end", path)
    board["bob/b1"].take()
    board.call()


def test_calls_to_a_peer_do_not_count_against_its_limit():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", "dave/d1", max_sessions=1)
    board.open_call("alice/a1", "bob/b1")
    board.open_call("carol/c1", "bob/b1")
    board.call("bob/b1", "/users/dave")


def test_by_default_the_number_of_calls_is_limited():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1")
    for number in range(MAX_SESSIONS):
        board.call(path="/users/bob" if number % 2 else "/users/carol")
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 429


def test_calls_made_while_on_session_runs_count_against_the_limit():
    board = Switchboard("alice/a1", "bob/b1", max_sessions=1, on_session=lambda *_: again())

    def again():
        again_once = calls.pop() if calls else None
        if again_once:
            board["alice/a1"].start_request("session", "/users/bob")

    calls = [True]
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [100, 429]
    assert len(board.all_calls()) == 1


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2", None])
def test_a_limit_that_is_not_a_positive_integer_is_refused(number):
    with pytest.raises(UsageError, match=r"max_sessions=.* at least 1, not "):
        session_handler(Deaf(), max_sessions=number)


async def coroutine(session, req): ...


@pytest.mark.parametrize("function", [5, coroutine])
def test_an_on_session_that_cannot_be_called_is_refused(function):
    with pytest.raises(UsageError):
        session_handler(Deaf(), on_session=function)


# Together with a messenger -------------------------------------------------------------


class SiteWithMessages(Switchboard):
    """A site with calls and messages at the same place, the calls first."""

    def mount(self, router, **options):
        super().mount(router, **options)
        self.stored = []
        router.use("/users", p2p_messenger(self, on_offline=self.store))

    def store(self, req, username):
        self.stored.append(username)


def test_a_message_inside_a_call_goes_to_the_other_party():
    site = SiteWithMessages("alice/a1", "bob/b1", "bob/b2")
    path = site.open_call()
    site["alice/a1"].start_request("message", path, {"text": "hi"})
    assert site["bob/b1"].take()["data"] == {"text": "hi", "sessionPath": path}
    assert site["bob/b2"].take_all() == []


def test_a_message_to_a_user_reaches_the_messenger():
    site = SiteWithMessages("alice/a1", "bob/b1")
    site["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    assert site["bob/b1"].take()["data"] == {"text": "hi"}


def test_a_message_to_an_ended_call_does_not_reach_the_messenger():
    site = SiteWithMessages("alice/a1", "bob/b1")
    path = site.open_call()
    site["alice/a1"].request("end", path)
    assert status_line(site["alice/a1"].request("message", path)) == (
        404,
        "session not found",
    )
    assert site.stored == []


@pytest.mark.parametrize("path", ["/users/sessions", "/users/sessions/x1"])
def test_a_user_named_sessions_gets_messages_and_calls(path):
    site = SiteWithMessages("alice/a1", "sessions/x1")
    site["alice/a1"].start_request("message", path, {"text": "hi"})
    message = site["sessions/x1"].take()
    assert (message["method"], message["data"]) == ("message", {"text": "hi"})
    site["alice/a1"].start_request("session", path)
    assert site["sessions/x1"].take()["method"] == "session"
    assert site.states("sessions/x1") == {S1: "connecting"}
    site["sessions/x1"].request("end", S1)


def test_a_call_wins_over_a_device_with_the_same_path():
    site = SiteWithMessages("alice/a1", "bob/b1", "sessions/s1")
    path = site.open_call()
    assert path == S1
    site["alice/a1"].start_request("message", path)
    assert site["bob/b1"].take()["method"] == "message"
    assert site["sessions/s1"].take_all() == []


# Several apps, and data that cannot be written -----------------------------------------


def test_each_app_has_its_own_calls():
    boards = [Switchboard("alice/a1", "bob/b1"), Switchboard("alice/a1", "bob/b1")]
    path = boards[0].open_call()
    assert status_line(boards[1]["alice/a1"].request("hold", path)) == (
        404,
        "session not found",
    )


def test_the_application_may_add_to_the_data_for_the_devices():
    def on_session(session, req):
        req.data["name"] = "Alice A."

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    _, rung = board.call(sdp="offer")
    assert rung["b1"]["data"] == {"sdp": "offer", "name": "Alice A.", "sessionPath": S1}


def test_an_offer_that_cannot_be_written_is_answered_400():
    def on_session(session, req):
        req.data["value"] = object()

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [100, 400]
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


@pytest.mark.parametrize("status", [180, 200])
def test_an_unwritable_provisional_response_is_dropped_and_a_final_one_becomes_500(status):
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    (call,) = board.all_calls()._calls.values()
    (leg,) = call.legs.values()
    leg.transaction.receive(Response(status, "", {"value": object()}, peer=leg.peer))
    told = [message["status"] for message in board["alice/a1"].take_all()]
    assert told == ([] if status == 180 else [500])
    assert board.states("alice/a1") == ({S1: "progress"} if status == 180 else {})


def test_refused_requests_are_not_reported_as_errors_of_the_site():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", max_sessions=1)
    board.call()
    for who, method, path, status in [
        ("carol/c1", "hold", S1, 403),
        ("carol/c1", "end", S1, 403),
        ("bob/b1", "end", S1, 400),
        ("alice/a1", "hold", S2, 404),
        ("alice/a1", "session", "/users/bob", 429),
        ("carol/c1", "session", "/users/carol/c1", 482),
        ("carol/c1", "session", "/users/dave", 404),
    ]:
        assert board[who].request(method, path)["status"] == status
    assert board.core.framework.errors == []
