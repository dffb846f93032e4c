"""A server is replaced while clients with ``repeat`` write to each other: nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import socket

import pytest

from tests.cluster.redis_servers import RedisServer

from ..clients import Site, eventually
from ..drain_load import check_nothing_lost, load
from ..draining_site import CLUSTER_URL, SETTINGS
from ..processes import DEADLINE, start
from .test_drain import APP

#: Pairs of clients that write to each other.
PAIRS = 10

#: Messages that each client has delivered before the server is replaced, and after that.
SOME = 30


@pytest.fixture
def start_gunicorn():
    """Return a function that starts a gunicorn at a port; without one, at any."""
    with contextlib.ExitStack() as stack:
        servers = []

        def start_gunicorn(*options, port=0, **env):
            command = ["-m", "gunicorn", "-k", "gevent", "--bind", f"127.0.0.1:{port}"]
            env = {SETTINGS: "DISCONNECT_GRACE_PERIOD=30", "PYTHONWARNINGS": "ignore", **env}
            server = start("draining", [*command, *options, APP + "()"], **env)
            servers.append(server)
            stack.callback(server.stop)
            return server

        yield start_gunicorn
    for server in servers:
        assert server.complaints() == [], server.output()


def count_closes(writers):
    return sum(code == 1001 for writer in writers for code, _ in writer.closes)


def wait_for_messages(writers):
    """Wait until each client has delivered some more messages."""
    before = [sum(writer.acknowledged.values()) for writer in writers]

    def all_have():
        return all(
            sum(writer.acknowledged.values()) >= count + SOME or writer.faults
            for writer, count in zip(writers, before)
        )

    eventually(all_have, True)


def wait_until_all_have_moved(writers, times=1):
    eventually(lambda: count_closes(writers) >= times * len(writers), True)
    wait_for_messages(writers)


def test_a_reload(start_gunicorn):
    server = start_gunicorn()
    with load([server.port], PAIRS) as writers:
        wait_for_messages(writers)
        for time in (1, 2):
            server.process.send_signal(signal.SIGHUP)
            wait_until_all_have_moved(writers, time)
    check_nothing_lost(writers)


def test_a_restart(start_gunicorn):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start_gunicorn(port=port)
    with load([port], PAIRS) as writers:
        wait_for_messages(writers)
        server.interrupt()
        assert server.process.wait(DEADLINE) == 0
        start_gunicorn(port=port)
        wait_until_all_have_moved(writers)
    check_nothing_lost(writers)


def test_a_worker_that_has_handled_as_many_requests_as_it_may(start_gunicorn):
    server = start_gunicorn("--max-requests", str(2 * PAIRS + 5))
    site = Site(server.port)
    with load([server.port], PAIRS) as writers:
        wait_for_messages(writers)
        for _ in range(5):
            site.get("/page")
        wait_until_all_have_moved(writers)
    check_nothing_lost(writers)


def test_a_reload_of_two_workers(start_gunicorn, tmp_path):
    """They are a cluster: old and new ones are one site, and nobody is ever offline."""
    redis = RedisServer(tmp_path)
    try:
        server = start_gunicorn("--workers", "2", **{CLUSTER_URL: redis.url})
        with load([server.port], PAIRS) as writers:
            wait_for_messages(writers)
            first_line = server.line_count
            server.process.send_signal(signal.SIGHUP)
            wait_until_all_have_moved(writers)
            assert not server.has_printed("offline ", first_line)
        check_nothing_lost(writers)
        server.stop()
    finally:
        redis.stop()
