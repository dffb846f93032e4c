"""Deadlines: items expire in order, and a single timer serves them all."""

from __future__ import annotations

import threading
import time

from protoo_flask.core.deadlines import Deadlines
from tests.fakes import FakeScheduler


def test_what_is_added_again_waits_from_the_beginning_and_delays_nobody():
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


def test_what_another_thread_changes_meanwhile_neither_breaks_nor_doubles_anything():
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


def test_what_has_expired_may_be_added_again_at_once():
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


def test_there_is_one_timer_though_something_comes_while_the_last_is_put_to_rest():
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
