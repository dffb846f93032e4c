"""Client transactions: each row of their table, waiting, iterating."""

from __future__ import annotations

import gc
import weakref

import pytest

from protoo_flask.core.errors import UsageError, WaitTimeout
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from protoo_flask.core.transactions.client import (
    CALLING,
    OF_CORE,
    PROCEEDING,
    TERMINATED,
    TRANSITIONS,
)
from protoo_flask.core.wire.messages import MAX_ID
from tests.fakes import Core


def describe(response):
    return (response.status, response.reason, response.is_local)


class Call:
    """A request to a client, in a state of the table; collects what is told."""

    def __init__(self, state=CALLING, **options):
        self.core = Core(**options)
        self.client = self.core.connect("bob", "b1")
        self.peer = self.client.peer
        self.told = []
        self.request = Request("session", {"offer": 1})
        self.transaction = self.peer.send(self.request, self.told.append)
        self.sent = self.client.take()
        if state is PROCEEDING:
            self.client.respond(self.sent, 180, "ringing")
        elif state is TERMINATED:
            self.client.respond(self.sent, 200, "OK")
        assert self.transaction.state is state
        self.told.clear()

    def happen(self, event):
        {
            "provisional": lambda: self.client.respond(self.sent, 183, "progress"),
            "final": lambda: self.client.respond(self.sent, 200, "OK"),
            "timeout": lambda: self.core.scheduler.advance(10),
            "peer offline": lambda: self.client.drop(),
            "cancel": lambda: self.transaction.cancel(),
        }[event]()


# The table

PROVISIONAL = (183, "progress", False)
FINAL = (200, "OK", False)
TIMEOUT = (408, "request timeout", True)
OFFLINE = (410, "peer offline", True)
CANCELED = (487, "canceled", True)


@pytest.mark.parametrize(
    ("state", "event", "next_state", "told"),
    [
        (CALLING, "provisional", PROCEEDING, [PROVISIONAL]),
        (CALLING, "final", TERMINATED, [FINAL]),
        (CALLING, "timeout", TERMINATED, [TIMEOUT]),
        (CALLING, "peer offline", TERMINATED, [OFFLINE]),
        (CALLING, "cancel", TERMINATED, [CANCELED]),
        (PROCEEDING, "provisional", PROCEEDING, [PROVISIONAL]),
        (PROCEEDING, "final", TERMINATED, [FINAL]),
        (PROCEEDING, "timeout", TERMINATED, [TIMEOUT]),
        (PROCEEDING, "peer offline", TERMINATED, [OFFLINE]),
        (PROCEEDING, "cancel", TERMINATED, [CANCELED]),
        (TERMINATED, "provisional", TERMINATED, []),
        (TERMINATED, "final", TERMINATED, []),
        (TERMINATED, "timeout", TERMINATED, []),
        (TERMINATED, "peer offline", TERMINATED, []),
        (TERMINATED, "cancel", TERMINATED, []),
    ],
)
def test_each_event_leads_to_its_state_and_is_told(state, event, next_state, told):
    call = Call(state)
    call.happen(event)
    assert call.transaction.state == next_state
    assert [describe(response) for response in call.told] == told


@pytest.mark.parametrize("state", [CALLING, PROCEEDING])
@pytest.mark.parametrize("event", ["final", "timeout", "peer offline", "cancel"])
def test_a_transaction_that_has_ended_leaves_nothing_behind(state, event):
    call = Call(state)
    assert len(call.peer.outbound) == call.core.scheduler.pending_timers == 1
    call.happen(event)
    assert len(call.peer.outbound) == call.core.scheduler.pending_timers == 0
    assert call.transaction.response is call.told[-1]


def test_nothing_leads_out_of_terminated():
    assert not [event for state, event in TRANSITIONS if state == TERMINATED]


@pytest.mark.parametrize("status", [200, 299, 300, 404, 500, 603, 699])
def test_every_status_from_200_is_final(status):
    call = Call()
    call.client.respond(call.sent, status)
    assert call.transaction.state == TERMINATED
    assert call.transaction.response.status == status


@pytest.mark.parametrize("status", [100, 199])
def test_every_status_below_200_is_provisional(status):
    call = Call()
    call.client.respond(call.sent, status)
    assert call.transaction.state == PROCEEDING
    assert call.transaction.response is None


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


def test_a_request_to_a_peer_that_is_gone_ends_at_once_with_a_local_410():
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


# What is sent, and what comes back


def test_ids_count_up_from_the_first_one_of_the_peer():
    core = Core(first_id=lambda: 41)
    bob = core.connect("bob", "b1")
    sent = [bob.peer.send(Request("get")).id for _ in range(3)]
    assert sent == [41, 42, 43] == [message["id"] for message in bob.take_all()]


