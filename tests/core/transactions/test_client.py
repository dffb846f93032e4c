"""Client transactions: each row of their table, callbacks, timeouts."""

from __future__ import annotations

import pytest

from protoo_flask.core.functions import name_function
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from protoo_flask.core.transactions.client import (
    CALLING,
    OF_CORE,
    PROCEEDING,
    TERMINATED,
    TRANSITIONS,
)
from tests.core.transactions.calls import (
    CANCELED,
    FINAL,
    OFFLINE,
    PROVISIONAL,
    TIMEOUT,
    Call,
    describe,
)
from tests.fakes import Core

# The table


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


# Responses


def test_a_response_carries_the_fields_that_the_client_sent():
    call = Call()
    call.client.respond(call.sent, 200, "fine", {"answer": 42})
    response = call.transaction.response
    assert (response.status, response.reason, response.data) == (200, "fine", {"answer": 42})
    assert response.peer is call.peer
    assert response.id == call.sent["id"]
    assert not response.is_local


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


# Callbacks


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
        f"error in {name_function(on_response)}, called with {response!r} for {bob.peer!r}"
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
