"""Scheduling: methods that are one step also among threads."""

from __future__ import annotations

from protoo_flask.core.scheduling import one_step


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
