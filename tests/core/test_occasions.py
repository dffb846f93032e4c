"""Occasions: a refusal is told once, and not once for each."""

from __future__ import annotations

import threading

from protoo_flask.core.occasions import MAX_OCCASIONS, QUIET, Occasions


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_an_occasion_lasts_as_long_as_refusals_go_on():
    clock = Clock()
    occasions = Occasions(clock)
    assert occasions.begins("alice")
    for _ in range(5):
        clock.now += QUIET
        assert not occasions.begins("alice")
    clock.now += QUIET + 0.1
    assert occasions.begins("alice")


def test_each_subject_has_its_own():
    occasions = Occasions(Clock())
    assert occasions.begins("alice")
    assert occasions.begins("bob")
    assert not occasions.begins("alice")


def test_many_subjects_do_not_fill_the_memory():
    occasions = Occasions(Clock())
    for number in range(3 * MAX_OCCASIONS):
        assert occasions.begins(number)
    assert len(occasions._last) == MAX_OCCASIONS


def test_threads_may_tell_of_refusals_at_the_same_time():
    occasions = Occasions(lambda: 0.0)
    errors = []

    def tell(name):
        try:
            for number in range(3000):
                occasions.begins((name, number))
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