def test_after_the_largest_id_comes_1():
    core = Core(first_id=lambda: MAX_ID)
    bob = core.connect("bob", "b1")
    assert [bob.peer.send(Request("get")).id for _ in range(2)] == [MAX_ID, 1]


def test_a_response_carries_what_the_client_sent():
    call = Call()
    call.client.respond(call.sent, 200, "fine", {"answer": 42})
    response = call.transaction.response
    assert (response.status, response.reason, response.data) == (200, "fine", {"answer": 42})
    assert response.peer is call.peer
    assert response.id == call.sent["id"]
    assert not response.is_local


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


def test_a_timeout_of_its_own_takes_the_place_of_the_default():
    core = Core(request_timeout=10)
    bob = core.connect("bob", "b1")
    short = bob.peer.send(Request("get"), timeout=3)
    long = bob.peer.send(Request("get"), timeout=30)
    core.scheduler.advance(2.9)
    assert short.response is None
    core.scheduler.advance(0.1)
    assert describe(short.response) == TIMEOUT
    core.scheduler.advance(26.9)
    assert long.response is None
    core.scheduler.advance(0.1)
    assert describe(long.response) == TIMEOUT


def test_a_provisional_response_does_not_restart_the_timeout():
    call = Call()
    call.core.scheduler.advance(9)
    call.happen("provisional")
    call.core.scheduler.advance(1)
    assert describe(call.transaction.response) == TIMEOUT


def test_peer_cancel_ends_the_transaction_of_a_request():
    call = Call()
    other = call.peer.send(Request("session"))
    assert call.peer.cancel(other.request) is True
    assert describe(other.response) == CANCELED
    assert call.transaction.response is None
    assert call.peer.cancel(call.request) is True
    assert describe(call.transaction.response) == CANCELED
    assert call.peer.cancel(call.request) is False
    assert call.peer.cancel(Request("get")) is False


def test_an_on_response_that_fails_is_logged_and_called_again(caplog):
    core = Core()
    bob = core.connect("bob", "b1")
    told = []

    def on_response(response):
        told.append(response.status)
        raise ValueError("oops")

    transaction = bob.peer.send(Request("get"), on_response)
    sent = bob.take()
    bob.respond(sent, 180)
    bob.respond(sent, 200)
    assert told == [180, 200]
    assert transaction.state == TERMINATED
    assert [record.message for record in caplog.records] == [
        f"error in {__name__}.{on_response.__qualname__}, called with {response!r} for {bob.peer!r}"
        for response in (Response(180), Response(200))
    ]
    assert bob.request("get", "/")["status"] == 404


def test_only_a_local_response_is_told_in_a_greenlet_of_its_own():
    core = Core()
    bob = core.connect("bob", "b1")
    told, spawned = [], []
    core.scheduler.spawn = lambda function, *args: spawned.append((function, args))
    bob.peer.send(Request("get"), told.append)
    bob.respond(bob.take(), 200)
    assert [response.status for response in told] == [200]
    assert spawned == []
    bob.peer.send(Request("get"), told.append).cancel()
    assert len(told) == 1
    ((function, args),) = spawned
    function(*args)
    assert describe(told[1]) == CANCELED


def test_without_on_response_nobody_is_called(caplog):
    core = Core()
    bob = core.connect("bob", "b1")
    bob.peer.send(Request("get"))
    bob.respond(bob.take(), 200)
    bob.peer.send(Request("get")).cancel()
    assert caplog.records == []


def test_waiting_leaves_nothing_behind():
    call = Call()
    with pytest.raises(WaitTimeout):
        call.transaction.wait(1)
    call.core.scheduler.on_wait = [lambda: call.happen("final")]
    call.transaction.wait()
    assert call.transaction._waiting == []


def test_only_a_request_can_be_sent():
    core = Core()
    bob = core.connect("bob", "b1")
    with pytest.raises(UsageError, match="takes a Request"):
        bob.peer.send({"method": "get"})


# Waiting


def test_wait_returns_the_final_response_that_is_there_already():
    call = Call(TERMINATED)
    assert call.transaction.wait() is call.transaction.wait(0) is call.transaction.response


def test_wait_blocks_until_the_final_response():
    call = Call()
    call.core.scheduler.on_wait = [
        lambda: call.happen("provisional"),
        lambda: call.happen("provisional"),
        lambda: call.happen("final"),
    ]
    assert describe(call.transaction.wait()) == FINAL
    assert call.core.scheduler.on_wait == []


def test_wait_without_a_timeout_ends_with_that_of_the_request():
    call = Call()
    assert describe(call.transaction.wait()) == TIMEOUT
    assert call.core.scheduler.now() == 1010


