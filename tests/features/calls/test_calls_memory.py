"""Calls: the memory that the devices of one user can make them take."""

from __future__ import annotations

import pytest

from protoo_flask.features.calls import calls as calls_module
from protoo_flask.features.calls.call import CALL_SIZE, MAX_REJECTED
from protoo_flask.features.calls.calls import MAX_ENDS
from protoo_flask.features.calls.early_messages import MAX_SIZE
from tests.fakes import postpone
from tests.features.sites import status_line

from .switchboards import NOTHING, S1, Switchboard

FULL = (429, "your calls take too much memory: too much is ringing")


def size(board, username="alice"):
    """Return the bytes that the calls of a user take."""
    made = board.all_calls()._made.get(username, {})
    return sum(call.size for call in made.values())


def start(board, path="/users/bob", caller="alice/a1", **data):
    board[caller].start_request("session", path, data)
    return status_line(board[caller].take_all()[-1])


def take_call_and_device(board):
    """Return the bytes that a call of Alice's takes by itself, and for each ringing device."""
    start(board, "/users/bob/b1", sdp="offer")
    one = size(board)
    start(board, "/users/bob", sdp="offer")
    two = size(board) - one
    for call in list(board.all_calls()._calls.values()):
        board["alice/a1"].request("end", call.session.path)
        board["alice/a1"].take()
    for client in board.clients.values():
        client.take_all()
    return one, two


@pytest.mark.parametrize(("spare", "answer"), [(0, (100, "connecting")), (-1, FULL)])
def test_a_call_is_made_if_the_calls_of_the_user_then_take_no_more_than_the_limit(
    monkeypatch, spare, answer
):
    board = Switchboard("alice/a1", "alice/a2", "bob/b1", "bob/b2")
    one, two = take_call_and_device(board)
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", one + two + spare)
    assert start(board, "/users/bob/b1", sdp="offer") == (100, "connecting")
    # The calls of all devices of the user count.
    assert start(board, "/users/bob", "alice/a2", sdp="offer") == answer
    rung = [message["method"] for message in board["bob/b2"].take_all()]
    assert rung == (["session"] if answer[0] == 100 else [])
    assert size(board) == (one + two if answer[0] == 100 else one)


def test_the_only_call_of_a_user_may_be_larger(monkeypatch):
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", 1)
    board = Switchboard("alice/a1", "bob/b1", "carol/c1")
    assert start(board, sdp="offer") == (100, "connecting")
    assert start(board, sdp="offer") == FULL
    assert start(board, "/users/alice", "carol/c1") == (100, "connecting")


def test_an_offer_of_many_objects_counts_as_more_than_its_text():
    board = Switchboard("alice/a1", "bob/b1")
    start(board, "/users/bob/b1", text="x" * 60_000)
    plain = size(board)
    start(board, "/users/bob/b1", nested=[{"": {"": {}}}] * 4000)
    assert plain < 150_000
    assert size(board) - plain > 2_000_000


def test_an_answered_call_gives_its_memory_back():
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    assert size(board) == CALL_SIZE
    board["alice/a1"].request("end", path)
    assert size(board) == 0


def test_the_data_of_a_call_counts_to_the_end_if_a_listener_may_keep_it():
    def listen(session, req):
        session.on("close", lambda session: req.data)

    board = Switchboard("alice/a1", "bob/b1", on_session=listen)
    _, rung = board.call(nested=[{}] * 1000)
    ringing = size(board)
    board["bob/b1"].respond(rung["b1"], 200, "OK")
    assert size(board) > CALL_SIZE + 1000 * 60
    assert size(board) < ringing


def test_a_device_that_joins_rings_only_if_there_is_space(monkeypatch):
    board = Switchboard("alice/a1", "bob/b1")
    board.call(sdp="offer")
    board.call(path="/users/bob", sdp="offer")
    device = board.all_calls().find("s1")._offer_length
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", size(board) + device)
    rung = board.connect("bob/b2").take_all()
    assert [message["data"]["sessionPath"] for message in rung] == [S1]


