"""The pool of greenlets, plain and fast."""

from __future__ import annotations

import contextvars
import socket
import weakref
from typing import Any, Callable

import gevent
import gevent.event
import pytest

from protoo_flask.transport.greenlets import greenlet_pool
from protoo_flask.transport.greenlets.fast_iteration import FastGreenletPool
from protoo_flask.transport.greenlets.greenlet_pool import GreenletPool
from protoo_flask.transport.greenlets.write_batching import WriteBatching

from ..wire import PATIENCE


class Writes(WriteBatching):
    """Writes that a test may watch."""


@pytest.fixture(params=[GreenletPool, FastGreenletPool])
def pool(request: Any) -> GreenletPool:
    pool: GreenletPool = request.param(Writes())
    return pool


def run(pool: GreenletPool, function: Callable[..., Any], *args: Any) -> None:
    """Run a function in a greenlet of the pool; returns when it has returned or blocked."""
    pool.spawn(function, *args)
    gevent.sleep(0)


def test_functions_that_do_not_block_use_one_greenlet(pool):
    seen = []
    for number in range(3):
        run(pool, lambda number: seen.append((number, gevent.getcurrent())), number)

    assert [number for number, _ in seen] == [0, 1, 2]
    assert len({greenlet for _, greenlet in seen}) == 1
    assert (pool.size, pool.busy) == (1, 0)


def test_a_blocked_function_does_not_delay_others(pool):
    event = gevent.event.Event()
    done = []

    run(pool, lambda: (event.wait(PATIENCE), done.append("first")))
    assert (pool.size, pool.busy) == (1, 1)
    run(pool, done.append, "second")
    assert (pool.size, pool.busy) == (2, 1)
    event.set()
    gevent.sleep(0)

    assert done == ["second", "first"]
    assert (pool.size, pool.busy) == (2, 0)


def test_a_function_that_runs_later_lets_the_hub_look_at_sockets_first(pool):
    """A function that asks again each time must not keep the hub from its sockets."""
    here, there = socket.socketpair()
    log: list[str] = []
    done = gevent.event.Event()
    watcher = gevent.get_hub().loop.io(here.fileno(), 1)

    def go_on() -> None:
        log.append("later")
        if log.count("later") == 2:
            there.sendall(b"x")
        if "socket" in log:
            done.set()
        else:
            pool.run_later(go_on)

    def read() -> None:
        here.recv(1)
        log.append("socket")

    pool.attach()
    with here, there:
        watcher.start(pool.run_readable, read)
        run(pool, go_on)
        assert done.wait(PATIENCE)
        watcher.stop()
        watcher.close()
    pool.detach()
    # In the iteration after the bytes have come, whatever its order of events.
    assert log in (["later"] * 2 + ["socket", "later"], ["later"] * 3 + ["socket", "later"])


@pytest.mark.parametrize(("seconds", "together"), [(0, 1), (PATIENCE, 3)])
def test_an_iteration_calls_as_many_later_functions_as_there_is_time_for(
    pool, monkeypatch, seconds, together
):
    monkeypatch.setattr(greenlet_pool, "LATER_TIME", seconds)
    iterations = 0
    seen: list[int] = []

    def count() -> None:
        nonlocal iterations
        iterations += 1

    check = pool.hub.loop.prepare()
    check.start(count)
    pool.attach()
    for _ in range(3):
        pool.run_later(lambda: seen.append(iterations))
    while len(seen) < 3:
        gevent.sleep(0.001)
    pool.detach()
    check.stop()
    check.close()
    assert max(seen.count(number) for number in seen) == together


def test_a_later_function_that_blocks_does_not_hold_up_the_others(pool):
    event, done = gevent.event.Event(), gevent.event.Event()
    pool.attach()
    pool.run_later(event.wait)
    pool.run_later(done.set)
    assert done.wait(PATIENCE)
    event.set()
    gevent.sleep(0)
    pool.detach()
    assert pool.busy == 0


def test_a_function_that_runs_later_is_called_without_any_socket(pool):
    done = gevent.event.Event()
    pool.attach()
    pool.run_later(done.set)
    pool.detach()
    assert done.wait(PATIENCE)


def test_the_messages_of_others_leave_before_a_function_waits_for_a_later_iteration(pool):
    flushes = []
    pool.writes.flush = lambda: flushes.append(1)  # type: ignore[method-assign]
    done = gevent.event.Event()
    pool.run_later(done.set)
    assert flushes == [1]
    assert done.wait(PATIENCE)


def test_the_number_of_idle_greenlets_is_limited(pool, monkeypatch):
    monkeypatch.setattr(greenlet_pool, "MAX_IDLE", 3)
    event = gevent.event.Event()
    for _ in range(10):
        run(pool, event.wait, PATIENCE)
    assert (pool.size, pool.busy) == (10, 10)
    event.set()
    gevent.sleep(0)
    assert (pool.size, pool.busy) == (3, 0)


def test_the_greenlets_are_ordinary_ones_of_gevent(pool):
    seen = []

    def look() -> None:
        seen.append(isinstance(gevent.getcurrent(), gevent.Greenlet))
        gevent.spawn(seen.append, "spawned").join()
        with gevent.Timeout(0.001, False):
            gevent.sleep(PATIENCE)
        seen.append("timed out")
        done.set()

    done = gevent.event.Event()
    run(pool, look)
    assert done.wait(PATIENCE)
    assert seen == [True, "spawned", "timed out"]


def test_context_variables_do_not_reach_the_next_function(pool):
    variable = contextvars.ContextVar("variable", default="nothing")
    seen = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("left behind")
        gevent.sleep(0)
        seen.append(variable.get())

    for _ in range(2):
        run(pool, look)
        gevent.sleep(0.001)
    assert seen == ["nothing", "left behind"] * 2
    assert pool.size == 1


def test_the_pool_keeps_no_function_that_has_returned(pool):
    class Job:
        def __call__(self) -> None:
            pass

    for _ in range(2):
        job = Job()
        run(pool, job)
        weak = weakref.ref(job)
        del job
        assert weak() is None


@pytest.mark.parametrize("fatal", [ValueError("no"), gevent.Timeout(), SystemExit(1)])
def test_an_error_ends_one_greenlet_and_is_reported(pool, fatal, monkeypatch):
    errors = []
    monkeypatch.setattr(
        gevent.get_hub(), "handle_error", lambda context, kind, value, tb: errors.append(value)
    )

    def fail() -> None:
        raise fatal

    run(pool, fail)
    assert pool.size == 0
    assert errors == [fatal]
    seen = []
    run(pool, seen.append, 1)
    assert seen == [1]


def test_a_greenlet_that_was_killed_while_idle_is_not_used(pool):
    seen = []
    run(pool, lambda: seen.append(gevent.getcurrent()))
    seen.pop().kill()
    assert pool.size == 0
    run(pool, seen.append, 1)
    assert seen == [1]
