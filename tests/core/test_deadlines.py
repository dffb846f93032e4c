"""Deadlines, and what they are for: a request that nobody answers ends with a 504."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from protoo_flask.core.deadlines import Deadlines
from protoo_flask.core.routing.router import Router
from tests.fakes import Core, FakeScheduler


def forget(req, next):
    """Neither reply nor call next()."""


def pass_on(req, next):
    next()


def forgetful_core(**options):
    core = Core(response_timeout=30, **options)
    core.router.get("/slow/:n", pass_on, forget)
    return core


def test_a_request_that_nobody_answers_ends_with_504_after_the_time():
    core = forgetful_core()
    alice = core.connect()
    id = alice.start_request("get", "/slow/1")
    core.scheduler.advance(29.9)
    assert alice.take_all() == []
    core.scheduler.advance(0.2)
    answer = alice.take()
    assert (answer["status"], answer["reason"], answer["id"]) == (504, "no answer", id)
    assert alice.take_all() == []


def test_the_log_names_the_handler_that_it_stopped_in(caplog):
    core = forgetful_core()
    core.connect().start_request("get", "/slow/1")
    with caplog.at_level(logging.WARNING):
        core.scheduler.advance(31)
    (record,) = caplog.records
    text = record.getMessage()
    assert "get /slow/1" in text
    assert f"{__name__}.forget" in text
    assert f"{__file__}:{forget.__code__.co_firstlineno}" in text
    assert "pass_on" not in text


def test_the_handler_is_named_in_a_nested_router_too(caplog):
    core = Core(response_timeout=30)
    core.router.use("/x", Router().use(pass_on).use("/y", forget))
    core.connect().start_request("get", "/x/y")
    core.scheduler.advance(31)
    assert f"{__name__}.forget" in caplog.text


def test_requests_expire_each_in_its_time_in_order():
    core = forgetful_core()
    alice = core.connect()
    first = alice.start_request("get", "/slow/1")
    core.scheduler.advance(10)
    second, third = alice.start_request("get", "/slow/2"), alice.start_request("get", "/slow/3")
    core.scheduler.advance(20)
    assert [answer["id"] for answer in alice.take_all()] == [first]
    core.scheduler.advance(9.9)
    assert alice.take_all() == []
    core.scheduler.advance(0.1)
    assert [answer["id"] for answer in alice.take_all()] == [second, third]
    assert len(core.application.runtime.unanswered) == core.scheduler.pending_timers == 0


@pytest.mark.parametrize("how", ["reply", "next", "error", "bad path"])
def test_what_is_answered_is_not_waited_for(how, caplog):
    core = Core(response_timeout=30)
    core.router.get("/reply", lambda req, next: req.reply(200))
    core.router.get("/error", lambda req, next: next(ValueError()))
    core.router.get("/bad path/:x", forget)
    alice = core.connect()
    alice.request("get", f"/{how}/%zz" if how == "bad path" else f"/{how}")
    assert len(core.application.runtime.unanswered) == 0
    caplog.clear()
    core.scheduler.advance(100)
    assert alice.take_all() == caplog.records == []


def test_a_provisional_reply_is_no_answer():
    core = Core(response_timeout=30)
    core.router.get("/", lambda req, next: req.reply(100, "trying"))
    alice = core.connect()
    alice.request("get", "/")
    core.scheduler.advance(30)
    assert alice.take()["status"] == 504


def test_a_request_that_is_kept_open_may_take_its_time():
    core, requests = Core(response_timeout=30), []
    core.router.get("/", lambda req, next: (req.keep_open(), requests.append(req)))
    alice = core.connect()
    alice.start_request("get", "/")
    core.scheduler.advance(1000)
    assert alice.take_all() == []
    requests[0].reply(200, "at last")
    assert alice.take()["reason"] == "at last"


def test_a_notification_has_no_answer_to_wait_for(caplog):
    core = forgetful_core()
    alice = core.connect()
    alice.notify("get", "/slow/1")
    core.scheduler.advance(1000)
    assert alice.take_all() == caplog.records == []


def test_without_a_time_nothing_expires():
    core = Core(response_timeout=None)
    core.router.get("/", forget)
    alice = core.connect()
    alice.start_request("get", "/")
    core.scheduler.advance(1e6)
    assert alice.take_all() == []
    assert core.scheduler.pending_timers == 0


def test_a_handler_that_blocks_for_too_long_is_answered_for_and_its_reply_comes_too_late(caplog):
    core = Core(response_timeout=30)

    @core.router.get("/")
    def block(req, next):
        core.scheduler.event().wait(60)
        assert req.ended
        next()

    alice = core.connect()
    assert alice.request("get", "/")["status"] == 504
    assert "block" in caplog.text
    assert alice.take_all() == core.framework.errors == []


def test_after_the_504_the_id_is_free_and_the_connection_lives():
    core = forgetful_core()
    core.router.get("/", lambda req, next: req.reply(200))
    alice = core.connect()
    alice.send({"method": "get", "path": "/slow/1", "id": 7})
    core.scheduler.advance(30)
    assert alice.take()["status"] == 504
    alice.send({"method": "get", "path": "/", "id": 7})
    assert alice.take()["status"] == 200
    assert alice.link.closed is None


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
