"""The buckets of rate limits in a real Redis: keys, clocks, and a Redis that is full."""

from __future__ import annotations

import time

import pytest
import redis

from protoo_flask.cluster.keys import Keys
from protoo_flask.cluster.scripts import SPEND

KEY = Keys("protoo").bucket("rate_of_user\0alice")
MINUTE = 60_000_000


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=3) as client:
        yield client


def spend(client, microseconds, capacity=MINUTE, is_surely=0):
    was_taken, deficit = client.eval(SPEND.text, 1, KEY, microseconds, capacity, is_surely)
    return was_taken, int(deficit)


def test_a_bucket_is_one_key_that_expires_when_it_is_full(client):
    spend(client, 10_000_000)
    assert client.keys() == [KEY]
    assert 9_000 < client.pttl(KEY) <= 10_001
    spend(client, 20_000_000)
    assert 29_000 < client.pttl(KEY) <= 30_002


def test_what_is_given_back_is_there_again(client):
    spend(client, 10_000_000)
    was_taken, deficit = spend(client, -4_000_000)
    assert was_taken == 1
    assert 5_000_000 < deficit <= 6_000_000
    assert spend(client, -MINUTE) == (1, 0)


@pytest.mark.parametrize("is_surely", [0, 1])
def test_a_clock_that_was_set_back_empties_a_bucket_for_twice_its_time_at_most(client, is_surely):
    """The key names a moment of a day that is now far ahead."""
    client.set(KEY, int((time.time() + 86_400) * 1e6))
    was_taken, deficit = spend(client, 1_000_000, is_surely=is_surely)
    assert was_taken == (not is_surely)
    assert deficit == 2 * MINUTE
    spend(client, 0)
    assert client.pttl(KEY) <= 120_001


def test_a_clock_that_was_set_ahead_fills_a_bucket(client):
    client.set(KEY, int((time.time() - 86_400) * 1e6))
    assert spend(client, 1_000_000, is_surely=1) == (1, 1_000_000)


def test_names_of_any_length_and_letters_have_short_keys():
    keys = Keys("protoo")
    names = ["", "a", "a" * 10_000, "{}", "\0", "\ud800", "a\0b", "ab"]
    found = {keys.bucket(name) for name in names}
    assert len(found) == len(names)
    assert {len(key) for key in found} == {len(b"protoo:r:{") + 32 + 1}


def test_a_redis_that_is_full_leaves_each_worker_its_own_bucket(start, redis_server, caplog):
    from protoo_flask.core.clustered_rate_limit import Spending

    node = start()
    with redis.Redis(port=redis_server.port, protocol=3) as client:
        client.config_set("maxmemory", 1)
        try:
            replies: list[object] = []
            node.cluster.spend(Spending("x", 1.0, 10.0), replies.append)
            node.until(lambda: replies)
            assert replies == [None]
            assert "Redis counts no requests for rate limits" in caplog.text
        finally:
            client.config_set("maxmemory", 0)
