"""Provisional responses: the first and the latest are kept, whatever a peer sends."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import pytest

from protoo_flask.core.request import Request
from protoo_flask.core.transactions.unanswered import MAX_UNANSWERED
from tests.core.transactions.calls import Call, describe
from tests.fakes import Core


def progress(call, number, **data):
    call.client.respond(call.sent, 183, f"progress {number}", data)


def reasons(transaction):
    return [response.reason for response in transaction]


def test_a_consumer_that_comes_late_gets_the_first_the_latest_and_the_final_one():
    call = Call()
    for number in range(1, 1001):
        progress(call, number, n=number)
    call.happen("final")
    for _ in range(2):
        assert reasons(call.transaction) == ["progress 1", "progress 1000", "OK"]
    first, latest, _ = call.transaction
    assert (first.data, latest.data) == ({"n": 1}, {"n": 1000})
    assert (latest.peer, latest.id) == (call.peer, call.transaction.id)
    assert not latest.is_local


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_few_provisional_responses_are_all_there_but_the_third(number):
    call = Call()
    for n in range(number):
        progress(call, n)
    call.happen("final")
    kept = {0: [], 1: [0], 2: [0, 1], 3: [0, 2]}[number]
    assert reasons(call.transaction) == [*(f"progress {n}" for n in kept), "OK"]


def test_a_quick_consumer_gets_each_one_as_it_comes():
    call = Call()
    call.core.scheduler.on_wait = [
        *(lambda n=n: progress(call, n) for n in range(10)),
        lambda: call.happen("final"),
    ]
    expected = [*(f"progress {n}" for n in range(10)), "OK"]
    assert reasons(call.transaction) == expected


def test_a_slow_consumer_gets_the_latest_of_those_that_came_meanwhile():
    call = Call()

    def three_more(first):
        for n in range(first, first + 3):
            progress(call, n)

    call.core.scheduler.on_wait = [
        lambda: three_more(0),
        lambda: three_more(3),
        lambda: call.happen("final"),
    ]
    assert reasons(call.transaction) == ["progress 0", "progress 2", "progress 5", "OK"]


def test_what_is_kept_is_text_and_not_objects():
    call = Call()
    nested = []
    for _ in range(200):
        nested = [nested]
    for n in range(3):
        progress(call, n, x=[nested] * 100)
    provisional = call.transaction.provisional
    gc.collect()
    texts = [kept[1] for kept in (provisional._first, provisional._latest)]
    assert all(type(text) is bytes for text in texts)
    size = call.peer.outbound.unanswered.size
    assert sum(map(sys.getsizeof, texts)) < size < 2 * sum(map(len, texts))
    _, latest = call.transaction.provisional.after(1)
    assert latest.data == {"x": [nested] * 100}


def test_the_bytes_count_among_the_unanswered_and_are_given_back():
    call = Call()
    before = call.peer.outbound.unanswered.size
    progress(call, 1, x="x" * 50_000)
    progress(call, 2, x="x" * 20_000)
    grown = call.peer.outbound.unanswered.size - before
    assert 70_000 < grown < 71_000
    progress(call, 3)
    assert 50_000 < call.peer.outbound.unanswered.size - before < 51_000
    call.happen("final")
    assert call.peer.outbound.unanswered.size == 0


def test_a_peer_without_room_for_more_has_its_next_ones_told_and_not_kept():
    core = Core()
    bob = core.connect("bob", "b1")
    calls = []
    for _ in range(MAX_UNANSWERED // 121_300 + 3):
        told = []
        calls.append((bob.peer.send(Request("get"), told.append), told))
        request = bob.take()
        for n in range(2):
            bob.respond(request, 183, str(n), {"x": "x" * 60_000})
    assert bob.peer.outbound.unanswered.size <= MAX_UNANSWERED
    assert bob.peer.outbound.unanswered.size > MAX_UNANSWERED - 122_000
    last, told = calls[-1]
    assert [response.reason for response in told] == ["0", "1"]
    for transaction, _ in calls:
        core.scheduler.on_wait = [lambda id=transaction.id: bob.send({"status": 200, "id": id})]
        assert describe(transaction.wait())[0] == 200
    assert len(list(last)) < 3
    assert bob.peer.outbound.unanswered.size == 0


def test_iterating_waits_also_after_a_response_that_was_not_kept():
    call = Call()
    call.peer.outbound.unanswered.size = MAX_UNANSWERED
    call.core.scheduler.on_wait = [
        lambda: progress(call, 1),
        lambda: progress(call, 2),
        lambda: call.happen("final"),
    ]
    assert reasons(call.transaction) == ["OK"]


def test_a_transaction_with_provisional_responses_is_freed_without_the_garbage_collector():
    call = Call()
    progress(call, 1)
    call.happen("final")
    transaction = weakref.ref(call.transaction)
    gc.disable()
    try:
        del call.transaction
        assert transaction() is None
    finally:
        gc.enable()


# on_response


class Fatal(BaseException):
    """An error that ends the greenlet."""


class Slow:
    """An ``on_response`` that blocks: the functions in ``meanwhile`` happen while it runs."""

    def __init__(self):
        self.told = []
        self.meanwhile = []
        self.running = self.most = 0

    def __call__(self, response):
        self.running += 1
        self.most = max(self.most, self.running)
        self.told.append(response.reason)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.running -= 1


def start(function):
    call = Call()
    call.transaction.cancel()
    call.transaction = call.peer.send(Request("session"), function)
    call.sent = call.client.take()
    return call


def test_on_response_is_told_one_provisional_response_at_a_time_and_then_the_latest():
    slow = Slow()
    call = start(slow)
    slow.meanwhile = [
        lambda: [progress(call, n) for n in range(1, 100)],
        lambda: [progress(call, n) for n in range(100, 200)],
    ]
    progress(call, 0)
    assert slow.told == ["progress 0", "progress 99", "progress 199"]
    assert slow.most == 1
    progress(call, 200)
    call.happen("final")
    assert slow.told[3:] == ["progress 200", "OK"]


def test_the_final_response_does_not_wait_and_is_the_last():
    slow = Slow()
    call = start(slow)
    slow.meanwhile = [lambda: (progress(call, 1), call.happen("final"))]
    progress(call, 0)
    assert slow.told == ["progress 0", "OK"]
    assert slow.most == 2


def test_an_error_of_on_response_leaves_it_ready_for_the_next_response():
    told = []

    def fail(response):
        told.append(response.reason)
        if len(told) == 1:
            progress(call, 1)
            raise Fatal

    call = start(fail)
    with pytest.raises(Fatal):
        progress(call, 0)
    progress(call, 2)
    assert told == ["progress 0", "progress 2"]


def test_each_transaction_has_its_own_turn():
    slow, other = Slow(), Slow()
    call = start(slow)
    second = call.peer.send(Request("session"), other)
    slow.meanwhile = [lambda: call.client.send({"status": 180, "id": second.id, "reason": "x"})]
    progress(call, 0)
    assert (slow.told, other.told) == (["progress 0"], ["x"])


def test_threads_never_run_it_twice_at_a_time():
    slow = Slow()
    call = start(slow)
    threads = [
        threading.Thread(target=lambda: [progress(call, n) for n in range(100)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slow.most == 1
    call.happen("final")
    assert slow.told[-1] == "OK"
