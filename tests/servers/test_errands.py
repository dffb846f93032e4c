"""A device leaves many requests of the site unanswered, and goes: the site is told of each."""

from __future__ import annotations

import json
import sys
from typing import Iterator

import pytest

from benchmarks.cookies import cookie_of
from protoo_flask.core.errands import MAX_ERRANDS

from .clients import Client, Site, eventually
from .processes import ROOT, Server, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks are for Linux")

MESSAGES = 200


@pytest.fixture
def attacked() -> Iterator[Server]:
    """Return a server with the site of the attacks, whose ``on_response`` blocks for 50 ms."""
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
            assert alice.request("get", "/tell/bob")["status"] == 200
            bob.expect("news")
        bob.close()
        # Each takes 50 ms, so the last ones begin much later.
        eventually(lambda: running(site)["handlers"], MAX_ERRANDS)
        assert alice.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        eventually(lambda: running(site)["handlers"], 0)
    assert running(site)["most handlers"] == MAX_ERRANDS


def running(site: Site) -> dict[str, int]:
    found: dict[str, int] = json.loads(site.http("GET", "/running").text)
    return found
