"""Relay: one answer from the responses of several devices, also when they race."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.core.request import Request, answer
from protoo_flask.core.response import Response
from protoo_flask.features.relay import Relay
from tests.fakes import Core
from tests.features.contention import PATIENCE, ContendedLock


class Forwarded:
    """A request of Alice's that was sent on to several devices of Bob's."""

    def __init__(self, devices, lock=None):
        self.core = Core()
        requests = []
        self.core.router.method("update", "/", lambda req, next: requests.append(req))
        self.alice = self.core.connect("alice", "a1")
        self.bobs = [self.core.connect("bob", f"b{number}") for number in range(devices)]
        self.alice.start_request("update", "/")
        (self.req,) = requests
        self.relay = Relay(self.req, lock or self.core.scheduler.lock())
        self.relay.send(Request("update"), [bob.peer for bob in self.bobs])

    def told(self):
        return [message["status"] for message in self.alice.take_all()]


def test_a_request_is_sent_to_each_device():
    forwarded = Forwarded(3)
    assert [bob.take()["method"] for bob in forwarded.bobs] == ["update"] * 3


def test_responses_after_the_first_2xx_are_dropped():
    forwarded = Forwarded(3)
    for status in (180, 500, 200, 180, 202):
        forwarded.relay.receive(Response(status))
    assert forwarded.told() == [180, 200]


def test_the_best_rejection_is_relayed_when_the_last_device_has_failed():
    forwarded = Forwarded(3)
    for status in (500, 486):
        forwarded.relay.receive(Response(status))
    assert forwarded.told() == []
    forwarded.relay.receive(Response(404))
    assert forwarded.told() == [486]


def test_a_device_that_has_already_gone_counts_as_failed():
    forwarded = Forwarded(0)
    bobs = [forwarded.core.connect("bob", uuid) for uuid in ("b1", "b2")]
    for bob in bobs:
        bob.leave()
    forwarded.relay.send(Request("update"), [bob.peer for bob in bobs])
    assert forwarded.told() == [410]


class SlowResponse(Response):
    """A response that calls ``meanwhile`` when its class is read for the first time."""

    __slots__ = ("meanwhile",)

    @property
    def is_reject(self):
        is_reject = super().is_reject
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return is_reject


def test_two_devices_that_fail_at_the_same_moment_both_count():
    lock = ContendedLock()
    forwarded = Forwarded(2, lock)
    threads = []

    def meanwhile():
        def receive():
            forwarded.relay.receive(Response(503))
            lock.contended.set()

        threads.append(threading.Thread(target=receive))
        threads[0].start()
        assert lock.contended.wait(PATIENCE)
        # The second response waits until the first has been counted.
        assert forwarded.relay._missing == 2

    slow = SlowResponse(486)
    slow.meanwhile = meanwhile
    forwarded.relay.receive(slow)
    threads[0].join(PATIENCE)
    assert forwarded.told() == [486]


# answer()


def test_a_request_gets_one_final_answer():
    req = Forwarded(0).req
    assert answer(req, Response(180)) is True
    assert answer(req, Response(200)) is True
    assert answer(req, Response(486)) is False
    assert req.response.status == 200


def test_an_answer_that_loses_a_race_to_another_thread_is_dropped():
    req = Forwarded(0).req
    inbox = req._responder

    class Quicker:
        def respond(self, request, status, reason, data):
            req._responder = inbox
            req.reply(504)
            req.reply(200)  # the rest of the outer reply()

    req._responder = Quicker()
    assert answer(req, Response(486)) is False
    assert req.response.status == 504


@pytest.mark.parametrize(("status", "told"), [(180, []), (200, [500])])
def test_an_unwritable_response_is_replaced_by_500_only_if_it_is_final(status, told):
    forwarded = Forwarded(0)
    assert answer(forwarded.req, Response(status, "", {"value": object()})) is False
    assert forwarded.told() == told
