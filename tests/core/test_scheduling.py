"""Scheduling: methods that are one step also among threads, and timers that keep nothing alive."""

from __future__ import annotations

import weakref

import pytest

from protoo_flask.core.scheduling import call_later_if_alive, one_step

from ..fakes import FakeScheduler


class Lock:
    def __init__(self):
        self.is_held = False

    def __enter__(self):
        self.is_held = True

    def __exit__(self, *exc_info):
        self.is_held = False


class Counter:
    def __init__(self):
        self._lock = Lock()

    def count(self, number, *, times=1):
        """Return the product, and whether the lock is held."""
        return number * times, self._lock.is_held


class SharedCounter(Counter):
    count = one_step(Counter.count)


def test_a_method_that_is_one_step_holds_the_lock_of_its_object():
    assert Counter().count(3, times=2) == (6, False)
    shared = SharedCounter()
    assert shared.count(3, times=2) == (6, True)
    assert not shared._lock.is_held


def test_a_method_that_is_one_step_keeps_its_name_and_docstring():
    assert SharedCounter.count.__name__ == "count"
    assert SharedCounter.count.__doc__ == Counter.count.__doc__


class Bell:
    def __init__(self, rung):
        self.rung = rung

    def ring(self, *args):
        self.rung.extend(args)


class Guest:
    pass


@pytest.mark.parametrize("dropped", [None, "bell", "guest"])
def test_a_timer_calls_a_method_if_its_object_and_the_arguments_are_still_there(dropped):
    scheduler, rung = FakeScheduler(), []
    kept = {"bell": Bell(rung), "guest": Guest()}
    expected = [] if dropped else [kept["guest"]]
    call_later_if_alive(scheduler, 5, kept["bell"].ring, kept["guest"])
    if dropped:
        ref = weakref.ref(kept.pop(dropped))
        assert ref() is None
    scheduler.advance(5)
    assert rung == expected


def test_such_a_timer_can_be_cancelled():
    scheduler, rung = FakeScheduler(), []
    bell, guest = Bell(rung), Guest()
    call_later_if_alive(scheduler, 5, bell.ring, guest).cancel()
    scheduler.advance(5)
    assert rung == []
