"""Calls in a cluster: parties that move to another node keep their calls, which stay at home."""

from __future__ import annotations

import pytest

from protoo_flask.features.calls.calls import MAX_RINGING
from tests.cluster.held_frames import HeldFrames
from tests.cluster.in_process import BURIAL_TIME

from .spread_switchboards import spread_switchboard
from .switchboards import S1, end, got, take_end

SESSION = ("session", None)


@pytest.fixture(params=[0, 30], ids=["", "grace period"])
def board(request):
    """A switchboard with Alice at the first and Bob at the second of three nodes."""
    board = spread_switchboard(3)(core_options={"grace_period": request.param})
    board.connect("alice/a1", 0)
    board.connect("bob/b1", 1)
    yield board
    board.finish()


def move(board, name, *nodes):
    """Connect a device to other nodes, one after the other, while it is connected."""
    for node in nodes:
        ids = board[name]._ids
        board.connect(name, node)
        board[name]._ids = ids
    board.hub.run()


#: Where a device goes: elsewhere, to the node of the other party, and there and back.
WAYS = [[2], [1], [2, 0], [1, 2, 0, 1]]


@pytest.mark.parametrize("way", WAYS)
def test_a_caller_that_moves_gets_the_answer_and_is_in_the_call(board, way):
    id, rung = board.call()
    move(board, "alice/a1", *way)
    board["bob/b1"].respond(rung["b1"], 180)
    board["bob/b1"].respond(rung["b1"], 200, "OK", {"sdp": "answer"})
    answers = board["alice/a1"].take_all()
    assert [answer["status"] for answer in answers if answer["id"] == id] == [180, 200]
    assert list(board.states("alice/a1").values()) == ["open"]
    board["alice/a1"].start_request("hold", S1)
    board["bob/b1"].respond(board["bob/b1"].take(), 200)
    assert got(board["alice/a1"]) == [200]
    assert board["alice/a1"].request("end", S1)["status"] == 200
    assert len(board.all_calls()) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_callee_that_moves_stays_in_the_call(board, way):
    board.open_call()
    move(board, "bob/b1", *way)
    board["bob/b1"].start_request("hold", S1)
    board["alice/a1"].respond(board["alice/a1"].take(), 200)
    assert got(board["bob/b1"]) == [200]
    assert list(board.states("bob/b1").values()) == ["open"]
    board["bob/b1"].leave()
    assert take_end(board["alice/a1"]) == end(reason="offline")


@pytest.mark.parametrize("way", WAYS)
def test_a_device_that_moves_while_it_rings_may_answer(board, way):
    board.call()
    got(board["bob/b1"])
    move(board, "bob/b1", *way)
    # It gets the request again, as after any reconnection.
    (request,) = board["bob/b1"].take_all()
    board["bob/b1"].respond(request, 200)
    assert got(board["alice/a1"]) == [200]
    assert list(board.states("bob/b1").values()) == ["open"]


def test_a_party_that_has_moved_is_told_when_the_home_is_lost(board):
    board.open_call()
    move(board, "alice/a1", 2)
    board.hub.kill(board.sites[0].core.cluster)
    board.advance(BURIAL_TIME + 1)
    for name in ("alice/a1", "bob/b1"):
        assert take_end(board[name]) == end(reason="server lost")
        assert board.sessions(name) == []


