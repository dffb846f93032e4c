"""The fast pool: one greenlet for all sockets that are readable in an iteration."""

from __future__ import annotations

from typing import Any, Iterator

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.transport.greenlets.fast_iteration import FastGreenletPool
from protoo_flask.transport.greenlets.greenlet_pool import GreenletPool
from protoo_flask.transport.greenlets.write_batching import WriteBatching

from ..wire import PATIENCE


class RecordingWrites(WriteBatching):
    """Counts batches."""

    def __init__(self) -> None:
        self.begun = self.ended = 0

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def pool() -> Iterator[FastGreenletPool]:
    pool = FastGreenletPool(RecordingWrites())
    pool.attach()
    yield pool
    pool.detach()
    gevent.sleep(0)


def fire(pool: GreenletPool, *functions: Any) -> None:
    """Have some sockets become readable in one iteration of the hub."""
    for function in functions:
        watcher = gevent.get_hub().loop.timer(0)
        watcher.start(lambda function=function: pool.run_readable(function))


def wait_for(pool: GreenletPool, log: list[Any], size: int) -> None:
    with gevent.Timeout(PATIENCE):
        while len(log) < size or pool.busy:
            gevent.sleep(0.0005)


def test_all_that_is_readable_is_one_batch_for_one_greenlet(pool):
    seen: list[Any] = []
    fire(pool, *[lambda: seen.append(gevent.getcurrent())] * 3)
    wait_for(pool, seen, 3)
    assert len(set(seen)) == 1
    assert (pool.writes.begun, pool.writes.ended) == (1, 1)


def test_when_one_blocks_another_greenlet_continues(pool):
    seen: list[Any] = []

    def block() -> None:
        seen.append(gevent.getcurrent())
        gevent.sleep(0)

    fire(pool, *[block] * 3)
    wait_for(pool, seen, 3)
    assert len(set(seen)) == 3
    assert pool.writes.begun == 1


def test_a_function_is_called_even_if_its_socket_is_closed_meanwhile():
    pool = FastGreenletPool(WriteBatching())
    pool.attach()
    seen: list[int] = []
    pool.run_readable(lambda: seen.append(1))
    pool.detach()
    gevent.sleep(0)
    assert seen == [1]


def test_the_end_of_iterations_is_watched_while_a_socket_is_attached():
    pool = FastGreenletPool(WriteBatching())
    for _ in range(2):
        pool.attach()
        pool.attach()
        pool.detach()
        assert pool._end_of_iteration.active
        pool.detach()
        assert pool._end_of_iteration is None


def run(pool: GreenletPool, iterations: list[list[int]]) -> dict[int, list[int]]:
    """Run functions that block some times each; returns the steps of each of them."""
    log: list[tuple[int, int]] = []

    def make(number: int, blocks: int) -> Any:
        def work() -> None:
            for step in range(blocks):
                log.append((number, step))
                gevent.sleep(0)
            log.append((number, blocks))

        return work

    pool.attach()
    size = number = 0
    for functions in iterations:
        made = []
        for blocks in functions:
            made.append(make(number, blocks))
            number += 1
            size += blocks + 1
        fire(pool, *made)
        gevent.sleep(0)
    wait_for(pool, log, size)
    pool.detach()
    gevent.sleep(0)
    steps: dict[int, list[int]] = {}
    for number, step in log:
        steps.setdefault(number, []).append(step)
    return steps


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=4))
def test_every_function_is_run_to_its_end_as_in_the_plain_pool(iterations):
    plain, fast = GreenletPool(WriteBatching()), FastGreenletPool(WriteBatching())
    assert run(fast, iterations) == run(plain, iterations)
    assert fast.busy == plain.busy == 0
