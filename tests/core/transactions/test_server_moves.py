"""Requests of a peer that moves from one process to another while they are handled."""

from __future__ import annotations

import pytest

from protoo_flask.core.transactions.inheritance import HandledElsewhere
from protoo_flask.core.transactions.inquiry import fingerprint
from protoo_flask.core.transactions.server import DUPLICATE, NEW, REPEATED
from tests.fakes import Core, FakeScheduler


class GreenletScheduler(FakeScheduler):
    preempts = False


class GreenletCore(Core):
    scheduler_class = GreenletScheduler


class Asked:
    """A request, as its transaction sees it."""

    def __init__(self, id=1, text=b"text", origin="first link"):
        self.id = id
        self.fingerprint = fingerprint(text)
        self.origin = origin
        self.repetition = ()
        self.is_left_open = False


class Process:
    def __init__(self, kind):
        self.core = kind(grace_period=10)
        self.client = self.core.connect("alice", "a1")
        self.requests = self.client.peer.requests
        self.done = []

    def leave(self):
        return self.requests.leave(lambda *done: self.done.append(done))

    def sent(self):
        return [(message["status"], message["id"]) for message in self.client.take_all()]


@pytest.fixture(params=[Core, GreenletCore])
def two(request):
    return Process(request.param), Process(request.param)


def move(source, target, node="source"):
    answers, requests = source.leave()
    target.requests.let_repeat(10)
    target.requests.inherit(
        [HandledElsewhere(a.id, a.fingerprint, (a.payload,)) for a in answers],
        [HandledElsewhere(r.id, r.fingerprint, r.repetition, node) for r in requests],
    )


def again(text=b"text", origin="next link"):
    return Asked(1, text, origin)


# Answers


def test_a_request_that_was_answered_before_the_move_gets_the_same_answer(two):
    here, there = two
    asked = Asked()
    assert here.requests.begin(asked) is NEW
    here.requests.respond(asked, 200, "OK", {"n": 1})
    payload = here.client.link.payloads[-1]
    move(here, there)
    repeated = again()
    assert there.requests.begin(repeated) is REPEATED
    assert repeated.repetition == (payload,)