def test_wait_gives_up_after_its_timeout_and_the_transaction_goes_on():
    call = Call()
    with pytest.raises(WaitTimeout, match="within 3 s") as caught:
        call.transaction.wait(3)
    assert isinstance(caught.value, TimeoutError)
    assert call.core.scheduler.now() == 1003
    assert call.transaction.state == CALLING
    call.happen("final")
    assert describe(call.transaction.wait(3)) == FINAL


def test_provisional_responses_do_not_prolong_a_wait():
    call = Call()
    scheduler = call.core.scheduler

    def ring():
        scheduler.advance(2)
        call.happen("provisional")

    scheduler.on_wait = [ring, ring]
    with pytest.raises(WaitTimeout):
        call.transaction.wait(5)
    assert scheduler.now() == 1005


def test_several_may_wait_for_the_same_transaction():
    call = Call()
    seen = []
    call.core.scheduler.on_wait = [
        lambda: seen.append(call.transaction.wait()),
        lambda: call.happen("final"),
    ]
    assert call.transaction.wait() is seen[0]


def test_peer_request_waits_for_the_final_response():
    core = Core()
    bob = core.connect("bob", "b1")
    core.scheduler.on_wait = [lambda: bob.respond(bob.take(), 202, "later")]
    response = bob.peer.request("get", {"x": 1})
    assert (response.status, response.reason) == (202, "later")


def test_peer_request_times_out_with_a_local_408():
    core = Core()
    bob = core.connect("bob", "b1")
    assert describe(bob.peer.request("get", timeout=3)) == TIMEOUT
    assert core.scheduler.now() == 1003


# Iterating


def test_iterating_gives_the_responses_as_they_come_the_last_being_final():
    call = Call()
    call.core.scheduler.on_wait = [
        lambda: call.happen("provisional"),
        lambda: call.happen("final"),
    ]
    responses = iter(call.transaction)
    assert describe(next(responses)) == PROVISIONAL
    assert describe(next(responses)) == FINAL
    assert list(responses) == []


def test_iterating_late_gives_all_responses_and_again_to_the_next():
    call = Call()
    call.happen("provisional")
    call.happen("final")
    for _ in range(2):
        assert [describe(response) for response in call.transaction] == [PROVISIONAL, FINAL]


def test_iterating_ends_with_a_local_response_when_nothing_comes():
    call = Call()
    assert [describe(response) for response in call.transaction] == [TIMEOUT]


def test_a_response_that_comes_between_looking_and_waiting_is_not_slept_through():
    call = Call()
    make_event = call.core.scheduler.event

    def respond_and_make_event():
        call.happen("final")
        return make_event()

    call.core.scheduler.event = respond_and_make_event
    assert describe(call.transaction.wait()) == FINAL


# Many


def test_thousands_in_flight_that_nobody_remembers_leave_nothing():
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


def test_what_a_peer_leaves_unanswered_is_bounded():
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
    assert len(bob.peer.outbound) == bob.peer.outbound._size == 0


def test_a_relay_that_cannot_be_leaves_the_others_and_is_logged(caplog):
    core = Core()
    bob = core.connect("bob", "b1")
    to_be_sent = Request("made here, so nobody waits for an answer to it")
    bob.peer.send(Request("one"), on_response=to_be_sent.reply)
    other = bob.peer.send(Request("two"))
    bob.leave()
    assert other.response.status == 410
    assert core.framework.told[-1] == ("user_offline", "bob")
    assert "was made here to be sent" in caplog.text


def test_a_relay_to_somebody_who_is_answered_by_another_just_then_harms_nobody():
    core = Core()
    requests = []
    core.router.get("/", lambda req, next: requests.append(req))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.start_request("get", "/")
    [request] = requests

    class Another:
        def respond(self, request, status, reason, data):
            request._responder = alice.peer.requests
            request.reply(504, "no answer")
            request.reply(status, reason, data)

    request._responder = Another()
    bob.peer.send(Request("one"), on_response=request.reply)
    bob.respond(bob.take(), 200)
    assert [answer["status"] for answer in alice.take_all()] == [504]


# Of the core


def test_a_transaction_of_the_core_needs_no_contexts_and_keeps_no_responses():
    core = Core()
    core.framework.run = None  # would be called
    client = core.connect()
    told = []
    transaction = client.peer.outbound.start(
        Request("session"), lambda response: told.append(response.status), None, OF_CORE
    )
    request = client.take()
    for status in (180, 180, 200):
        client.respond(request, status)
    assert told == [180, 180, 200]
    assert not hasattr(transaction, "_responses")
    assert transaction.response.status == 200


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
