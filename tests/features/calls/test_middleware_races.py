"""Calls under threads: two events at the same moment have one outcome."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.core.response import Response
from tests.fakes import Core, FakeScheduler
from tests.features.contention import PATIENCE, ContendedLock

from .switchboards import NOTHING, S1, Switchboard, got


class CountedLock(ContendedLock):
    """A lock that counts how many locks its thread holds."""

    held = threading.local()

    def __enter__(self):
        super().__enter__()
        self.held.count = self.count() + 1

    def __exit__(self, *exc_info):
        self.held.count -= 1
        super().__exit__(*exc_info)

    @classmethod
    def count(cls):
        """Return how many locks this thread holds."""
        return getattr(cls.held, "count", 0)


class ThreadedScheduler(FakeScheduler):
    """A scheduler with locks that block threads."""

    def __init__(self):
        super().__init__()
        self.contended = threading.Event()

    def lock(self):
        return CountedLock(self.contended)


class ThreadedCore(Core):
    """A core that may be used by several threads."""

    scheduler_class = ThreadedScheduler


def make_board(*names, **options):
    return Switchboard(*names, core=ThreadedCore(**options.pop("core_options", {})), **options)


def at_the_same_time(board, first, second):
    """Do ``first``, and ``second`` in another thread while the first message is being sent.

    The other thread gets as far as it can: to a lock, or to its end.
    """
    contended = board.core.scheduler.contended
    threads = []

    def second_and_tell():
        second()
        contended.set()

    def begin():
        if not threads:
            threads.append(threading.Thread(target=second_and_tell))
            contended.clear()
            threads[0].start()
            assert contended.wait(PATIENCE)

    for client in board.clients.values():
        hook(client.link, begin)
    first()
    assert threads, "nothing was sent"
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


def hook(link, function):
    send = link.send

    def hooked(payload, id=None):
        function()
        return send(payload, id)

    link.send = hooked


class Story:
    """A call that rings at two devices of Bob's, or is open with the first of them."""

    def __init__(self, state="ringing", **options):
        self.board = make_board("alice/a1", "bob/b1", "bob/b2", **options)
        self.alice, self.bob, self.other = (
            self.board[name] for name in ("alice/a1", "bob/b1", "bob/b2")
        )
        if state == "open":
            self.board.open_call()
        else:
            _, self.rung = self.board.call()

    def accept(self):
        self.bob.respond(self.rung["b1"], 200)

    def other_accepts(self):
        self.other.respond(self.rung["b2"], 200)

    def decline(self):
        self.other.respond(self.rung["b2"], 603)

    def end(self):
        self.alice.start_request("end", S1)

    def bob_ends(self):
        self.bob.start_request("end", S1)

    def caller_drops(self):
        self.alice.drop()

    def callee_drops(self):
        self.bob.drop()

    def expire(self):
        self.board.core.scheduler.advance(120)

    def join(self):
        self.late = self.board.connect("bob/b3")

    def candidate(self):
        self.alice.notify("icecandidate", S1)


ELSEWHERE = ("end", "answered elsewhere")
SESSION = ("session", None)

#: (first event, second event): the messages to Alice, b1, b2 and, if it has joined, b3
RINGING = {
    ("accept", "other_accepts"): ([200], [], [ELSEWHERE]),
    ("other_accepts", "accept"): ([200], [ELSEWHERE], []),
    ("accept", "decline"): ([200], [], [ELSEWHERE]),
    ("decline", "accept"): ([603], [("end", "declined elsewhere")], []),
    # Either the call is open when the "end" arrives, or it has ended when the answer arrives.
    ("accept", "end"): ([200, 200], [("end", None)], [ELSEWHERE]),
    ("end", "accept"): ([200, 487], [("end", "canceled")], [("end", "canceled")]),
    # A client that has dropped gets nothing.
    ("accept", "caller_drops"): ([], [("end", "offline")], [ELSEWHERE]),
    ("accept", "callee_drops"): ([200, ("end", "offline")], [], [ELSEWHERE]),
    ("accept", "join"): ([200], [], [ELSEWHERE], []),
    ("decline", "join"): ([603], [("end", "declined elsewhere")], [], []),
    ("end", "join"): ([200, 487], [("end", "canceled")], [("end", "canceled")], []),
    ("accept", "expire"): ([200], [], [ELSEWHERE]),
    ("expire", "accept"): ([408], [("end", "timeout")], [("end", "timeout")]),
    ("expire", "end"): ([408, 404], [("end", "timeout")], [("end", "timeout")]),
    ("expire", "caller_drops"): ([], [("end", "timeout")], [("end", "timeout")]),
    ("candidate", "accept"): (
        [200],
        [("icecandidate", None)],
        [("icecandidate", None), ELSEWHERE],
    ),
    ("accept", "candidate"): ([200], [("icecandidate", None)], [ELSEWHERE]),
    ("candidate", "join"): (
        [],
        [("icecandidate", None)],
        [("icecandidate", None)],
        [SESSION, ("icecandidate", None)],
    ),
}


