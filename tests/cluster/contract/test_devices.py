"""The contract of a cluster: claims, releases, marks and lookups of devices."""

from __future__ import annotations

import pytest

from protoo_flask.core.cluster.places import FULL, NEW, TAKEN
from protoo_flask.core.cluster.protocol import ClaimRefused


def names(places):
    return sorted((place.username, place.uuid) for place in places)


# Claims -------------------------------------------------------------------------------


def test_a_device_that_was_not_there_is_new_and_its_user_comes_online(a, b):
    claim = a.claim("alice", "a1", b'"data"')

    assert claim.verdict == NEW
    assert claim.is_first
    assert claim.token == claim.born != 0
    assert claim.former is None
    assert claim.gave_way is None
    (place,) = b.cluster.find("alice")
    assert place[:6] == ("alice", "a1", a.id, claim.token, claim.born, True)
    assert place.data == b'"data"'


def test_a_second_device_of_a_user_is_not_the_first_one(a, b):
    a.claim("alice", "a1")

    claim = b.claim("alice", "a2")

    assert (claim.verdict, claim.is_first) == (NEW, False)
    assert names(a.cluster.find("alice")) == [("alice", "a1"), ("alice", "a2")]


def test_the_devices_of_a_user_are_in_the_order_in_which_they_came_online(a, b):
    for node, uuid in [(a, "z"), (b, "a"), (a, "m")]:
        node.claim("alice", uuid)
    b.claim("alice", "z")  # it has moved since

    for node in (a, b):
        assert [place.uuid for place in node.cluster.find("alice")] == ["z", "a", "m"]


def test_a_claim_takes_a_device_from_another_node(a, b):
    before = a.claim("alice", "a1", b"1")

    claim = b.claim("alice", "a1", b"2")

    assert claim.verdict == TAKEN
    assert not claim.is_first
    assert claim.token > before.token
    assert claim.born == before.born
    assert claim.former is not None
    assert claim.former[:6] == ("alice", "a1", a.id, before.token, before.born, True)
    assert claim.former.data == b"1"
    (place,) = a.cluster.find("alice")
    assert (place.node, place.token, place.data) == (b.id, claim.token, b"2")


def test_a_claim_of_a_device_on_the_same_node_takes_it_too(a, b):
    before = a.claim()

    claim = a.cluster.claim("alice", "a1", b"", 16)

    assert (claim.verdict, claim.born) == (TAKEN, before.born)
    assert claim.former.node == a.id
    assert claim.token > before.token


def test_a_device_that_is_away_is_online_when_it_has_been_taken(world, a, b):
    before = a.claim()
    a.cluster.mark("alice", "a1", before.token, False)
    world.settle()

    claim = b.claim()

    assert claim.former.online is False
    assert [place.online for place in a.cluster.find("alice")] == [True]


def test_a_user_has_as_many_devices_as_the_limit_allows(a, b):
    a.claim("alice", "a1", limit=2)
    b.claim("alice", "a2", limit=2)

    claim = b.cluster.claim("alice", "a3", b"", 2)

    assert claim.verdict == FULL
    assert names(a.cluster.find("alice")) == [("alice", "a1"), ("alice", "a2")]


def test_a_device_that_is_there_may_be_claimed_at_the_limit(a, b):
    a.claim("alice", "a1", limit=1)

    assert b.claim("alice", "a1", limit=1).verdict == TAKEN


def test_a_device_that_is_away_gives_way_at_the_limit(world, a, b):
    first = a.claim("alice", "a1", limit=2)
    b.claim("alice", "a2", limit=2)
    a.cluster.mark("alice", "a1", first.token, False)
    world.settle()

    claim = b.claim("alice", "a3", limit=2)

    assert (claim.verdict, claim.is_first) == (NEW, False)
    assert claim.gave_way is not None
    assert (claim.gave_way.uuid, claim.gave_way.node, claim.gave_way.token) == (
        "a1",
        a.id,
        first.token,
    )
    assert names(a.cluster.find("alice")) == [("alice", "a2"), ("alice", "a3")]


def test_the_user_stays_online_when_the_only_device_gives_way(world, a, b):
    first = a.claim("alice", "a1", limit=1)
    a.cluster.mark("alice", "a1", first.token, False)
    world.settle()

    claim = b.claim("alice", "a2", limit=1)

    assert claim.gave_way is not None
    assert not claim.is_first


def test_users_are_told_apart_whatever_their_names_are(a, b):
    odd = ["alice", "alice:a1", "", "ü" * 300, "a\nb", "{x}", "*", "d:a1", " "]
    for name in odd:
        a.claim(name, name)

    for name in odd:
        assert names(b.cluster.find(name)) == [(name, name)]
    assert names(b.cluster.find(None)) == sorted((name, name) for name in odd)


