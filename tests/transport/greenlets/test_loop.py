"""Time and concurrency on gevent's hub; see also ``test_loop_contract``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import gevent
import pytest

from protoo_flask.transport.greenlets.fast_iteration import FastGreenletPool, FastWriteBatching
from protoo_flask.transport.greenlets.greenlet_pool import GreenletPool
from protoo_flask.transport.greenlets.handover import get_ident
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.greenlets.write_batching import WriteBatching

from ..wire import PATIENCE
from . import counts_watchers


@pytest.fixture
def loop() -> GreenletLoop:
    return GreenletLoop()


def test_the_fast_ways_are_taken_unless_the_plain_ones_are_asked_for(loop):
    assert type(loop.pool) is FastGreenletPool
    assert type(loop.pool.writes) is FastWriteBatching
    loop = GreenletLoop(GreenletPool, WriteBatching)
    assert type(loop.pool) is GreenletPool
    assert type(loop.pool.writes) is WriteBatching


def test_a_timer_fires_once_in_a_greenlet_of_its_own(loop):
    fired = loop.event()

    def fire(value: str) -> None:
        gevent.sleep(0)  # which the hub itself could not
        assert value == "value"
        fired.set()

    timer = loop.call_later(0.001, fire, "value")
    assert fired.wait(PATIENCE)
    timer.cancel()


@counts_watchers
def test_timers_leave_no_watcher_behind(loop):
    gevent.sleep(0)
    before = gevent.get_hub().loop.activecnt
    timers = [loop.call_later(1000, print) for _ in range(10)]
    assert gevent.get_hub().loop.activecnt == before + 10
    for timer in timers:
        timer.cancel()
    assert gevent.get_hub().loop.activecnt == before


def test_blocking_is_noticed_when_it_happens(loop):
    seen = []
    blocked = loop.when_blocked(seen.append, "blocked")
    assert seen == []
    gevent.sleep(0)
    assert seen == ["blocked"]
    blocked.stop()
    gevent.sleep(0)
    assert seen == ["blocked"]


def test_blocking_is_not_noticed_when_it_does_not_happen(loop):
    seen = []
    blocked = loop.when_blocked(seen.append, "blocked")
    blocked.stop()
    gevent.sleep(0)
    assert seen == []


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a real thread, while the hub of the test goes on."""
    return gevent.get_hub().threadpool.apply(function)


def test_a_timer_that_another_thread_sets_fires_on_the_hub(loop):
    fired = loop.event()
    threads = []

    def fire() -> None:
        threads.append(get_ident())
        fired.set()

    in_thread(lambda: loop.call_later(0.001, fire))
    assert fired.wait(PATIENCE)
    assert threads == [get_ident()]


@counts_watchers
def test_another_thread_cancels_a_timer(loop):
    in_thread(lambda: None)  # the threadpool has its own watchers
    before = gevent.get_hub().loop.activecnt
    timer = loop.call_later(1000, print)
    in_thread(timer.cancel)
    in_thread(lambda: loop.call_later(1000, print).cancel())
    in_thread(lambda: loop.call(lambda: None))  # runs after the steps before it
    assert gevent.get_hub().loop.activecnt == before


def test_a_timer_of_another_thread_that_is_canceled_at_once_does_not_fire(loop):
    fired = []
    with ThreadPoolExecutor(1) as pool:  # this thread waits, so the hub cannot run meanwhile
        timer = pool.submit(loop.call_later, 0, fired.append, True).result()
    timer.cancel()
    gevent.sleep(0.01)
    assert fired == []


def test_a_greenlet_that_another_thread_spawns_runs_on_the_hub(loop):
    done = loop.event()
    threads = []

    def run() -> None:
        gevent.sleep(0)
        threads.append(get_ident())
        done.set()

    in_thread(lambda: loop.spawn(run))
    assert done.wait(PATIENCE)
    assert threads == [get_ident()]


def test_another_thread_waits_for_an_event_of_its_own(loop):
    event = in_thread(loop.event)
    assert not event.is_set()
    assert not in_thread(lambda: event.wait(0.001))
    gevent.spawn_later(0.01, event.set)
    assert in_thread(lambda: event.wait(PATIENCE))
    assert event.is_set()
    assert in_thread(event.wait)


def test_a_loop_serves_the_thread_that_has_made_it(loop):
    assert loop.is_here()
    assert not loop.is_foreign()
    assert in_thread(loop.is_foreign)
    assert not in_thread(loop.is_here)
    assert not in_thread(loop.is_gone)