def test_a_caller_that_has_moved_has_one_answer_when_the_home_is_lost(board):
    id, _ = board.call()
    move(board, "alice/a1", 2)
    board.hub.kill(board.sites[0].core.cluster)
    board.advance(BURIAL_TIME + 1)
    messages = board["alice/a1"].take_all()
    assert [m["status"] // 100 for m in messages if m.get("id") == id and "status" in m] == [5]
    assert [m["data"]["reason"] for m in messages if m.get("method") == "end"] == ["server lost"]


def test_calls_that_ring_at_a_device_count_where_it_has_moved_to(board):
    for number in range(MAX_RINGING):
        name = f"caller{number}/c"
        board.connect(name, number % 3)
        board[name].start_request("session", "/users/bob")
        assert got(board[name]) == [100]
    move(board, "bob/b1", 2)
    board["alice/a1"].start_request("session", "/users/bob")
    assert got(board["alice/a1"]) == [100, 486]


@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]])
def test_glare_is_seen_where_both_callers_have_moved(ids):
    board = spread_switchboard(4)(ids=iter(ids))
    board.connect("alice/a1", 0)
    board.connect("bob/b1", 1)
    frames = HeldFrames(board.hub)
    for name, path in [("alice/a1", "/users/bob"), ("bob/b1", "/users/alice")]:
        board[name].start_request("session", path)
    # Each call is on its way to the other caller, who is elsewhere when it comes.
    held, frames._queues = frames._queues, {}
    frames.stop()
    move(board, "alice/a1", 2)
    move(board, "bob/b1", 3)
    for way, queue in held.items():
        for receiver, frame in queue:
            receiver.arrive(way[0], way[1], frame)
    board.hub.run()
    answers = {name: got(board[name]) for name in ("alice/a1", "bob/b1")}
    assert [491 in answer for answer in answers.values()].count(True) == 1, answers
    assert list(board.states("alice/a1")) == list(board.states("bob/b1")) == [S1]
    board.finish()


@pytest.mark.parametrize("state", ["ringing", "open"])
def test_a_home_without_its_parties_that_is_taken_for_dead_forgets_the_call(state):
    board = spread_switchboard(3)(core_options={"grace_period": 30})
    board.connect("alice/a1", 0)
    board.connect("bob/b1", 1)
    board.open_call() if state == "open" else board.call()
    move(board, "alice/a1", 2)
    home = board.sites[0].core.cluster
    board.hub.stop(home)
    board.advance(BURIAL_TIME + 1)
    board.hub.resume(home)
    board.advance(1)
    assert len(board.all_calls()) == 0
    told = [board[name].take_all()[-1] for name in ("alice/a1", "bob/b1")]
    assert told[1]["data"]["reason"] == "server lost"
    if state == "open":
        assert told[0]["data"]["reason"] == "server lost"
    else:
        assert told[0]["status"] == 503
    board.finish()


@pytest.mark.parametrize("grace_period", [0, 30])
def test_a_caller_gets_the_answer_that_comes_while_it_is_on_its_way_back(grace_period):
    board = spread_switchboard(2)(core_options={"grace_period": grace_period})
    board.connect("alice/a1", 0)
    board.connect("bob/b1", 0)
    id, rung = board.call()
    move(board, "alice/a1", 1)
    frames = HeldFrames(board.hub)
    # While the home waits for what the caller has left at the other node.
    board.hub.clock.on_wait[:] = [
        lambda: board["bob/b1"].respond(rung["b1"], 200),
        *[frames.let_all_arrive] * 10,
    ]
    move(board, "alice/a1", 0)
    board.hub.clock.on_wait.clear()
    frames.stop()
    assert [answer["id"] for answer in board["alice/a1"].take_all()] == [id]
    assert list(board.states("alice/a1").values()) == ["open"]
    board.finish()


def test_a_device_that_has_been_at_two_nodes_and_leaves_is_heard_of_no_more():
    board = spread_switchboard(3)()
    board.connect("alice/a1", 0)
    board.connect("bob/b1", 1)
    board.open_call()
    move(board, "bob/b1", 2, 1)
    frames = HeldFrames(board.hub)
    board["alice/a1"].start_request("end", S1)
    board["bob/b1"].leave()
    # What is said to the device now comes to an end, at whichever node it is looked for.
    for _ in range(100):
        if not frames.ways:
            break
        frames.arrive(frames.ways[0])
    assert frames.ways == []
    frames.stop()
    board.finish()
