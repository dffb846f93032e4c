"""The contract of a cluster: homes of calls and rooms."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core.cluster.protocol import ClaimRefused, ClusterAway


def test_a_home_is_at_the_node_that_takes_it_first(a, b):
    assert a.cluster.take_home("rooms", "/chat/42") == a.id
    assert b.cluster.take_home("rooms", "/chat/42") == a.id
    assert a.cluster.take_home("rooms", "/chat/42") == a.id


def test_homes_are_told_apart_by_kind_and_key(a, b):
    a.cluster.take_home("rooms", "42")

    assert b.cluster.take_home("rooms-2", "42") == b.id
    assert b.cluster.take_home("rooms", "43") == b.id
    assert b.cluster.take_home("rooms", "42:x") == b.id


def test_a_home_that_was_left_is_taken_by_the_next(world, a, b):
    a.cluster.take_home("rooms", "42")

    a.cluster.leave_home("rooms", "42")
    world.settle()

    assert b.cluster.take_home("rooms", "42") == b.id


def test_a_node_takes_a_home_again_after_having_left_it(world, a, b):
    a.cluster.take_home("rooms", "42")

    a.cluster.leave_home("rooms", "42")

    assert a.cluster.take_home("rooms", "42") == a.id
    assert b.cluster.take_home("rooms", "42") == a.id


def test_a_home_is_not_left_by_another_node(world, a, b):
    a.cluster.take_home("rooms", "42")

    b.cluster.leave_home("rooms", "42")
    world.settle()

    assert b.cluster.take_home("rooms", "42") == a.id


def test_the_home_of_a_dead_node_is_taken_by_the_next(world, a, b):
    a.cluster.take_home("rooms", "42")
    former = a.id

    world.kill(a)
    world.until(lambda: b.host.all("node_gone") == [(former,)])

    assert b.cluster.take_home("rooms", "42") == b.id


def test_the_home_of_a_node_that_has_left_is_taken_by_the_next(world, a, b):
    a.cluster.take_home("rooms", "42")
    world.leave(a)

    world.until(lambda: b.cluster.take_home("rooms", "42") == b.id)


def test_homes_stay_where_they_are_when_the_directory_was_emptied(world, a, b):
    a.cluster.take_home("rooms", "42")

    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    assert b.cluster.take_home("rooms", "42") == a.id


def test_a_home_stays_where_it_is_when_its_node_is_the_last_to_find_the_emptied_directory(
    world, a, b
):
    a.cluster.take_home("rooms", "42")
    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")

    world.cut(a)
    world.come_back(empty=True)
    world.until(lambda: b.cluster.status == "settling")
    with contextlib.suppress(ClusterAway):
        assert b.cluster.take_home("rooms", "42") == a.id
    world.mend(a)

    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    assert b.cluster.take_home("rooms", "42") == a.id
    assert a.cluster.take_home("rooms", "42") == a.id


def test_no_home_is_taken_while_the_directory_is_away(world, a, b):
    world.go_away()
    world.until(lambda: a.cluster.status == "away")

    with pytest.raises(ClusterAway, match=r"\w+"):
        a.cluster.take_home("rooms", "42")

    world.come_back(empty=True)


def test_a_directory_that_is_full_refuses_homes(world, a, b):
    world.refuse_claims()

    with pytest.raises(ClaimRefused, match=r"\w+"):
        a.cluster.take_home("rooms", "42")

    world.take_claims()
    assert a.cluster.take_home("rooms", "42") == a.id
