"""A device leaves many messages unanswered, and goes: the site is told of each of them."""

from __future__ import annotations

import json
import sys
from typing import Iterator

import pytest

from benchmarks.cookies import cookie_of
from protoo_flask.core.errands import MAX_ERRANDS

from .clients import Client, Site
from .processes import ROOT, Server, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks are for Linux")

MESSAGES = 200


@pytest.fixture
def attacked() -> Iterator[Server]:
    """Return a server with the site of the attacks, whose ``on_offline`` blocks for 50 ms."""
    command = ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", "attacked_site:app"]
    server = start("gunicorn", command, cwd=ROOT / "benchmarks" / "servers")
    yield server
    server.stop()


def connect(site: Site, username: str, uuid: str) -> Client:
    return site.connect_with(f"?uuid={uuid}", Cookie=cookie_of(username))


def test_few_functions_run_at_a_time_when_a_device_leaves(attacked: Server) -> None:
    site = Site(attacked.port)
    with connect(site, "alice", "a1") as alice, connect(site, "bob", "b1") as bob:
        for _ in range(MESSAGES):
            alice.start("message", "/stored/bob", {"text": "hi"})
        for _ in range(MESSAGES):
            bob.expect("message")
        bob.close()
        statuses = [alice.receive()["status"] for _ in range(MESSAGES)]
        assert statuses == [202] * MESSAGES
        assert alice.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
    running = json.loads(site.http("GET", "/running").text)
    assert 1 <= running["most handlers"] <= MAX_ERRANDS
