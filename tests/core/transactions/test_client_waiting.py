"""Client transactions: waiting for the final response, and iterating over all of them."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import WaitTimeout
from protoo_flask.core.transactions.client import CALLING, TERMINATED
from tests.core.transactions.calls import FINAL, PROVISIONAL, TIMEOUT, Call, describe
from tests.fakes import Core

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


def test_waiting_leaves_nothing_behind():
    call = Call()
    with pytest.raises(WaitTimeout):
        call.transaction.wait(1)
    call.core.scheduler.on_wait = [lambda: call.happen("final")]
    call.transaction.wait()
    assert call.transaction._waiting == []


def test_a_response_that_comes_between_looking_and_waiting_is_not_slept_through():
    call = Call()
    make_event = call.core.scheduler.event

    def respond_and_make_event():
        call.happen("final")
        return make_event()

    call.core.scheduler.event = respond_and_make_event
    assert describe(call.transaction.wait()) == FINAL


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
