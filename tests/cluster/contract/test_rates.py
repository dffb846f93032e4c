"""The contract of a cluster: buckets that all nodes share."""

from __future__ import annotations

import pytest

from protoo_flask.core.clustered_rate_limit import Spending


def spend(world, node, seconds, capacity=1000.0, *, bucket="rate_of_user\0alice", surely=False):
    """Take from a bucket, and return the reply."""
    replies = []
    node.cluster.spend(Spending(bucket, seconds, capacity, surely), replies.append)
    world.until(lambda: replies)
    return replies[0]


def test_all_nodes_take_from_one_bucket(world, a, b):
    assert spend(world, a, 100) == (True, pytest.approx(100, abs=0.01))
    assert spend(world, b, 50) == (True, pytest.approx(150, abs=2))
    assert spend(world, a, 0) == (True, pytest.approx(150, abs=2))


def test_buckets_are_told_apart_by_their_names(world, a, b):
    spend(world, a, 100)
    for bucket in ("rate_of_user\0bob", "rate_of_peer\0alice", "rate_of_user\0alice\0", "{}%\n"):
        assert spend(world, b, 1, bucket=bucket).deficit == pytest.approx(1, abs=0.01)


def test_a_bucket_fills_by_and_by(world, a, b):
    spend(world, a, 0.2)
    world.until(lambda: spend(world, b, 0, surely=True).deficit == 0)


def test_a_bucket_is_in_debt_by_its_capacity_at_most(world, a, b):
    for node in (a, b, a):
        spend(world, node, 1000, 600)
    assert spend(world, b, 0, 600).deficit == pytest.approx(1200, abs=2)


def test_nothing_is_taken_surely_that_a_bucket_does_not_have(world, a, b):
    assert spend(world, a, 600, surely=True).was_taken
    assert spend(world, b, 400, surely=True).was_taken
    refused = spend(world, a, 100, surely=True)
    assert (refused.was_taken, refused.deficit) == (False, pytest.approx(1000, abs=2))
    assert spend(world, a, 0).deficit == pytest.approx(1000, abs=2)


def test_of_many_that_take_the_last_at_once_one_gets_it(world, a, b):
    spend(world, a, 900)
    replies = []
    for node in (a, b, a, b):
        spending = Spending("rate_of_user\0alice", 100.0, 1000.0, True)
        node.cluster.spend(spending, replies.append)
    world.until(lambda: len(replies) == 4)
    assert sorted(reply.was_taken for reply in replies) == [False, False, False, True]


def test_nobody_waits_for_a_directory_that_is_away(world, a, b):
    world.go_away()
    world.until(lambda: a.cluster.status == "away")
    assert spend(world, a, 100) is None
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == "up")
    assert spend(world, a, 100).deficit == pytest.approx(100, abs=0.01)


def test_a_bucket_leaves_nothing_behind(world, a, b):
    spend(world, a, 0.3)
    spend(world, b, 0.0, surely=True)
    world.until(lambda: spend(world, a, 0, surely=True).deficit == 0)
