"""Fixtures of all features."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from protoo_flask.transport.threads.loop import ThreadLoop
from tests.fakes import FakeScheduler


@pytest.fixture
def threads(monkeypatch):
    """Return a function that runs functions in threads.

    Locks and events are those of threads, and threads are switched as often as possible.
    """
    loop = ThreadLoop()
    monkeypatch.setattr(FakeScheduler, "lock", ThreadLoop.lock)
    monkeypatch.setattr(FakeScheduler, "event", lambda self: loop.event())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield run_in_threads
    sys.setswitchinterval(interval)


def run_in_threads(functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result()