def test_early_messages_count_and_are_not_kept_beyond_the_limit(monkeypatch):
    board = Switchboard("alice/a1", "bob/b1")
    board.call()
    board.call()
    before = size(board)
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", before + 500)
    for n in range(5):
        board["alice/a1"].notify("icecandidate", S1, {"n": n})
    assert 500 < size(board) - before < 500 + 300
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", MAX_SIZE)
    kept = [message for message in board.connect("bob/b2").take_all() if "n" in message["data"]]
    assert [message["data"]["n"] for message in kept] == [0, 1]


def test_the_devices_of_a_user_make_no_more_calls_together_than_four_peers():
    names = [f"alice/a{number}" for number in range(1, 7)]
    board = Switchboard(*names, "bob/b1", "carol/c1", max_sessions=2)
    answers = []
    for name in names[1:]:
        answers += [start(board, "/users/bob", name), start(board, "/users/carol", name)]
    assert answers[:8] == [(100, "connecting")] * 8
    refusal = "your devices have made 8 calls that go on, which is the limit"
    assert answers[8:] == [(429, refusal)] * 2
    # Other users may call.
    assert start(board, "/users/carol", "bob/b1") == (100, "connecting")


def test_calls_count_until_their_listeners_have_been_called():
    told = []

    def listen(session, req):
        session.on("close", lambda session: told.append(session.cause))

    spawned = []
    board = Switchboard("alice/a1", on_session=listen, max_sessions=2)
    board.core.scheduler.spawn = postpone(spawned)
    # Nobody is there to be called, so each of the calls has ended at once.
    answers = [start(board) for _ in range(3)]
    refusal = "you have made 2 calls that go on, which is the limit"
    assert answers == [(404, "peer not found")] * 2 + [(429, refusal)]
    assert told == []
    while spawned:
        function, *args = spawned.pop(0)
        function(*args)
    assert told == ["unavailable"] * 2
    assert start(board) == (404, "peer not found")
    while spawned:
        function, *args = spawned.pop(0)
        function(*args)
    assert (board.left_behind(), board.all_calls()._made) == (NOTHING, {})


def test_a_refused_call_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(calls_module, "MAX_SIZE_PER_USER", 1)
    board = Switchboard("alice/a1", "bob/b1")
    path = board.open_call()
    assert start(board) == FULL
    board["alice/a1"].request("end", path)
    for client in board.clients.values():
        client.leave()
    assert (board.left_behind(), board.all_calls()._made) == (NOTHING, {})


def test_a_device_that_answers_no_end_counts_as_busy():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1")
    alice = board["alice/a1"]
    for number in range(1, MAX_ENDS + 1):
        assert start(board) == (100, "connecting")
        assert alice.request("end", f"/users/sessions/s{number}")["status"] == 200
    alice.take_all()
    assert start(board) == (486, "busy here")
    assert start(board, "/users/carol") == (100, "connecting")
    # The device reads its messages, and one of the answers makes place for one call.
    messages = board["bob/b1"].take_all()
    ends = [message for message in messages if message["method"] == "end"]
    assert len(ends) == MAX_ENDS
    board["bob/b1"].respond(ends[0], 200)
    assert start(board) == (100, "connecting")
    alice.request("end", f"/users/sessions/s{MAX_ENDS + 3}")
    alice.take_all()
    assert start(board) == (486, "busy here")
    board["bob/b1"].leave()
    assert board.all_calls()._ends == {}
    board.connect("bob/b1")
    assert start(board) == (100, "connecting")


def test_an_end_that_is_not_answered_in_time_counts_no_more():
    board = Switchboard("alice/a1", "bob/b1")
    start(board)
    board["alice/a1"].request("end", S1)
    assert board.all_calls()._ends == {board["bob/b1"].peer: 1}
    board.advance(60)
    assert board.all_calls()._ends == {}


def test_after_many_rejections_no_more_devices_join_a_call():
    board = Switchboard("alice/a1", "bob/patient")
    start(board)
    rung = 0
    for number in range(MAX_REJECTED + 5):
        client = board.connect(f"bob/b{number}")
        for request in client.take_all():
            rung += 1
            client.respond(request, 486, "busy")
        client.leave()
    assert rung == MAX_REJECTED
    assert board.states("alice/a1") == {S1: "connecting"}
