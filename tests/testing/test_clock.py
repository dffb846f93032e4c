"""The clock that a test moves: what is due happens in order, however the clock is moved."""

from __future__ import annotations

import time

import gevent
import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.testing import ExpectationFailed, Unsettled, finish

from .conftest import make_site


@pytest.mark.parametrize(
    ("step", "count"), [(0.1, 150), (0.3, 50), (1, 15), (7.5, 2), (5 / 3, 9), (15, 1)]
)
@pytest.mark.parametrize("start", [5.3, 3725.123456789, 12345678.1234567])
def test_many_small_steps_are_one_big_step(start, step, count, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: start)
    protoo = make_site(disconnect_grace_period=15)
    alice = protoo.test_client(username="alice")
    alice.drop()
    for _ in range(count - 1):
        protoo.test_clock.advance(step)
    assert alice.peer is not None
    protoo.test_clock.advance(step)
    assert alice.peer is None
    finish(protoo._site.app)


def test_timers_fire_in_order_also_those_that_timers_set(protoo, alice):
    call_later = alice.peer.runtime.scheduler.call_later
    begin = protoo.test_clock.now
    fired = []

    def note(name, *later):
        fired.append((name, protoo.test_clock.now - begin))
        for seconds, *arguments in later:
            call_later(seconds, note, *arguments)

    for n in range(100):
        call_later(5, note, n)
    call_later(5, note, "sets", (0, "at once"), (2, "later", (3, "at the end")), (6, "too late"))
    call_later(5, note, "behind it")
    call_later(4, note, "before")
    protoo.test_clock.advance(10)
    names = ["before", *range(100), "sets", "at once", "behind it", "later", "at the end"]
    assert [name for name, _ in fired] == names
    assert [when for _, when in fired] == [4.0] + [5.0] * 103 + [7.0, 10.0]
    protoo.test_clock.advance(1)
    assert fired[-1] == ("too late", 11.0)


def test_a_timer_whose_code_blocks_does_not_hold_the_clock(protoo, alice):
    call_later = alice.peer.runtime.scheduler.call_later
    answers = []

    def ask():
        answers.append(alice.peer.request("question", timeout=10).status)

    call_later(1, ask)
    call_later(2, ask)
    protoo.test_clock.advance(3)
    alice.expect_request("question").reply(200)
    alice.expect_request("question")
    protoo.test_clock.advance(8.9)
    assert answers == [200]
    protoo.test_clock.advance(0.1)
    assert answers == [200, 408]


def test_replaced_functions_of_time_are_those_of_the_site_only(protoo, alice, monkeypatch):
    def fail(*arguments):
        raise AssertionError("the kit sleeps by a function of the test")

    sleep = gevent.sleep
    gevent.spawn(lambda: (sleep(0.01), alice.peer.notify("late")))
    with monkeypatch.context() as replaced:
        replaced.setattr(gevent, "sleep", fail)
        for name in ("sleep", "time", "monotonic", "perf_counter"):
            replaced.setattr(time, name, fail)
        alice.expect_notification("late")
        protoo.test_clock.advance(60)
        greenlet = gevent.spawn(sleep, 60)
        protoo.test_clock.patience = 0.05
        with pytest.raises(Unsettled):
            alice.expect_nothing()
    greenlet.kill()


@pytest.mark.parametrize("seconds", [-1, "5", None, float("nan"), float("inf")])
def test_the_clock_is_moved_by_a_number_from_0_on(protoo, alice, seconds):
    with pytest.raises(UsageError, match=r"takes a number from 0 on, not"):
        protoo.test_clock.advance(seconds)


def test_what_the_clock_will_do_is_told_in_words():
    protoo = make_site(reauthorize_interval=60, disconnect_grace_period=15)
    alice = protoo.test_client(username="alice", uuid="phone")
    bob = protoo.test_client(username="bob", uuid="laptop")
    alice.send("session", "/users/bob")
    bob.drop()
    with pytest.raises(ExpectationFailed) as error:
        alice.expect_notification()
    lines = str(error.value).partition("When the clock is moved:\n")[2].splitlines()
    assert lines == [
        "  - a grace period is over, in 15 s",
        "  - the site is asked whether a peer may stay, in 60 s",
        "  - nobody has answered a call, in 120 s",
    ]
    finish(protoo._site.app)
