"""Outbound requests: ids, limits, timers, and the transaction that a response belongs to."""

from __future__ import annotations

import gc
import weakref

from protoo_flask.core.request import Request
from protoo_flask.core.transactions.client import CALLING, TERMINATED
from protoo_flask.core.wire.messages import MAX_ID
from tests.core.transactions.calls import OFFLINE, Call, describe
from tests.fakes import Core

# Starting


def test_ids_count_up_from_the_first_one_of_the_peer():
    core = Core(first_id=lambda: 41)
    bob = core.connect("bob", "b1")
    sent = [bob.peer.send(Request("get")).id for _ in range(3)]
    assert sent == [41, 42, 43] == [message["id"] for message in bob.take_all()]


def test_after_the_largest_id_comes_1():
    core = Core(first_id=lambda: MAX_ID)
    bob = core.connect("bob", "b1")
    assert [bob.peer.send(Request("get")).id for _ in range(2)] == [MAX_ID, 1]


def test_data_that_cannot_be_sent_ends_it_with_a_local_400():
    core = Core()
    bob = core.connect("bob", "b1")
    told = []
    transaction = bob.peer.send(Request("get", {"x": object()}), told.append)
    assert transaction.state == TERMINATED
    assert [(r.status, r.is_local) for r in told] == [(400, True)]
    assert "cannot be written as JSON" in told[0].reason
    assert bob.take_all() == []
    assert core.scheduler.pending_timers == 0


def test_a_request_to_a_peer_that_has_gone_ends_at_once_with_a_local_410():
    core = Core()
    bob = core.connect("bob", "b1")
    bob.drop()
    transaction = bob.peer.send(Request("get"))
    assert describe(transaction.response) == OFFLINE
    assert len(bob.peer.outbound) == core.scheduler.pending_timers == 0


def test_a_request_to_a_link_that_is_closing_ends_at_once_with_a_local_410():
    core = Core()
    bob = core.connect("bob", "b1")
    bob.link.close(1000, "bye")
    assert describe(bob.peer.send(Request("get")).response) == OFFLINE
    assert len(bob.peer.outbound) == core.scheduler.pending_timers == 0


def test_the_size_of_unanswered_requests_is_bounded():
    core = Core()
    bob = core.connect("bob", "b1")
    told = []

    def send():
        return bob.peer.send(Request("get", {"x": "x" * 65_000}), on_response=told.append)

    while not told:
        send()
    (refused,) = told
    assert (refused.status, refused.reason) == (503, "too much is unanswered")
    assert refused.is_local
    assert 100 < len(bob.peer.outbound) < 130
    bob.respond(bob.take(), 200)
    assert send().response is None
    core.scheduler.advance(10)
    assert len(bob.peer.outbound) == bob.peer.outbound.unanswered.size == 0


# Responses


def test_a_response_belongs_to_the_transaction_with_its_id():
    core = Core()
    bob = core.connect("bob", "b1")
    first, second = bob.peer.send(Request("get")), bob.peer.send(Request("get"))
    bob.send({"status": 200, "id": second.id})
    assert (first.state, second.state) == (CALLING, TERMINATED)


def test_a_peer_cannot_answer_for_another():
    core = Core()
    bob, mallory = core.connect("bob", "b1"), core.connect("mallory", "m1")
    transaction = bob.peer.send(Request("get"))
    mallory.send({"status": 200, "id": transaction.id})
    assert transaction.state == CALLING
    assert mallory.peer.outbound.late == 1


def test_late_responses_are_counted_and_not_answered():
    call = Call(TERMINATED)
    call.client.respond(call.sent, 200)
    call.client.send({"status": 180, "id": 999})
    assert call.client.peer.outbound.late == 2
    assert call.client.take_all() == []


def test_thousands_of_requests_in_flight_leave_nothing_behind():
    core = Core()
    bob = core.connect("bob", "b1")

    def ask(n):
        transaction = bob.peer.send(Request("get", {"n": n}), on_response=lambda response: None)
        return weakref.ref(transaction)

    forgotten = [ask(n) for n in range(3000)]
    assert len(bob.peer.outbound) == 3000
    sent = bob.take_all()
    assert len({request["id"] for request in sent}) == 3000
    for request in sent[:1000]:
        bob.respond(request, 200)
    for request in sent[1000:2000]:
        bob.respond(request, 180)
    core.scheduler.advance(10)
    assert len(bob.peer.outbound) == core.scheduler.pending_timers == 0
    gc.collect()
    assert [transaction for transaction in forgotten if transaction() is not None] == []


# Timers


def test_a_transaction_without_a_timeout_has_no_timer():
    core = Core()
    client = core.connect()
    transaction = client.peer.outbound.start(Request("session"), None, None)
    assert core.scheduler.pending_timers == 0
    core.scheduler.advance(100_000)
    assert transaction.state == "calling"


def test_requests_with_the_usual_time_share_a_timer_and_others_have_their_own():
    core = Core(request_timeout=10)
    bob = core.connect("bob", "b1")
    ended = []

    def send(name, **options):
        bob.peer.send(
            Request(name), lambda response: ended.append((name, response.status)), **options
        )
        return len(core.scheduler._timers)

    assert [send("a"), send("b"), send("c", timeout=5), send("d", timeout=10)] == [1, 1, 2, 2]
    bob.respond(bob.take(), 200)
    core.scheduler.advance(4)
    assert send("e") == 2
    core.scheduler.advance(1)
    assert ended == [("a", 200), ("c", 408)]
    core.scheduler.advance(5)
    assert ended[2:] == [("b", 408), ("d", 408)]
    core.scheduler.advance(4)
    assert ended[4:] == [("e", 408)]
    assert len(core.application.runtime.transactions) == core.scheduler.pending_timers == 0


def test_when_the_last_peer_has_gone_no_timer_is_left_for_later():
    core = Core(request_timeout=10)
    bob = core.connect("bob", "b1")
    bob.peer.send(Request("a"))
    bob.leave()
    assert [timer for _, _, timer in core.scheduler._timers if timer.function is not None] == []
    core.connect("bob", "b1").peer.send(Request("a"), (ended := []).append)
    core.scheduler.advance(10)
    assert [response.status for response in ended] == [408]
