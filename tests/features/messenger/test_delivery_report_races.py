"""Delivery reports under threads."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.core.request import ReceivedRequest
from protoo_flask.core.response import Response
from protoo_flask.features.messenger.delivery_report import DeliveryReport
from tests.fakes import Core
from tests.features.contention import PATIENCE, ContendedLock


class Keeper:
    """A responder that keeps the responses to a request."""

    def __init__(self, answers):
        self.answers = answers

    def respond(self, req, *answer):
        self.answers.append(Response(*answer))


class SlowResponse(Response):
    """A response that calls ``meanwhile`` whenever its class is read."""

    __slots__ = ("meanwhile",)

    @property
    def is_accept(self):
        self.meanwhile()
        return super().is_accept


@pytest.mark.parametrize("mode", ["first", "all"])
def test_two_devices_that_answer_at_the_same_moment_give_one_answer(mode):
    core = Core()
    lock = ContendedLock()
    answers = []
    peers = [core.connect("bob", uuid).peer for uuid in ("b1", "b2")]
    req = ReceivedRequest("message", "/", 1, {}, core.connect().peer, None, object(), 0)
    req._responder = Keeper(answers)
    core.scheduler.lock = lambda: lock
    delivery = DeliveryReport(req, peers, mode)
    second = threading.Thread(
        target=delivery.receive, args=[Response(200, "second", peer=peers[1])]
    )
    second_came_that_far = threading.Event()

    def let_the_second_in():
        # This runs in the middle of the decision about the first response. The second waits
        # for the lock; without a lock it would be handled to its end.
        if second.ident is None:
            second.start()
            while second.is_alive() and not lock.contended.wait(0.01):
                pass
            second_came_that_far.set()

    first = SlowResponse(200, "first", peer=peers[0])
    first.meanwhile = let_the_second_in
    delivery.receive(first)
    second.join(PATIENCE)
    assert not second.is_alive()
    assert second_came_that_far.is_set()
    assert lock.contended.is_set()
    (answer,) = answers
    assert answer.data["delivered"] == (["b1"] if mode == "first" else ["b1", "b2"])
