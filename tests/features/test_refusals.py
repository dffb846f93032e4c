"""Refusals because of limits: each at its edge, answered by its class, counted, and logged once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from protoo_flask.core.observer import Observer
from protoo_flask.core.occasions import QUIET
from protoo_flask.core.request import Request
from protoo_flask.core.transactions import unanswered as unanswered_module
from protoo_flask.features.rooms import rooms as rooms_module
from tests.fakes import Core

from .calls.switchboards import S1, Switchboard
from .presence.presence_sites import PresenceSite
from .rooms.room_sites import RoomSite


class Refusals(Observer):
    """Notes the limits that are told."""

    def __init__(self):
        self.told = []

    def limited(self, limit, peer):
        self.told.append((limit, None if peer is None else f"{peer.username}/{peer.uuid}"))


@pytest.fixture
def observer():
    return Refusals()


def answer_to(client, method, path, data=None):
    answer = client.request(method, path, data)
    return answer["status"], answer["reason"], answer.get("data") or {}


def test_calls(observer, caplog):
    board = Switchboard("alice/a1", "bob/b1", max_sessions=2, core_options={"observer": observer})
    alice = board["alice/a1"]
    board.call()
    board.call()
    assert observer.told == []
    refusal = "you have made 2 calls that go on, which is the limit"
    for _ in range(3):
        assert answer_to(alice, "session", "/users/bob") == (429, refusal, {})
    assert observer.told == [("calls", "alice/a1")] * 3
    line = f"a limit is reached: calls, of <Peer alice/a1 online>: {refusal}"
    assert caplog.messages == [line]
    assert alice.request("end", S1)["status"] in (200, 487)
    alice.take_all()
    board["bob/b1"].take_all()
    board.call()
    board.core.scheduler.advance(QUIET + 1)
    assert answer_to(alice, "session", "/users/bob")[0] == 429
    assert caplog.messages == [line] * 2


def test_rooms(observer, caplog):
    site = RoomSite("alice/a1", max_rooms=2, core_options={"observer": observer})
    alice = site["alice/a1"]
    for n in (1, 2, 2):
        assert answer_to(alice, "session", f"/chat/rooms/{n}")[0] == 200
    refusal = "you are in 2 rooms already, which is the limit"
    for _ in range(2):
        assert answer_to(alice, "session", "/chat/rooms/3") == (429, refusal, {})
    assert observer.told == [("rooms", "alice/a1")] * 2
    assert caplog.messages == [f"a limit is reached: rooms, of <Peer alice/a1 online>: {refusal}"]
    assert alice.request("end", "/chat/rooms/1")["status"] == 200
    assert answer_to(alice, "session", "/chat/rooms/3")[0] == 200


def test_the_members_of_a_room(observer, caplog):
    options = {"core_options": {"observer": observer}}
    site = RoomSite("alice/a1", "bob/b1", "carol/c1", max_peers=2, **options)
    for name in ("alice/a1", "bob/b1"):
        assert answer_to(site[name], "session", "/chat/rooms/1")[0] == 200
    for _ in range(2):
        answer = answer_to(site["carol/c1"], "session", "/chat/rooms/1")
        assert answer == (503, "room is full", {})
    assert observer.told == [("members", "carol/c1")] * 2
    # Nobody's code has failed: a line, and no traceback.
    assert [record.exc_info for record in caplog.records] == [None]
    assert site["bob/b1"].request("end", "/chat/rooms/1")["status"] == 200
    assert answer_to(site["carol/c1"], "session", "/chat/rooms/1")[0] == 200


def test_events_of_rooms_tell_when_to_come_back(observer, monkeypatch):
    monkeypatch.setattr(rooms_module, "MAX_UNTOLD", 0)
    site = RoomSite("alice/a1", core_options={"observer": observer})
    alice = site["alice/a1"]
    assert answer_to(alice, "session", "/chat/rooms/1")[0] == 200
    (rooms,) = site.services().values()
    rooms._untold["alice"] = 1
    status, reason, data = answer_to(alice, "session", "/chat/rooms/2")
    assert (status, data) == (429, {"retryAfter": 5.0})
    assert reason == "you have joined and left too often for the site to follow"
    assert observer.told == [("events", "alice/a1")]
    del rooms._untold["alice"]
    assert answer_to(alice, "session", "/chat/rooms/2")[0] == 200


def test_subscriptions(observer, caplog):
    site = PresenceSite(max_subscriptions=1, core_options={"observer": observer})
    alice = site.connect("alice/a1")
    assert answer_to(alice, "subscribe", "/presence/bob")[0] == 200
    refusal = "you watch 1 users already, which is the limit"
    for _ in range(2):
        assert answer_to(alice, "subscribe", "/presence/carol") == (429, refusal, {})
    assert observer.told == [("subscriptions", "alice/a1")] * 2
    assert len(caplog.messages) == 1
    assert alice.request("unsubscribe", "/presence/bob")["status"] == 200
    assert answer_to(alice, "subscribe", "/presence/carol")[0] == 200


def test_ringing(observer):
    options = {"observer": observer}
    board = Switchboard("alice/a1", "bob/b1", max_sessions=20, core_options=options)
    for _ in range(8):
        assert answer_to(board["alice/a1"], "session", "/users/bob")[0] == 100
        board["alice/a1"].take_all()
    assert observer.told == []
    board["alice/a1"].start_request("session", "/users/bob")
    answers = [answer["status"] for answer in board["alice/a1"].take_all()]
    assert answers[-1] == 486
    assert observer.told == [("ringing", "bob/b1")]


# In the core ---------------------------------------------------------------------------------


def test_unanswered_requests(observer, caplog, monkeypatch):
    monkeypatch.setattr(unanswered_module, "MAX_UNANSWERED", 2200)
    core = Core(observer=observer)
    bob = core.connect("bob", "b1")
    sent = [bob.peer.send(Request("get", {"x": "x"})) for _ in range(4)]
    assert [transaction.response and transaction.response.status for transaction in sent] == [
        *(None, None, 503, 503)
    ]
    assert sent[2].response.data == {"retryAfter": 5}
    assert observer.told == [("unanswered", "bob/b1")] * 2
    assert caplog.messages == [
        "a limit is reached: unanswered, of <Peer bob/b1 online>: too much is unanswered"
    ]
    bob.respond(bob.take(), 200)
    assert bob.peer.send(Request("get", {"x": "x"})).response is None


def test_bad_messages(observer):
    core = Core(observer=observer)
    client = core.connect("alice", "a1")
    for _ in range(19):
        client.send_raw(b"nonsense")
    assert observer.told == []
    client.send_raw(b"nonsense")
    assert observer.told == [("bad_messages", "alice/a1")]


def test_a_mailbox_that_is_full(observer):
    core = Core(observer=observer, grace_period=60, max_waiting=1000)
    alice = core.connect("alice", "a1")
    peer = alice.peer
    alice.drop()
    for _ in range(8):
        peer.notify("news", {"text": "x" * 10})
    assert ("mailbox", "alice/a1") in observer.told
    assert not peer.is_listed


def test_a_limit_of_a_device_that_is_unknown_here_is_told_by_its_user(observer, caplog):
    runtime = Core(observer=observer).application.runtime
    for username in ("alice\n", "alice\n", "bob"):
        runtime.limited("visits", None, "too much", username)
    assert observer.told == [("visits", None)] * 3
    assert caplog.messages == [
        "a limit is reached: visits, of alice\\n: too much",
        "a limit is reached: visits, of bob: too much",
    ]


def test_nobody_is_told_while_the_lock_of_a_feature_is_held():
    """A log may block; it is written by a greenlet of its own."""
    started = []
    runtime = Core().application.runtime
    runtime.scheduler.spawn = lambda function, *args: started.append((function, args))
    runtime.limited("calls", SimpleNamespace(username="alice"), "too many")
    assert [function for function, _ in started] == [runtime.warn]