@pytest.mark.parametrize(("first", "second"), RINGING, ids=map(" x ".join, RINGING))
def test_two_events_at_once_in_a_ringing_call(first, second):
    story = Story()
    at_the_same_time(story.board, getattr(story, first), getattr(story, second))
    alice, bob, other, *late = RINGING[first, second]
    assert (got(story.alice), got(story.bob), got(story.other)) == (alice, bob, other)
    if late:
        assert got(story.late) == late[0]


OPEN = {
    ("end", "bob_ends"): ([200], [("end", None), 404]),
    ("bob_ends", "end"): ([("end", None), 404], [200]),
    ("end", "callee_drops"): ([200], []),
    ("end", "candidate"): ([200], [("end", None)]),
    ("candidate", "bob_ends"): ([("end", None)], [("icecandidate", None), 200]),
}


@pytest.mark.parametrize(("first", "second"), OPEN, ids=map(" x ".join, OPEN))
def test_two_events_at_once_in_an_open_call(first, second):
    story = Story("open")
    at_the_same_time(story.board, getattr(story, first), getattr(story, second))
    assert (got(story.alice), got(story.bob)) == OPEN[first, second]
    assert story.board.left_behind() == NOTHING


@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]])
def test_two_peers_that_call_each_other_at_once(ids):
    board = make_board("alice/a1", "bob/b1", ids=iter(ids))
    at_the_same_time(
        board,
        lambda: board["alice/a1"].start_request("session", "/users/bob"),
        lambda: board["bob/b1"].start_request("session", "/users/alice"),
    )
    first, second = got(board["alice/a1"]), got(board["bob/b1"])
    if ids == ["s1", "s2"]:
        assert (first, second) == ([100], [SESSION, 491])
    else:
        assert (first, second) == ([100, 491, SESSION], [SESSION, ("end", "glare"), 100])
    assert list(board.states("alice/a1")) == [S1]


def test_a_device_that_is_rung_before_its_online_is_told_rings_once():
    # The device is listed, so it is rung. Its "online" is told a moment later.
    board = make_board("alice/a1", "bob/b1")
    listening = list(board.listeners)

    def call_first(event):
        if event.name == "peer_online" and event.subject.uuid == "b2":
            board["alice/a1"].start_request("session", "/users/bob")

    board.core.framework.on_event.insert(0, call_first)
    board.connect("bob/b2")
    assert got(board["bob/b2"]) == [SESSION]
    assert board.listeners == listening


def test_two_devices_that_accept_at_once_give_one_answer():
    # Both transactions have received a 2xx before either of them reaches the call.
    board = make_board("alice/a1", "bob/b1", "bob/b2")
    board.call()
    (call,) = board.all_calls()._calls.values()
    legs = list(call.legs.values())
    for leg in legs:
        board.all_calls().take_response(call, leg, Response(200, leg.peer.uuid, peer=leg.peer))
    assert [message["reason"] for message in board["alice/a1"].take_all()] == ["b1"]
    assert got(board["bob/b2"]) == [ELSEWHERE]


def test_an_answer_handled_after_the_device_has_left_is_ignored():
    board = make_board("alice/a1", "bob/b1")
    board.call()
    (call,) = board.all_calls()._calls.values()
    (leg,) = call.legs.values()
    board.all_calls().leave(leg.peer)
    board.all_calls().take_response(call, leg, Response(200, peer=leg.peer))
    assert got(board["alice/a1"]) == [410]
    assert board.left_behind() == NOTHING


def test_a_timer_that_fires_after_the_answer_changes_nothing():
    story = Story("open")
    (call,) = story.board.all_calls()._calls.values()
    story.board.all_calls().expire(call)
    assert (got(story.alice), got(story.bob)) == ([], [])
    assert story.board.states("alice/a1") == {S1: "open"}


@pytest.mark.parametrize("closing", [["b1"], ["b1", "b2"]])
def test_a_device_with_a_closing_connection_counts_as_gone_at_once(closing):
    board = make_board("alice/a1", "bob/b1", "bob/b2")
    for uuid in closing:
        board[f"bob/{uuid}"].link.close(1000, "")
    board["alice/a1"].start_request("session", "/users/bob")
    if len(closing) == 2:
        assert got(board["alice/a1"]) == [100, 410]
        assert board.left_behind() == NOTHING
    else:
        assert got(board["alice/a1"]) == [100]
        assert got(board["bob/b2"]) == [SESSION]


def test_a_caller_found_gone_while_the_100_is_sent_rings_no_device():
    board = make_board("alice/a1", "bob/b1")
    hook(board["alice/a1"].link, board["alice/a1"].drop)
    board["alice/a1"].start_request("session", "/users/bob")
    assert board["bob/b1"].take_all() == []
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})
    assert board.core.scheduler.pending_timers == 0


