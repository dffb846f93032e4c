"""The handshakes of one device are let in one after the other."""

from __future__ import annotations

import threading

import gevent
import pytest

from protoo_flask.core.remote.handshake_queues import HandshakeQueues
from protoo_flask.transport.greenlets.loop import GreenletLoop
from tests.fakes import FakeScheduler

BOB = ("bob", "b1")


def test_a_second_handshake_waits_for_the_end_of_the_first():
    scheduler = FakeScheduler()
    queues = HandshakeQueues(scheduler)
    queues.enter(BOB)
    order = ["first"]

    def end_first():
        order.append("first is over")
        queues.leave(BOB)

    scheduler.on_wait.append(end_first)
    queues.enter(BOB)
    assert order == ["first", "first is over"]
    queues.enter(("bob", "b2"))
    queues.leave(("bob", "b2"))
    queues.leave(BOB)
    assert len(queues) == 0


def test_a_handshake_whose_greenlet_ends_while_it_waits_holds_up_nobody():
    queues = HandshakeQueues(GreenletLoop())
    queues.enter(BOB)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        queues.enter(BOB)
    queues.leave(BOB)
    assert len(queues) == 0


def test_of_many_threads_one_is_let_in_at_a_time():
    class Threads(FakeScheduler):
        def event(self):
            return threading.Event()

    queues = HandshakeQueues(Threads())
    inside, most = [], []

    def let_in():
        queues.enter(BOB)
        inside.append(1)
        most.append(len(inside))
        inside.pop()
        queues.leave(BOB)

    threads = [threading.Thread(target=let_in) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(queues) == 0
