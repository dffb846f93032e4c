"""What every loop does, among greenlets and among threads."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from .wire import PATIENCE


@pytest.fixture
def loop(world: Any) -> Iterator[Any]:
    with world.check_leaks():
        yield world.loop


def test_the_clock_does_not_go_back(loop):
    assert loop.now() <= loop.now()


def test_a_timer_calls_once_with_its_arguments(loop, world):
    fired = world.make_queue()
    loop.call_later(0.001, fired.put, "value")
    assert fired.get(timeout=PATIENCE) == "value"
    later = loop.event()
    loop.call_later(0.01, later.set)
    assert later.wait(PATIENCE)
    assert fired.empty()


def test_timers_fire_in_the_order_in_which_they_are_due(loop):
    fired: list[int] = []
    done = loop.event()
    loop.call_later(0.06, lambda: (fired.append(3), done.set()))
    loop.call_later(0.001, fired.append, 1)
    loop.call_later(0.03, fired.append, 2)
    assert done.wait(PATIENCE)
    assert fired == [1, 2, 3]


def test_a_timer_may_block_without_delaying_another(loop):
    go_on, fired = loop.event(), loop.event()
    loop.call_later(0, go_on.wait, PATIENCE)
    loop.call_later(0.001, fired.set)
    assert fired.wait(PATIENCE)
    go_on.set()


def test_a_cancelled_timer_does_not_fire(loop):
    fired: list[int] = []
    timer = loop.call_later(0.3, fired.append, 1)
    timer.cancel()
    timer.cancel()
    later = loop.event()
    loop.call_later(0.35, later.set)
    assert later.wait(PATIENCE)
    assert fired == []


def test_a_timer_may_be_cancelled_after_it_has_fired(loop):
    fired = loop.event()
    timer = loop.call_later(0, fired.set)
    assert fired.wait(PATIENCE)
    timer.cancel()


def test_a_spawned_function_gets_its_arguments_and_may_block(loop, world):
    go_on, done = loop.event(), world.make_queue()

    def wait(value: str) -> None:
        assert go_on.wait(PATIENCE)
        done.put(value)

    loop.spawn(wait, "first")
    loop.spawn(done.put, "second")
    assert done.get(timeout=PATIENCE) == "second"
    go_on.set()
    assert done.get(timeout=PATIENCE) == "first"


def test_an_error_in_a_spawned_function_is_reported_and_stops_nothing(loop, world):
    def fail() -> None:
        raise ValueError("no")

    loop.spawn(fail)
    assert str(world.errors.get(timeout=PATIENCE)) == "no"
    done = loop.event()
    loop.spawn(done.set)
    assert done.wait(PATIENCE)


def test_an_event_is_waited_for_until_it_is_set(loop):
    event = loop.event()
    assert not event.is_set()
    assert not event.wait(0.001)
    loop.call_later(0.001, event.set)
    assert event.wait(PATIENCE)
    assert event.is_set()


def test_a_lock_may_be_taken_again_by_its_holder(loop):
    lock = loop.lock()
    with lock, lock:
        pass
