"""Greenlets that wait for something to do."""

from __future__ import annotations

import contextvars
import weakref
from typing import Any, Callable

import gevent
import gevent.event
import pytest

from protoo_flask.transport.greenlets import greenlet_pool as workers_module
from protoo_flask.transport.greenlets.greenlet_pool import Workers

from ..wire import PATIENCE


@pytest.fixture
def workers() -> Workers:
    return Workers()


def run(workers: Workers, function: Callable[..., Any], *args: Any) -> None:
    """Run a function in a worker; returns when it has, or has blocked."""
    workers.run_soon(function, *args)
    gevent.sleep(0)


def test_what_does_not_block_is_done_by_one_greenlet_that_is_used_again(workers):
    seen = []
    for number in range(3):
        run(workers, lambda number: seen.append((number, gevent.getcurrent())), number)

    assert [number for number, _ in seen] == [0, 1, 2]
    assert len({greenlet for _, greenlet in seen}) == 1
    assert (workers.size, workers.busy) == (1, 0)


def test_who_is_blocked_keeps_nobody_waiting(workers):
    event = gevent.event.Event()
    done = []

    run(workers, lambda: (event.wait(PATIENCE), done.append("first")))
    assert (workers.size, workers.busy) == (1, 1)
    run(workers, done.append, "second")
    assert (workers.size, workers.busy) == (2, 1)
    event.set()
    gevent.sleep(0)

    assert done == ["second", "first"]
    assert (workers.size, workers.busy) == (2, 0)


def test_only_so_many_wait(workers, monkeypatch):
    monkeypatch.setattr(workers_module, "MAX_IDLE", 3)
    event = gevent.event.Event()
    for _ in range(10):
        run(workers, event.wait, PATIENCE)
    assert (workers.size, workers.busy) == (10, 10)
    event.set()
    gevent.sleep(0)
    assert (workers.size, workers.busy) == (3, 0)


def test_a_worker_is_a_greenlet_of_gevents_like_any_other(workers):
    seen = []

    def look() -> None:
        seen.append(isinstance(gevent.getcurrent(), gevent.Greenlet))
        gevent.spawn(seen.append, "spawned").join()
        with gevent.Timeout(0.001, False):
            gevent.sleep(PATIENCE)
        seen.append("timed out")

    run(workers, look)
    gevent.sleep(0.01)
    assert seen == [True, "spawned", "timed out"]


def test_context_variables_are_not_left_to_the_next(workers):
    variable = contextvars.ContextVar("variable", default="nothing")
    seen = []

    def look() -> None:
        seen.append(variable.get())
        variable.set("left behind")
        gevent.sleep(0)
        seen.append(variable.get())

    for _ in range(2):
        run(workers, look)
        gevent.sleep(0.001)
    assert seen == ["nothing", "left behind"] * 2
    assert workers.size == 1


def test_what_is_done_is_kept_by_nobody(workers):
    class Job:
        def __call__(self) -> None:
            pass

    for _ in range(2):
        job = Job()
        run(workers, job)
        weak = weakref.ref(job)
        del job
        assert weak() is None


@pytest.mark.parametrize("fatal", [ValueError("no"), gevent.Timeout(), SystemExit(1)])
def test_an_error_ends_one_worker_and_is_reported(workers, fatal, monkeypatch):
    errors = []
    monkeypatch.setattr(
        gevent.get_hub(), "handle_error", lambda context, kind, value, tb: errors.append(value)
    )

    def fail() -> None:
        raise fatal

    run(workers, fail)
    assert workers.size == 0
    assert errors == [fatal]
    seen = []
    run(workers, seen.append, 1)
    assert seen == [1]


def test_one_that_was_killed_while_it_waited_is_not_asked(workers):
    seen = []
    run(workers, lambda: seen.append(gevent.getcurrent()))
    seen.pop().kill()
    assert workers.size == 0
    run(workers, seen.append, 1)
    assert seen == [1]
