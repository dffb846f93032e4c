"""A loop whose clock is moved by hand: timers, events, and the order of both."""

from __future__ import annotations

import threading

import gevent
import pytest

from protoo_flask.transport.greenlets.manual_loop import ManualLoop


@pytest.fixture
def loop():
    return ManualLoop()


def advance(loop, seconds):
    """Move the clock, and let everything that is due happen."""
    end = loop.now() + seconds
    while True:
        timer = loop.take_due(end)
        if timer is None:
            return
        loop.spawn(timer.fire)
        gevent.sleep(0)


def test_timers_fire_in_order_at_their_own_times(loop):
    began, fired = loop.now(), []

    def note(name):
        fired.append((name, round(loop.now() - began, 3)))

    for seconds, name in ((3, "c"), (1, "a"), (1, "b"), (9, "late")):
        loop.call_later(seconds, note, name)
    loop.call_later(2, loop.call_later, 0.5, note, "made by a timer")
    advance(loop, 5)
    assert fired == [("a", 1), ("b", 1), ("made by a timer", 2.5), ("c", 3)]
    assert loop.now() == began + 5
    assert len(loop.timers) == 1


def test_a_canceled_timer_does_nothing(loop):
    fired = []
    first = loop.call_later(1, fired.append, 1)
    second = loop.call_later(0, fired.append, 2)
    first.cancel()
    second.cancel()
    gevent.sleep(0)
    advance(loop, 5)
    assert fired == []
    assert loop.timers == []


def test_a_timer_without_a_delay_needs_no_move(loop):
    fired = []
    loop.call_later(0, fired.append, 1)
    assert fired == []
    gevent.sleep(0)
    assert fired == [1]


def test_an_event_times_out_by_the_clock_for_each_waiter(loop):
    event = loop.event()
    waiters = [gevent.spawn(event.wait, timeout) for timeout in (1, 5, None)]
    gevent.sleep(0)
    advance(loop, 2)
    gevent.sleep(0)
    assert [waiter.ready() for waiter in waiters] == [True, False, False]
    assert waiters[0].get() is False
    event.set()
    assert [waiter.get(timeout=5) for waiter in waiters[1:]] == [True, True]
    assert event.wait(0)
    assert loop.timers == []


def test_another_thread_may_set_a_timer_and_hand_over(loop):
    done = []

    def run():
        loop.call_later(1, done.append, "timer")
        loop.hand_over(done.append, "handed over")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    gevent.sleep(0)
    gevent.sleep(0)
    assert done == ["handed over"]
    advance(loop, 1)
    assert done == ["handed over", "timer"]


def test_the_greenlets_that_are_blocked_are_known(loop):
    event = loop.event()
    loop.spawn(event.wait)
    gevent.sleep(0)
    (greenlet,) = loop.blocked
    assert not greenlet.dead
    event.set()
    gevent.sleep(0)
    gevent.sleep(0)
    assert loop.blocked == []
