"""Time and concurrency on gevent's hub; see also ``test_loop_contract``."""

from __future__ import annotations

import threading

import gevent
import pytest

from protoo_flask.transport.greenlets.fast_greenlet_pool import FastGreenletPool
from protoo_flask.transport.greenlets.fast_write_batching import FastWriteBatching
from protoo_flask.transport.greenlets.greenlet_pool import GreenletPool
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


def test_each_thread_has_a_pool_of_its_own(loop):
    done: list[threading.Thread] = []

    def serve() -> None:
        event = loop.event()
        loop.call_later(0, loop.spawn, event.set)
        if event.wait(PATIENCE):
            done.append(threading.current_thread())
        gevent.get_hub().destroy(destroy_loop=True)

    for _ in range(2):
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join(PATIENCE)
    assert len(done) == 2
