"""Calls leave nothing behind, for each way to end."""

from __future__ import annotations

import gc
import weakref

from protoo_flask import Reject

from .switchboards import NOTHING, Switchboard

CALLS = 10_000


class Story:
    """Calls from Alice to Bob's devices b1 and b2, one after the other."""

    def __init__(self):
        self.sessions = weakref.WeakSet()
        self.seen = 0
        self.closed = []
        self.refuse = False
        self.board = Switchboard(
            *("alice/a1", "bob/b1", "bob/b2"),
            on_session=self.on_session,
            core_options={"grace_period": 5},
        )

    def on_session(self, session, req):
        self.sessions.add(session)
        self.seen += 1
        session.on("close", lambda session: self.closed.append(session.cause))
        self.request = req
        if self.refuse:
            raise Reject(403, "not now")

    def call(self):
        self.board["alice/a1"].start_request("session", "/users/bob", {"sdp": "offer"})
        self.path = self.board["alice/a1"].take()["data"]["sessionPath"]
        self.board["alice/a1"].notify("icecandidate", self.path, {"n": 1})
        self.rung = {
            uuid: self.board[f"bob/{uuid}"].take_all()[0]
            for uuid in ("b1", "b2")
            if f"bob/{uuid}" in self.board.clients
        }

    def respond(self, uuid, status):
        self.board[f"bob/{uuid}"].respond(self.rung[uuid], status, "", {"sdp": "answer"})

    def leave(self, name):
        self.board.clients.pop(name).leave()

    def end(self, name):
        self.board[name].start_request("end", self.path)

    # The ways to end ------------------------------------------------------------------

    def hang_up(self):
        self.call()
        self.respond("b1", 180)
        self.respond("b1", 200)
        self.end("alice/a1")

    def be_hung_up_on(self):
        self.call()
        self.respond("b2", 200)
        self.respond("b1", 200)
        self.end("bob/b2")

    def cancel(self):
        self.call()
        self.respond("b1", 180)
        self.end("alice/a1")

    def time_out(self):
        self.call()
        self.board.core.scheduler.advance(120)

    def reject(self):
        self.call()
        self.respond("b1", 486)
        self.respond("b2", 480)

    def decline(self):
        self.call()
        self.respond("b1", 603)

    def reject_and_go(self):
        self.call()
        self.respond("b1", 486)
        self.leave("bob/b2")

    def go(self):
        self.call()
        self.leave("bob/b1")
        self.leave("bob/b2")

    def caller_goes(self):
        self.call()
        self.leave("alice/a1")

    def caller_goes_later(self):
        self.call()
        self.respond("b1", 200)
        self.leave("alice/a1")

    def callee_goes_later(self):
        self.call()
        self.respond("b1", 200)
        self.leave("bob/b1")

    def callee_drops_later(self):
        self.call()
        self.respond("b1", 200)
        self.board.clients.pop("bob/b1").drop()
        self.board.core.scheduler.advance(5)

    def somebody_joins(self):
        self.call()
        self.board.connect("bob/b3")
        (request, _) = self.board["bob/b3"].take_all()
        self.board["bob/b3"].respond(request, 200)
        self.end("bob/b3")
        self.leave("bob/b3")

    def nobody_is_there(self):
        self.board["alice/a1"].start_request("session", "/users/nobody")

    def is_refused(self):
        self.refuse = True
        self.board["alice/a1"].start_request("session", "/users/bob")
        self.refuse = False

    def application_answers(self):
        self.call()
        self.request.reply(302, "voice mail")
        self.respond("b1", 200)

    def call_each_other(self):
        self.call()
        self.board["bob/b1"].start_request("session", "/users/alice")
        for call in list(self.board.all_calls()._calls.values()):
            self.board[f"{call.caller.username}/{call.caller.uuid}"].start_request(
                "end", call.session.path
            )

    WAYS = (
        *(hang_up, be_hung_up_on, cancel, time_out, reject, decline, reject_and_go, go),
        *(caller_goes, caller_goes_later, callee_goes_later, callee_drops_later),
        *(somebody_joins, nobody_is_there, is_refused, call_each_other, application_answers),
    )

    def clean_up(self):
        """Answer all open requests, and connect the clients that have gone."""
        for name in ("alice/a1", "bob/b1", "bob/b2"):
            if name not in self.board.clients:
                self.board.connect(name)
        for client in self.board.clients.values():
            for message in client.take_all():
                if "method" in message and "id" in message:
                    client.respond(message, 200)


def test_ten_thousand_calls_that_end_in_every_way_leave_nothing():
    story = Story()
    for number in range(CALLS):
        way = Story.WAYS[number % len(Story.WAYS)]
        way(story)
        assert story.board.left_behind() == NOTHING, way
        story.clean_up()
    assert story.seen >= CALLS
    assert set(story.closed) == {
        *("ended", "canceled", "timeout", "rejected", "declined", "gone", "offline"),
        *("unavailable", "glare", "failed"),
    }
    # The fakes keep canceled timers, and errors with their tracebacks.
    story.board.core.scheduler.advance(1000)
    story.board.core.framework.errors.clear()
    story.request = None
    assert story.board.core.scheduler.pending_timers == 0
    assert story.board.unfinished() == {}
    gc.collect()
    assert len(story.sessions) == 0


def test_calls_do_not_keep_a_closed_app_in_memory():
    # A ``now`` of the fake scheduler would keep the scheduler, and with it the timers.
    board = Switchboard("alice/a1", "bob/b1", now=lambda: 0.0)
    board.open_call()
    handlers = board.listeners  # a Protoo would keep these
    kept = weakref.ref(board.all_calls())
    for name in list(board.clients):
        board.clients.pop(name).leave()
    registry = weakref.ref(board.core.application.directory)
    board.core = None
    gc.collect()
    gc.collect()  # the calls are a circle of their own, found only after the first
    assert handlers
    assert (registry(), kept()) == (None, None)
