"""session_handler(on_session=...): refusing calls, and listening to them."""

from __future__ import annotations

import pytest

from protoo_flask import Reject
from protoo_flask.core.functions import name_function
from tests.features.sites import status_line

from .switchboards import (
    ALICE,
    NOTHING,
    S1,
    S2,
    Switchboard,
    end,
    take_end,
)


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
def test_the_application_may_refuse_a_call(on_session, told):
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


def test_the_application_may_reply_provisionally():
    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: req.reply(181, "forwarded")
    )
    board["alice/a1"].start_request("session", "/users/bob")
    assert [message["status"] for message in board["alice/a1"].take_all()] == [181, 100]


def test_a_call_that_times_out_in_on_session_does_not_ring():
    def on_session(session, req):
        board.core.scheduler.advance(60)

    board = Switchboard(
        "alice/a1", "bob/b1", on_session=on_session, core_options={"response_timeout": 60}
    )
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 504
    assert board["bob/b1"].take_all() == []


def test_a_call_does_not_ring_when_the_caller_leaves_in_on_session():
    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: board["alice/a1"].drop()
    )
    board["alice/a1"].start_request("session", "/users/bob")
    assert board["bob/b1"].take_all() == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_an_answer_of_the_application_during_the_ringing_ends_the_call():
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
    """An on_session that writes down the events of its session."""

    def __init__(self):
        self.entries = []
        self.session = None

    def __call__(self, session, req):
        self.session = session
        for event in ("progress", "open", "close"):
            session.on(event, lambda session, event=event: self.entries.append(event))


def test_listeners_are_called_once_for_each_state():
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


def test_the_attributes_of_an_answered_call():
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
def test_the_attributes_of_a_missed_call(deed, cause, status, reason, ended_by):
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


def test_a_call_to_an_offline_user_is_a_missed_call():
    log = Log()
    board = Switchboard("alice/a1", on_session=log)
    assert board["alice/a1"].request("session", "/users/bob")["status"] == 404
    assert log.entries == ["close"]
    assert (log.session.cause, log.session.status) == ("unavailable", 404)
    assert log.session.callee == {"username": "bob"}


def test_the_attributes_of_a_call_whose_caller_went_offline():
    log = Log()
    board = Switchboard("alice/a1", "bob/b1", on_session=log)
    board.open_call()
    board["alice/a1"].drop()
    assert (log.session.cause, log.session.status, log.session.ended_by) == ("offline", 200, ALICE)


def test_an_error_in_a_listener_is_logged_and_the_call_goes_on(caplog):
    told = []

    def on_session(session, req):
        session.on("open", crash_later)
        session.on("open", told.append)
        session.on("close", told.append)

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    path = board.open_call()
    assert len(told) == 1
    assert status_line(board["alice/a1"].request("end", path)) == (200, "session ended")
    assert len(told) == 2
    (record,) = caplog.records
    name = name_function(crash_later)
    assert record.message.startswith(f"error in {name}, called with <Session")
    assert "RuntimeError: secret" in caplog.text


def crash_later(session):
    raise RuntimeError("secret")


def test_a_listener_may_register_listeners():
    told = []

    def on_open(session):
        session.on("close", lambda session: told.append(session.cause))

    board = Switchboard(
        "alice/a1", "bob/b1", on_session=lambda session, req: session.on("open", on_open)
    )
    board["alice/a1"].request("end", board.open_call())
    assert told == ["ended"]


def test_a_listener_may_end_the_call():
    told = []

    def on_session(session, req):
        session.on("progress", lambda session: board["alice/a1"].request("end", S1))
        session.on("close", lambda session: told.append(session.cause))

    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    assert told == ["canceled"]
    assert take_end(board["bob/b1"]) == end(reason="canceled")
