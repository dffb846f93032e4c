"""Rates of requests, over real sockets, on each kind of server.

The buckets of these sites gain one in twenty seconds, so a burst of a moment is exact.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .clients import CLOSE, TEXT, Client, RawClient
from .conftest import run_cluster
from .server_cluster import SpreadSite

REFUSED = "too many requests"


def flood(client: Client, count: int) -> list[int]:
    """Make requests one after the other; returns the status of each."""
    return [client.request("get", "/echo")["status"] for _ in range(count)]


def frames(count: int, path: str = "/echo") -> bytes:
    """Return requests with the ids 1, 2, ... as frames."""
    return b"".join(
        RawClient.frame(
            TEXT, json.dumps({"method": "get", "path": path, "id": id, "data": {}}).encode()
        )
        for id in range(1, count + 1)
    )


def read_in_order(client: RawClient, count: int) -> list[dict[str, Any]]:
    """Return answers in the order of their ids: in threads, a 429 may come before others."""
    return sorted((client.read_message() for _ in range(count)), key=lambda answer: answer["id"])


def test_exactly_a_burst_is_handled_and_the_next_is_refused(site_at, alice, bob):
    site = site_at("/metered")
    with site.connect(alice) as client, site.connect(bob) as other:
        assert flood(client, 20) == [200] * 20
        refused = client.request("get", "/echo")
        assert (refused["status"], refused["reason"]) == (429, REFUSED)
        assert 0 < refused["data"]["retryAfter"] <= 20
        assert flood(other, 1) == [200]


def test_the_devices_of_a_user_share_a_bucket(site_at, alice):
    site = site_at("/metered")
    with site.connect(alice, "a1") as one, site.connect(alice, "a2") as other:
        assert flood(one, 16) + flood(other, 16) == [200] * 30 + [429] * 2


def test_notifications_beyond_it_are_dropped_and_the_log_tells_once(server, site_at, alice):
    with site_at("/metered").connect(alice) as client:
        for _ in range(30):
            client.notify("get", "/echo")
        assert client.request("get", "/echo")["status"] == 429
    line = f"requests of device a1 of user {alice} are refused for now"
    server.wait_for_output(line, server.first_line)
    assert server.output(server.first_line).count(line) == 1


def test_requests_that_are_sent_at_once_are_answered_in_order(site_at, alice):
    with site_at("/metered").connect_raw(alice) as client:
        client.send_bytes(frames(300))
        answers = [client.read_message() for _ in range(300)]
    # In threads, the first ones are handled while the later ones are refused.
    statuses = {answer["id"]: answer["status"] for answer in answers}
    assert [statuses[id] for id in range(1, 301)] == [200] * 20 + [429] * 280
    for status in (200, 429):
        ids = [answer["id"] for answer in answers if answer["status"] == status]
        assert ids == sorted(ids)


def test_requests_behind_a_slow_one_are_counted_when_they_come(site_at, alice):
    """They wait for its handler; those beyond the burst do not."""
    with site_at("/metered-parallel").connect_raw(alice) as client:
        client.send_bytes(frames(25, "/echo"))
        answers = [client.read_message() for _ in range(25)]
        assert sum(answer["status"] == 200 for answer in answers) == 20
        assert {answer["id"] for answer in answers if answer["status"] == 429} == {*range(21, 26)}


def test_a_client_that_comes_back_may_repeat_its_request(site_at, alice):
    site = site_at("/metered-parallel")
    request = {"method": "get", "path": "/echo", "id": 900, "data": {"n": 7}}
    with site.connect(alice) as client:
        assert flood(client, 19) == [200] * 19
        client.send(request)
        answer = client.receive()
        assert answer["status"] == 200
    with site.connect(alice) as client:
        client.send(request)
        # Its client left with 1000: it is another peer, and the bucket is the same.
        assert client.receive()["status"] == 429
    client = site.connect_raw(alice, "a2")
    client.send_bytes(frames(21))
    first = read_in_order(client, 21)
    assert [message["status"] for message in first] == [200] * 20 + [429]
    client.break_off()
    with site.connect_raw(alice, "a2") as client:
        client.send_bytes(frames(20))
        assert read_in_order(client, 20) == first[:20]
        client.send_request("get", "/echo", 901)
        assert client.read_message()["status"] == 429


def test_a_client_that_goes_on_is_closed(site_at, alice):
    with site_at("/metered").connect_raw(alice) as client:
        client.send_bytes(frames(1500))
        refused = 0
        opcode, payload = client.read_frame()
        while opcode == TEXT:
            refused += json.loads(payload)["status"] == 429
            opcode, payload = client.read_frame()
    assert (opcode, payload) == (CLOSE, (1008).to_bytes(2, "big") + b"rate limit exceeded")
    # Patience comes back meanwhile, by one in 60 milliseconds.
    assert 1001 <= refused < 1400


def test_after_retry_after_a_path_lets_exactly_one_more_pass(site_at, alice):
    with site_at("/measured").connect(alice) as client:
        assert flood(client, 5) == [200] * 5
        refused = client.request("get", "/echo")
        assert (refused["status"], refused["reason"]) == (429, REFUSED)
        time.sleep(refused["data"]["retryAfter"])
        assert flood(client, 2) == [200, 429]


# Two workers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with run_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
    assert cluster.complaints(cluster.first_line) == []


def test_a_user_has_one_bucket_at_two_workers(cluster, alice):
    """Each worker may keep a tenth of the burst to itself, and one more."""
    site = SpreadSite(cluster, "/metered")
    with site.connect(alice, "a1") as one, site.connect(alice, "a2") as other:
        statuses = [status for _ in range(20) for status in flood(one, 1) + flood(other, 1)]
        assert 30 <= statuses.count(200) <= 30 + 2 * (3 + 1)
        assert flood(one, 3) + flood(other, 3) == [429] * 6


def test_a_device_that_moves_to_another_worker_does_not_refill_its_bucket(cluster, alice):
    site = SpreadSite(cluster, "/metered")
    with site.connect(alice) as client:
        assert flood(client, 21) == [200] * 20 + [429]
    allowed = []
    for _ in range(4):
        with site.connect(alice) as client:
            allowed.append(flood(client, 10).count(200))
    # Two of twenty, one more, and what is on its way.
    assert allowed[0] <= 2 + 1 + 3
    assert allowed[1:] == [0, 0, 0]


def test_a_small_limit_of_a_path_is_exact_at_two_workers(cluster, alice):
    site = SpreadSite(cluster, "/measured")
    with site.connect(alice, "a1") as one, site.connect(alice, "a2") as other:
        begin = time.monotonic()
        statuses = [status for _ in range(10) for status in flood(one, 1) + flood(other, 1)]
        gained = (time.monotonic() - begin) * 0.5
        assert 5 <= statuses.count(200) <= 5 + gained
