"""The end of one of gevent's servers, in this process."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer

from protoo_flask.transport import server_ends
from protoo_flask.transport.server_ends import (
    GUNICORN_NEEDS,
    find_server,
    find_time,
    find_worker,
    watch_server,
)


class Drain:
    """A drain that a test ends."""

    def __init__(self):
        self.endings = []
        self.over = Event()
        self.waiting = 0

    def begin(self, ending):
        self.endings.append(ending)
        return self

    def wait(self, timeout=None):
        self.waiting += 1
        return self.over.wait(timeout)


class Served:
    """A server, and its end as it was found by the handler of a connection."""

    def __init__(self, **options):
        self.ends = []
        self.server = StreamServer(("127.0.0.1", 0), self.handle, **options)
        self.server.start()
        self.address = self.server.address
        self.drain = Drain()
        self.call()
        self.end = self.ends[0]
        self.end.then(self.drain.begin)

    def handle(self, sock, address):
        self.ends.append(watch_server())
        sock.close()

    def call(self):
        with socket.create_connection(self.address, 5) as sock:
            assert sock.recv(1) == b""

    def accepts(self):
        try:
            self.call()
        except OSError:
            return False
        return True


@pytest.fixture
def served(request):
    served = Served(**getattr(request, "param", {}))
    yield served
    served.drain.over.set()
    served.server.stop(timeout=0)


def make_worker(nr=1, workers=1, graceful_timeout=30):
    return SimpleNamespace(
        alive=False,
        nr=nr,
        max_requests=10,
        cfg=SimpleNamespace(workers=workers, graceful_timeout=graceful_timeout),
    )


def test_outside_of_a_server_there_is_none():
    assert find_server() is None
    assert watch_server() is None
    assert find_worker() is None


def test_a_server_has_one_end(served):
    served.call()
    first, second = served.ends
    assert first is second is served.server.close


def test_stop_returns_after_the_drain(served):
    stop = gevent.spawn(served.server.stop)
    gevent.sleep(0)
    assert served.drain.waiting == 1
    assert not stop.ready()
    assert not served.accepts()
    served.drain.over.set()
    stop.join(5)
    assert stop.successful()


def test_the_drain_begins_once(served):
    served.drain.over.set()
    served.server.stop()
    served.server.close()
    assert len(served.drain.endings) == 1


def test_a_server_of_a_script_has_any_time(served):
    served.drain.over.set()
    served.server.stop()
    (ending,) = served.drain.endings
    assert ending.seconds is None
    assert not ending.ends_process
    assert not ending.has_successor()


def test_somebody_else_who_listens_there_is_seen(served):
    served.drain.over.set()
    served.server.stop()
    (ending,) = served.drain.endings
    other = StreamServer(served.address, lambda sock, address: None)
    other.start()
    assert ending.has_successor()
    other.stop()
    assert not ending.has_successor()


def test_a_drain_that_cannot_begin_does_not_keep_the_server(served, caplog):
    def fail(ending):
        raise ValueError("a defect")

    served.end.then(fail)
    served.end.then(lambda ending: None)
    served.drain.over.set()
    served.server.stop()
    assert not served.accepts()
    assert "cannot be drained" in caplog.text


def test_a_forked_child_closes_its_copy_without_a_drain(served, monkeypatch):
    monkeypatch.setattr(os, "getpid", int)
    served.server.close()
    assert served.drain.endings == []


# gunicorn


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGABRT"])
def test_a_worker_is_found_by_any_of_its_signals(name, monkeypatch):
    worker = make_worker()
    handlers = {getattr(signal, name): SimpleNamespace(__self__=worker)}
    monkeypatch.setattr(server_ends.signal, "getsignal", handlers.get)
    assert find_worker() is worker


@pytest.mark.parametrize(
    ("graceful_timeout", "seconds"),
    [(0, 0), (GUNICORN_NEEDS, 0), (GUNICORN_NEEDS + 1, 1), (30, 30 - GUNICORN_NEEDS)],
)
def test_a_drain_has_less_time_than_the_worker(graceful_timeout, seconds):
    assert find_time(make_worker(graceful_timeout=graceful_timeout)) == seconds


@pytest.mark.parametrize("served", [{"spawn": Pool(1)}, {"spawn": Pool(10)}], indirect=True)
def test_the_pool_of_a_worker_is_not_empty_until_the_drain_is_over(served, monkeypatch):
    monkeypatch.setattr(server_ends, "find_worker", make_worker)
    served.server.close()
    pool = served.server.pool
    gevent.sleep(0)
    assert len(pool) == 1
    assert not served.accepts()
    served.drain.over.set()
    pool.join(5)
    assert len(pool) == 0
    assert served.drain.endings[0].ends_process


@pytest.mark.parametrize("served", [{"spawn": Pool(10)}], indirect=True)
def test_a_worker_that_is_alone_goes_on_accepting(served, monkeypatch):
    monkeypatch.setattr(server_ends, "find_worker", lambda: make_worker(nr=10))
    served.server.close()
    assert served.accepts()
    assert not served.drain.endings[0].has_successor()
    served.drain.over.set()
    gevent.sleep(0.01)
    assert not served.accepts()


@pytest.mark.parametrize("served", [{"spawn": Pool(10)}], indirect=True)
@pytest.mark.parametrize("worker", [make_worker(nr=9), make_worker(nr=10, workers=2)])
def test_one_that_has_a_successor_does_not(worker, served, monkeypatch):
    monkeypatch.setattr(server_ends, "find_worker", lambda: worker)
    served.server.close()
    assert not served.accepts()


@pytest.mark.parametrize("served", [{"spawn": Pool(10)}], indirect=True)
def test_a_worker_that_waits_no_longer_closes_at_once(served, monkeypatch):
    monkeypatch.setattr(server_ends, "find_worker", lambda: make_worker(nr=10))
    served.server.close()
    served.server.close()
    assert not served.accepts()