def test_another_request_with_that_id_is_handled(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    here.requests.respond(asked, 200, "OK", {})
    move(here, there)
    assert there.requests.begin(again(b"other")) is NEW


def test_an_answer_whose_text_is_forgotten_is_still_known(two):
    here, there = two
    there.requests.let_repeat(10)
    there.requests.inherit([HandledElsewhere(1, fingerprint(b"text"), ())], [])
    repeated = again()
    assert there.requests.begin(repeated) is REPEATED
    assert b"409" in repeated.repetition[0]
    assert len(here.requests) == 0


def test_pongs_confirm_answers_that_have_moved(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    here.requests.respond(asked, 200, "OK", {})
    move(here, there)
    assert len(here.requests.answers) == 0
    assert there.requests.mark() == b""  # it may still repeat its requests
    there.core.scheduler.advance(11)
    there.requests.confirm(there.requests.mark())
    assert len(there.requests.answers) == 0


# Requests in progress


def test_a_request_in_progress_is_not_handled_twice(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    here.requests.respond(asked, 180, "ringing", {})
    progress = here.client.link.payloads[-1]
    move(here, there)
    repeated = again()
    assert there.requests.begin(repeated) is REPEATED
    assert repeated.repetition == (progress,)
    assert there.requests.begin(again(b"other")) is NEW


def test_a_request_that_waits_and_is_dropped_after_the_move_is_answered(two):
    here, there = two
    asked = Asked()
    here.requests.begin_waiting(asked)
    move(here, there)
    here.requests.forget(asked)
    [(request, status, payload)] = here.done
    assert (request, status) == (asked, 503)
    assert there.requests.respond_for(request.id, request.fingerprint, status, payload)
    assert there.sent() == [(503, 1)]


def test_a_handler_that_still_runs_answers_by_the_new_owner(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    move(here, there)
    here.requests.respond(asked, 180, "ringing", {})
    here.requests.respond(asked, 200, "OK", {"n": 1})
    assert here.sent() == []
    assert [(status, request) for request, status, _ in here.done] == [(180, asked), (200, asked)]
    for request, status, payload in here.done:
        assert there.requests.respond_for(request.id, request.fingerprint, status, payload)
    assert there.sent() == [(180, 1), (200, 1)]
    assert there.requests.begin(again()) is REPEATED
    # It ends once.
    request, status, payload = here.done[-1]
    assert not there.requests.respond_for(request.id, request.fingerprint, status, payload)


def test_an_answer_that_nobody_waits_for_is_not_told_over_there(two):
    here, there = two
    asked, newer = Asked(), Asked(1, b"newer", "next link")
    here.requests.begin(asked)
    assert here.requests.begin(newer) is NEW
    move(here, there)
    here.requests.respond(asked, 200, "OK", {})
    assert here.done == []
    here.requests.respond(newer, 200, "OK", {})
    assert len(here.done) == 1


def test_a_request_that_has_taken_its_id_over_there_keeps_it(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    move(here, there)
    other = again(b"other")
    assert there.requests.begin(other) is NEW
    here.requests.respond(asked, 200, "OK", {})
    ((request, status, payload),) = here.done
    assert not there.requests.respond_for(request.id, request.fingerprint, status, payload)
    there.requests.respond(other, 201, "", {})
    assert there.sent() == [(201, 1)]


def test_a_request_that_was_left_open_is_answered_over_there(two):
    here, _ = two
    asked = Asked()
    here.requests.begin(asked)
    assert not here.requests.leave_open(asked, b"text")
    here.leave()
    here.requests.respond(asked, 200, "OK", {})
    assert [status for _, status, _ in here.done] == [200]


def test_a_handler_may_leave_its_request_open_after_the_move(two):
    here, _ = two
    asked = Asked()
    here.requests.begin(asked)
    here.leave()
    assert not here.requests.leave_open(asked, b"text" * 100)
    here.requests.respond(asked, 200, "OK", {})
    assert [status for _, status, _ in here.done] == [200]


def test_a_request_that_waits_is_handled_where_it_came(two):
    here, _ = two
    waiting, handled = Asked(), Asked()
    here.requests.begin_waiting(waiting)
    here.leave()
    here.requests.take_up(waiting, handled)
    here.requests.respond(handled, 200, "OK", {})
    assert [(request, status) for request, status, _ in here.done] == [(handled, 200)]


# There and back


def test_a_peer_that_comes_back_is_answered_by_its_handler_directly(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    move(here, there, "here")
    move(there, here, "here")
    here.requests.respond(asked, 200, "OK", {})
    assert here.sent() == [(200, 1)]
    assert here.done == []
    assert there.done == []
    assert there.sent() == []


def test_a_peer_that_leaves_again_before_its_estate_has_come_is_still_answered(two):
    here, _ = two
    asked = Asked()
    here.requests.begin(asked)
    here.leave()
    here.leave()
    here.requests.respond(asked, 200, "OK", {})
    assert [status for _, status, _ in here.done] == [200]


def test_what_was_told_meanwhile_is_repeated_after_the_return(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    move(here, there, "here")
    here.requests.respond(asked, 180, "ringing", {})
    ((request, status, payload),) = here.done
    there.requests.respond_for(request.id, request.fingerprint, status, payload)
    move(there, here, "here")
    repeated = Asked(1, b"text", "third link")
    assert here.requests.begin(repeated) is REPEATED
    assert repeated.repetition == (payload,)


def test_a_request_that_was_replaced_over_there_is_forgotten_after_the_return(two):
    here, there = two
    asked = Asked()
    here.requests.begin(asked)
    move(here, there, "here")
    there.requests.begin(again(b"other"))
    move(there, here, "there")
    here.requests.respond(asked, 200, "OK", {})
    assert here.sent() == []


def test_requests_of_a_process_that_is_gone_are_answered(two):
    here, there = two
    here.requests.begin(Asked(1))
    here.requests.begin(Asked(2))
    move(here, there, "here")
    there.requests.end_for("another", 503, "server lost")
    assert there.sent() == []
    there.requests.end_for("here", 503, "server lost")
    assert there.sent() == [(503, 1), (503, 2)]


def test_a_peer_that_goes_offline_elsewhere_is_told_nothing_more(two):
    here, _ = two
    asked = Asked()
    here.requests.begin(asked)
    here.leave()
    here.requests.forget_all()
    here.requests.respond(asked, 200, "OK", {})
    assert here.done == []


def test_the_same_connection_cannot_repeat_a_request(two):
    here, _ = two
    here.requests.begin(Asked())
    assert here.requests.begin(Asked()) is DUPLICATE
