"""Time and concurrency by threads; see also ``test_loop_contract``."""

from __future__ import annotations

import threading
from typing import Any, Iterator

import pytest

from protoo_flask.transport.threads.loop import ThreadLoop

from ..wire import PATIENCE


@pytest.fixture
def loop() -> Iterator[Any]:
    before = set(threading.enumerate())
    yield ThreadLoop()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


def test_the_thread_of_the_timers_ends_with_the_last_of_them(loop):
    timers = [loop.call_later(1000, print) for _ in range(3)]
    waiting = [thread for thread in threading.enumerate() if thread.name == "protoo"]
    assert len(waiting) == 1
    for timer in timers:
        timer.cancel()
    waiting[0].join(PATIENCE)
    assert not waiting[0].is_alive()
    fired = threading.Event()
    loop.call_later(0.001, fired.set)
    assert fired.wait(PATIENCE)


def test_blocking_is_not_noticed(loop):
    assert loop.preempts
    with pytest.raises(NotImplementedError, match="nobody notices"):
        loop.when_blocked(print)


def test_canceled_timers_are_forgotten_before_they_are_due(loop):
    # A client can start and cancel timers of minutes: calls that it makes and ends.
    kept = [loop.call_later(1000, print) for _ in range(10)]
    for _ in range(5000):
        loop.call_later(1000, print).cancel()
    assert len(loop._timers) < 500
    fired = threading.Event()
    loop.call_later(0.001, fired.set)
    assert fired.wait(PATIENCE)
    for timer in kept:
        timer.cancel()