def test_a_caller_found_gone_while_the_answer_is_sent_is_in_no_call():
    story = Story()
    hook(story.alice.link, story.alice.drop)
    story.accept()
    assert got(story.bob) == got(story.other) == [("end", "offline")]
    assert (story.board.left_behind(), len(story.board.all_calls())) == (NOTHING, 0)


@pytest.mark.parametrize("first", ["b1", "b2"])
def test_a_device_found_gone_while_it_is_rung_does_not_ring(first):
    board = make_board("alice/a1", "bob/b1", "bob/b2")
    gone = board[f"bob/{first}"]
    hook(gone.link, gone.drop)
    board["alice/a1"].start_request("session", "/users/bob")
    assert got(board["alice/a1"]) == [100]
    assert board.states("alice/a1") == {S1: "connecting"}
    other = board["bob/b2" if first == "b1" else "bob/b1"]
    other.respond(other.take(), 486)
    assert got(board["alice/a1"]) == [486]
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_an_answer_that_cannot_be_written_ends_the_call():
    board = make_board("alice/a1", "bob/b1", "bob/b2")
    board.call()
    (call,) = board.all_calls()._calls.values()
    leg = next(iter(call.legs.values()))
    leg.transaction.receive(Response(200, "", {"sdp": object()}, peer=leg.peer))
    assert got(board["alice/a1"]) == [500]
    assert got(board["bob/b1"]) == got(board["bob/b2"]) == [("end", "failed")]
    assert board.left_behind() == NOTHING


def test_an_end_that_cannot_be_written_is_replaced_by_one_from_the_server():
    board = make_board("alice/a1", "bob/b1")
    path = board.open_call()
    (call,) = board.all_calls()._calls.values()
    with board.all_calls().lock:
        call.close("ended", by=call.caller, data={"why": object()})
    assert [message["data"] for message in board["bob/b1"].take_all()] == [
        {"sessionPath": path, "reason": "ended"}
    ]


def test_listeners_run_without_any_lock():
    held = []

    def on_session(session, req):
        held.append(CountedLock.count())
        for event in ("progress", "open", "close"):
            session.on(event, lambda session: held.append(CountedLock.count()))

    story = Story(on_session=on_session)
    story.bob.respond(story.rung["b1"], 180)
    story.accept()
    story.caller_drops()
    assert held == [0, 0, 0, 0]


def test_listeners_of_one_call_run_one_at_a_time_in_order():
    entries = []
    story = None

    def on_progress(session):
        entries.append("progress begins")
        thread = threading.Thread(target=story.end)
        thread.start()
        thread.join(PATIENCE)
        entries.append("progress ends")

    def on_session(session, req):
        session.on("progress", on_progress)
        session.on("close", lambda session: entries.append("close"))

    story = Story(on_session=on_session)
    story.bob.respond(story.rung["b1"], 180)
    assert got(story.alice) == [180, 200, 487]
    assert entries == ["progress begins", "progress ends", "close"]


def while_looking(board, function):
    """Do something after the directory has been asked who is there; returns the locks held."""
    directory = board.core.application.directory
    find, held = directory.find, []

    def find_first(*args):
        found = find(*args)
        del directory.find
        held.append(CountedLock.count())
        function()
        return found

    directory.find = find_first
    return held


def test_nobody_holds_the_lock_while_the_directory_is_asked():
    board = make_board("alice/a1", "bob/b1")
    held = while_looking(board, lambda: None)
    board["alice/a1"].start_request("session", "/users/bob")
    assert held == [0]


@pytest.mark.parametrize("others", [[], ["bob/b2"]])
def test_a_device_that_comes_while_the_directory_is_asked_rings_once(others):
    board = make_board("alice/a1", *others)
    while_looking(board, lambda: board.connect("bob/b1"))
    board["alice/a1"].start_request("session", "/users/bob")
    assert got(board["alice/a1"]) == [100]
    assert [got(board[name]) for name in ["bob/b1", *others]] == [[SESSION]] * (1 + len(others))


def test_a_call_whose_caller_goes_while_the_directory_is_asked_rings_nowhere():
    board = make_board("alice/a1", "bob/b1")
    while_looking(board, board["alice/a1"].drop)
    board["alice/a1"].start_request("session", "/users/bob")
    assert got(board["bob/b1"]) == []
    assert (board.left_behind(), board.all_calls()._made) == (NOTHING, {})


def test_a_question_to_the_directory_that_fails_leaves_no_call_behind():
    board = make_board("alice/a1", "bob/b1")

    def fail():
        raise MemoryError

    while_looking(board, fail)
    board["alice/a1"].start_request("session", "/users/bob")
    assert got(board["alice/a1"]) == [500]
    assert (board.left_behind(), board.all_calls()._made) == (NOTHING, {})
