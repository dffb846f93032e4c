"""Errands of a peer: a few at a time, in order."""

from __future__ import annotations

import pytest

from protoo_flask.core.errands import MAX_ERRANDS, Errands

from ..fakes import FakeScheduler


class ManualScheduler(FakeScheduler):
    """Keeps what is spawned, to be run by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned = []

    def spawn(self, function, *args):
        self.spawned.append((function, args))

    def run_next(self):
        function, args = self.spawned.pop(0)
        function(*args)


@pytest.fixture
def scheduler():
    return ManualScheduler()


def add(errands, count, done):
    for number in range(count):
        errands.add(done.append, number)


@pytest.mark.parametrize("count", [MAX_ERRANDS - 1, MAX_ERRANDS])
def test_errands_up_to_the_limit_run_at_once(scheduler, count):
    errands = Errands(scheduler)
    add(errands, count, [])
    assert (len(scheduler.spawned), len(errands)) == (count, 0)


def test_an_errand_beyond_the_limit_waits_until_another_one_has_returned(scheduler):
    errands, done = Errands(scheduler), []
    add(errands, MAX_ERRANDS + 1, done)
    assert (len(scheduler.spawned), len(errands)) == (MAX_ERRANDS, 1)
    scheduler.run_next()
    assert (len(scheduler.spawned), len(errands)) == (MAX_ERRANDS, 0)


def test_errands_begin_in_order(scheduler):
    errands, done = Errands(scheduler), []
    add(errands, 5 * MAX_ERRANDS, done)
    while scheduler.spawned:
        scheduler.run_next()
    assert done == list(range(5 * MAX_ERRANDS))
    add(errands, MAX_ERRANDS, done)
    assert len(scheduler.spawned) == MAX_ERRANDS


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_an_errand_that_raises_gives_its_place_back(scheduler, error):
    def fail():
        raise error

    errands, done = Errands(scheduler), []
    for _ in range(MAX_ERRANDS):
        errands.add(fail)
    add(errands, 2, done)
    for _ in range(MAX_ERRANDS):
        with pytest.raises(error):
            scheduler.run_next()
    while scheduler.spawned:
        scheduler.run_next()
    assert done == [0, 1]