def test_a_directory_that_is_full_refuses_claims_and_says_why(world, a, b):
    a.claim("alice", "a1")
    world.refuse_claims()

    with pytest.raises(ClaimRefused, match=r"\w+"):
        b.cluster.claim("bob", "b1", b"", 16)

    world.take_claims()
    assert b.claim("bob", "b1").verdict == NEW


# Releases -----------------------------------------------------------------------------


def test_a_released_device_is_gone_and_its_user_goes_offline(world, a, b):
    claim = a.claim()

    outcomes = a.release("alice", "a1", claim.token)

    world.until(lambda: outcomes)
    assert outcomes == [(True, True, None)]
    world.until(lambda: b.cluster.find("alice") == [])


def test_a_release_of_one_of_two_devices_is_not_the_last(world, a, b):
    claim = a.claim("alice", "a1")
    b.claim("alice", "a2")

    outcomes = a.release("alice", "a1", claim.token)

    world.until(lambda: outcomes)
    assert outcomes == [(True, False, None)]


def test_a_release_with_the_token_of_an_earlier_claim_changes_nothing(world, a, b):
    before = a.claim()
    b.claim()

    outcomes = a.release("alice", "a1", before.token)

    world.until(lambda: outcomes)
    assert outcomes == [(False, False, None)]
    assert [place.node for place in a.cluster.find("alice")] == [b.id]


def test_a_device_that_is_claimed_after_its_release_is_another_peer(world, a, b):
    before = a.claim()
    outcomes = a.release("alice", "a1", before.token)
    world.until(lambda: outcomes)

    claim = b.claim()

    assert (claim.verdict, claim.is_first) == (NEW, True)
    assert claim.born not in (0, before.born)


# Marks --------------------------------------------------------------------------------


def test_others_see_that_a_device_has_dropped_and_is_back(world, a, b):
    claim = a.claim("alice", "a1", b"1")

    a.cluster.mark("alice", "a1", claim.token, False)
    world.until(lambda: not b.cluster.find("alice")[0].online)
    assert b.cluster.find("alice")[0].data == b"1"

    a.cluster.mark("alice", "a1", claim.token, True, b"2")
    world.until(lambda: b.cluster.find("alice")[0].online)
    (place,) = b.cluster.find("alice")
    assert (place.token, place.born, place.data) == (claim.token, claim.born, b"2")


def test_a_mark_with_the_token_of_an_earlier_claim_changes_nothing(world, a, b):
    before = a.claim()
    b.claim()

    a.cluster.mark("alice", "a1", before.token, False, b"stale")
    world.settle()

    (place,) = a.cluster.find("alice")
    assert (place.online, place.data) == (True, b"")


# Lookups ------------------------------------------------------------------------------


def test_nobody_is_found_under_a_name_that_is_not_there(a, b):
    assert a.cluster.find("nobody") == []


def test_all_users_are_found(a, b):
    a.claim("alice", "a1")
    b.claim("bob", "b1")

    for node in (a, b):
        assert names(node.cluster.find(None)) == [("alice", "a1"), ("bob", "b1")]


def test_what_is_known_of_a_user_is_looked_up_without_a_question(world, a, b):
    a.claim()
    assert b.cluster.look("alice") is None

    found = b.cluster.find("alice")

    assert b.cluster.look("alice") == found
    assert b.cluster.find("nobody") == []
    assert b.cluster.look("nobody") == []


def test_what_was_known_is_not_believed_after_a_change(world, a, b):
    claim = a.claim()
    b.cluster.find("alice")

    a.release("alice", "a1", claim.token)

    world.until(lambda: not b.cluster.look("alice"))
    assert b.cluster.find("alice") == []


def test_a_node_that_has_claimed_finds_its_own_claim_at_once(a, b):
    a.cluster.find("alice")

    claim = a.claim()

    assert [place.token for place in a.cluster.find("alice")] == [claim.token]


def test_what_a_node_has_ordered_is_done_before_what_it_asks_next(a, b):
    claim = a.claim()
    a.cluster.find("alice")

    a.cluster.mark("alice", "a1", claim.token, False)
    a.release("alice", "a1", claim.token)

    assert a.cluster.claim("alice", "a1", b"", 16).verdict == NEW


def test_since_is_the_time_of_the_connection_by_the_clock_of_the_directory(world, a, b):
    a.claim("alice", "a1")
    world.let_pass(1.1)
    b.claim("bob", "b1")

    (alice,), (bob,) = a.cluster.find("alice"), a.cluster.find("bob")

    assert bob.since - alice.since >= 1
    assert alice.since > 1_600_000_000
