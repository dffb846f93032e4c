"""Deadlines: items expire in order, and a single timer serves them all."""

from __future__ import annotations

import threading
import time

import pytest

from protoo_flask.core.deadlines import AT_ONCE, Deadlines
from protoo_flask.core.scheduling import TURN_TIME
from tests.fakes import FakeScheduler


def test_an_item_that_is_added_again_starts_anew_and_delays_no_other():
    scheduler, expired = FakeScheduler(), []
    deadlines = Deadlines(scheduler, 10, lambda item: expired.append((item, scheduler.now())))
    start = scheduler.now()
    for item in ("a", "b", "c"):
        deadlines.add(item)
        scheduler.advance(1)
    deadlines.add("a")
    scheduler.advance(100)
    assert expired == [("b", start + 11), ("c", start + 12), ("a", start + 13)]
    assert len(deadlines) == scheduler.pending_timers == 0


class Restless:
    """A dict that another thread changes while it is looked through, the first times."""

    def __init__(self, deadlines, times):
        self.items_of = deadlines._deadlines.items
        self.times = times

    def items(self):
        for item in self.items_of():
            yield item
            if self.times:
                self.times -= 1
                raise RuntimeError("dictionary changed size during iteration")

    def pop(self, item, default):
        if item == "b":
            return default  # the other thread was quicker
        return default if item == "unknown" else 1.0


def test_changes_by_another_thread_during_the_search_neither_break_nor_double_anything():
    scheduler, expired = FakeScheduler(), []
    deadlines = Deadlines(scheduler, 10, expired.append)
    for item in ("a", "b", "c"):
        deadlines.add(item)
    deadlines._deadlines = Restless(deadlines, 3)
    scheduler.advance(10)
    assert expired == ["a", "c"]


def test_threads_that_add_and_remove_at_once_lose_nothing():
    scheduler, expired = FakeScheduler(), []
    scheduler.now = time.monotonic
    deadlines = Deadlines(scheduler, 0, expired.append)
    start = threading.Barrier(3)

    def add_and_remove(name):
        start.wait()
        for number in range(3000):
            deadlines.add((name, number))
            if number % 3:
                deadlines.remove((name, number))

    threads = [threading.Thread(target=add_and_remove, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        scheduler.advance(1)
    scheduler.advance(1)
    assert len(deadlines) == 0
    assert len(expired) == len(set(expired))
    kept = {(name, number) for name in "ab" for number in range(0, 3000, 3)}
    assert kept <= set(expired)


def test_an_expired_item_may_be_added_again_at_once():
    scheduler, expired = FakeScheduler(), []

    def expire(item):
        expired.append(scheduler.now())
        deadlines.add(item)

    deadlines = Deadlines(scheduler, 10, expire)
    start = scheduler.now()
    deadlines.add("a")
    scheduler.advance(30)
    assert expired == [start + 10, start + 20, start + 30]
    assert len(deadlines) == scheduler.pending_timers == 1


def test_cleared_deadlines_wait_for_nothing_and_can_be_used_again():
    scheduler, expired = FakeScheduler(), []
    deadlines = Deadlines(scheduler, 10, expired.append)
    deadlines.clear()
    deadlines.add("a")
    deadlines.add("b")
    deadlines.clear()
    assert len(deadlines) == scheduler.pending_timers == 0
    deadlines.add("c")
    scheduler.advance(100)
    assert expired == ["c"]


def test_an_item_that_comes_while_the_timer_is_stopped_expires_all_the_same():
    scheduler = FakeScheduler()
    expired: list[int] = []
    deadlines: Deadlines[int] = Deadlines(scheduler, 10, expired.append)
    deadlines.add(1)
    deadlines.remove(1)
    timer = deadlines._timer
    # As another thread does, between the step that takes the timer away and the next.
    timer.cancel = lambda: deadlines.add(2)
    deadlines.rest()
    timers = [timer for _, _, timer in scheduler._timers if timer.function is not None]
    assert len(timers) == 2, "that of the item, and the one that could not be stopped"
    scheduler.advance(10)
    assert expired == [2]


@pytest.mark.parametrize(
    ("count", "times"), [(AT_ONCE, 0), (AT_ONCE + 1, 1), (2 * AT_ONCE, 1), (2 * AT_ONCE + 1, 2)]
)
def test_others_have_their_turns_while_many_items_expire(count, times):
    scheduler, expired, turns = FakeScheduler(), [], []

    def expire(item):
        expired.append(item)
        if item % AT_ONCE == 0:
            scheduler.time += TURN_TIME  # as if they took long

    class Watched(Deadlines):
        def _look(self):
            turns.append(len(expired))
            super()._look()

    deadlines = Watched(scheduler, 10, expire)
    for item in range(count):
        deadlines.add(item)
    scheduler.advance(11)
    assert turns == [AT_ONCE * number for number in range(times + 1)]
    assert expired == list(range(count))
    assert scheduler.pending_timers == 0


def test_many_items_that_expire_quickly_do_so_in_one_turn():
    scheduler, expired = FakeScheduler(), []
    deadlines = Deadlines(scheduler, 10, expired.append)
    for item in range(10 * AT_ONCE):
        deadlines.add(item)
    deadlines._look()
    assert expired == []
    scheduler.time += 10
    deadlines._look()
    assert expired == list(range(10 * AT_ONCE))
    assert scheduler.pending_timers == 0
