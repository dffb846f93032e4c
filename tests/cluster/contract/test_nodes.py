"""The contract of a cluster: nodes that join, leave, die, are cut off, and come back."""

from __future__ import annotations

import pytest

from protoo_flask.core.cluster.places import NEW
from protoo_flask.core.cluster.protocol import ClusterAway

# Joining and leaving ------------------------------------------------------------------


def test_nodes_have_different_ids(a, b):
    assert a.id != b.id
    assert a.id


def test_a_node_joins_while_the_directory_is_away_and_goes_on_trying(world, a):
    world.go_away()
    world.until(lambda: a.cluster.status == "away")

    b = world.start()

    assert b.cluster.status == "away"
    assert b.cluster.reason
    world.come_back(empty=True)
    world.until(lambda: b.cluster.status == "up")
    assert b.cluster.reason == ""
    assert b.claim().verdict == NEW
    world.until(lambda: a.cluster.status == "up")
    assert [place.node for place in a.cluster.find("alice")] == [b.id]


def test_a_node_that_leaves_takes_its_peers_off_and_is_forgotten_at_once(world, a, b):
    a.claim("alice", "a1")
    b.claim("bob", "b1")
    former = a.id

    world.leave(a)

    assert b.cluster.find("alice") == []
    world.until(lambda: b.host.all("node_gone"))
    world.settle()
    assert b.host.all("node_gone") == [(former,)]
    assert b.host.all("buried") == []
    assert [place.username for place in b.cluster.find(None)] == ["bob"]


# Death --------------------------------------------------------------------------------


def test_each_peer_of_a_dead_node_is_buried_at_exactly_one_node(world, a, b):
    c = world.join()
    for number in range(60):
        a.claim(f"user-{number:02}", "d1")
    former = a.id

    world.kill(a)

    def buried():
        return sorted(place.username for node in (b, c) for place, _ in node.host.all("buried"))

    world.until(lambda: len(buried()) >= 60)
    world.settle()
    assert buried() == [f"user-{number:02}" for number in range(60)]
    # The one that has buried nothing may notice it later.
    world.until(lambda: b.host.all("node_gone") and c.host.all("node_gone"))
    assert b.host.all("node_gone") == c.host.all("node_gone") == [(former,)]
    assert b.cluster.find(None) == []


def test_a_node_is_told_of_a_death_before_the_peers_are_released(world, a, b):
    a.claim()
    former = a.id
    order = []
    note = b.host._note

    def watch(user):
        order.append("released" if not user.places else "there")

    def note_in_order(name, *args):
        if name in ("node_gone", "buried"):
            order.append(name)
        note(name, *args)

    b.host._note = note_in_order
    b.cluster.watch("alice", watch)
    world.until(lambda: order == ["there"])

    world.kill(a)

    world.until(lambda: "buried" in order and "released" in order)
    assert order[:2] == ["there", "node_gone"]
    assert b.host.all("node_gone") == [(former,)]


def test_a_burial_tells_the_place_and_whether_it_was_the_last_of_its_user(world, a, b):
    claim = a.claim("alice", "a1", b'"data"')
    a.claim("bob", "b1")
    b.claim("bob", "b2")

    world.kill(a)

    world.until(lambda: len(b.host.all("buried")) == 2)
    buried = {place.username: (place, is_last) for place, is_last in b.host.all("buried")}
    place, is_last = buried["alice"]
    assert (place.uuid, place.token, place.born, place.data) == (
        "a1",
        claim.token,
        claim.born,
        b'"data"',
    )
    assert is_last
    assert not buried["bob"][1]
    assert [place.uuid for place in b.cluster.find("bob")] == ["b2"]


def test_a_peer_that_was_taken_from_a_dead_node_is_not_buried(world, a, b):
    a.claim("alice", "a1")
    a.claim("bob", "b1")
    world.kill(a)

    b.claim("alice", "a1")

    world.until(lambda: b.host.all("buried"))
    world.settle()
    assert [place.username for place, _ in b.host.all("buried")] == ["bob"]
    assert [place.node for place in b.cluster.find("alice")] == [b.id]


def test_peers_that_are_away_are_buried_too(world, a, b):
    claim = a.claim()
    a.cluster.mark("alice", "a1", claim.token, False)
    world.settle()

    world.kill(a)

    world.until(lambda: b.host.all("buried"))
    ((place, is_last),) = b.host.all("buried")
    assert (place.username, place.online, is_last) == ("alice", False, True)


# A node that others have taken for dead --------------------------------------------------


def test_a_node_that_was_cut_off_is_fenced_and_claims_its_peers_again(world, a, b):
    claim = a.claim()
    former = a.id
    world.cut(a)
    world.until(lambda: a.cluster.status == "away")
    assert a.cluster.reason
    world.until(lambda: b.host.all("buried"))

    world.mend(a)

    world.until(lambda: a.host.all("claimed"))
    world.until(lambda: a.cluster.status == "up")
    assert a.id != former
    names = [entry[0] for entry in a.host.all("fenced", "claims", "claimed")]
    assert names[names.index("fenced") :] == ["fenced", "claims", "claimed"]
    assert a.host.all("fenced") == [(former,)]
    ((username, uuid, again),) = a.host.all("claimed")
    assert (username, uuid, again.verdict, again.is_first) == ("alice", "a1", NEW, True)
    # It was offline for others: it is another peer for them.
    assert again.born != claim.born
    (place,) = b.cluster.find("alice")
    assert (place.node, place.token) == (a.id, again.token)


def test_a_fenced_node_changes_nothing_that_it_no_longer_owns(world, a, b):
    before = a.claim()
    world.cut(a)
    world.until(lambda: b.host.all("buried"))
    claim = b.claim()
    a.host.local.clear()

    world.mend(a)
    a.cluster.mark("alice", "a1", before.token, False, b"stale")
    outcomes = []
    a.cluster.release("alice", "a1", before.token, outcomes.append)
    world.until(lambda: a.cluster.status == "up" and outcomes)
    world.settle()

    assert outcomes[0] in (None, (False, False, None))
    (place,) = b.cluster.find("alice")
    assert (place.node, place.token, place.online, place.data) == (b.id, claim.token, True, b"")


def test_a_younger_link_elsewhere_wins(world, a, b):
    a.claim()
    world.cut(a)
    world.until(lambda: b.host.all("buried"))
    claim = b.claim()
    # The link at the first node is older.
    a.host.local = [("alice", "a1", b"", 100.0, True)]

    world.mend(a)

    world.until(lambda: a.host.all("claimed"))
    assert a.host.all("claimed") == [("alice", "a1", None)]
    assert [place.token for place in b.cluster.find("alice")] == [claim.token]


def test_the_younger_link_of_a_fenced_node_wins_over_an_older_one(world, a, b):
    a.claim()
    world.cut(a)
    world.until(lambda: b.host.all("buried"))
    before = b.claim()
    world.let_pass(0.2)

    world.mend(a)  # its link has an age of 0 by what its host says

    world.until(lambda: a.host.all("claimed"))
    ((_, _, claim),) = a.host.all("claimed")
    assert claim is not None
    assert claim.former is not None
    assert (claim.former.node, claim.former.token) == (b.id, before.token)
    assert [place.node for place in b.cluster.find("alice")] == [a.id]


def test_a_fenced_node_is_told_of_nodes_that_have_died_meanwhile(world, a, b):
    c = world.join()
    gone = c.id
    world.cut(a)
    world.kill(c)
    world.until(lambda: (gone,) in b.host.all("node_gone"))

    world.mend(a)

    world.until(lambda: (gone,) in a.host.all("node_gone") or a.host.all("fenced"))


# A directory that is away -------------------------------------------------------------


def test_a_node_is_away_with_the_directory_and_says_why(world, a, b):
    world.go_away()

    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    assert a.cluster.reason
    assert a.host.all("status_changed")
    with pytest.raises(ClusterAway, match=r"\w+"):
        a.cluster.claim("alice", "a1", b"", 16)
    with pytest.raises(ClusterAway, match=r"\w+"):
        a.cluster.find("alice")
    with pytest.raises(ClusterAway, match=r"\w+"):
        a.cluster.find(None)
    with pytest.raises(ClusterAway, match=r"\w+"):
        a.cluster.get_presence("alice")
    world.come_back(empty=True)


def test_what_was_last_known_is_looked_up_while_the_directory_is_away(world, a, b):
    a.claim()
    found = b.cluster.find("alice")
    world.settle()

    world.go_away()
    world.until(lambda: b.cluster.status == "away")

    assert b.cluster.look("alice") == found
    world.come_back(empty=True)


def test_a_release_while_the_directory_is_away_has_no_outcome_and_is_made_up(world, a, b):
    claim = a.claim("alice", "a1")
    a.claim("bob", "b1")
    world.go_away()
    world.until(lambda: a.cluster.status == "away")

    outcomes = a.release("alice", "a1", claim.token)

    world.until(lambda: outcomes)
    assert outcomes == [None]
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    assert [place.username for place in b.cluster.find(None)] == ["bob"]


def test_peers_of_all_nodes_are_back_in_a_directory_that_was_emptied(world, a, b):
    first, second = a.claim("alice", "a1", b"1"), b.claim("bob", "b1", b"2")
    ids = a.id, b.id
    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")

    world.come_back(empty=True)

    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    assert (a.id, b.id) == ids
    assert a.host.all("fenced") == b.host.all("fenced") == []
    assert a.host.all("buried") == b.host.all("buried") == []
    assert a.host.all("node_gone") == b.host.all("node_gone") == []
    for node in (a, b):
        found = {place.username: place for place in node.cluster.find(None)}
        assert {name: (place.node, place.data) for name, place in found.items()} == {
            "alice": (a.id, b"1"),
            "bob": (b.id, b"2"),
        }
        # They are the same peers as before.
        assert (found["alice"].born, found["bob"].born) == (first.born, second.born)


def test_the_tokens_of_an_emptied_directory_are_new_ones(world, a, b):
    before = a.claim()
    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    ((_, _, again),) = a.host.all("claimed")
    assert again.token != before.token
    outcomes = []
    b.cluster.release("alice", "a1", before.token, outcomes.append)
    world.until(lambda: outcomes)
    assert outcomes == [(False, False, None)]
    assert len(b.cluster.find("alice")) == 1


def test_a_peer_that_connected_while_the_directory_was_away_is_claimed_later(world, a, b):
    world.go_away()
    world.until(lambda: a.cluster.status == "away")
    with pytest.raises(ClusterAway):
        a.cluster.claim("alice", "a1", b"1", 16)
    a.host.local.append(("alice", "a1", b"1", 3.0, True))

    world.come_back(empty=True)

    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    ((username, uuid, claim),) = a.host.all("claimed")
    assert (username, uuid, claim.verdict, claim.is_first) == ("alice", "a1", NEW, True)
    assert [place.token for place in b.cluster.find("alice")] == [claim.token]


def test_a_peer_that_dropped_while_the_directory_was_away_is_away(world, a, b):
    claim = a.claim()
    world.go_away()
    world.until(lambda: a.cluster.status == "away")
    a.cluster.mark("alice", "a1", claim.token, False)
    a.host.local = [("alice", "a1", b"", 3.0, False)]

    world.come_back(empty=True)

    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    assert [place.online for place in b.cluster.find("alice")] == [False]


def test_a_node_that_died_while_the_directory_was_away_is_gone_when_it_is_back(world, a, b):
    former = a.id
    a.claim()
    world.go_away()
    world.until(lambda: b.cluster.status == "away")
    world.kill(a)

    world.come_back(empty=True)

    world.until(lambda: (former,) in b.host.all("node_gone"))
    world.until(lambda: b.cluster.status == "up")
    assert b.host.all("node_gone") == [(former,)]
    assert b.cluster.find("alice") == []


# Nothing stays ------------------------------------------------------------------------


def test_nothing_is_left_of_a_cluster_whose_nodes_have_left(world, a, b):
    claim = a.claim("alice", "a1")
    b.claim("bob", "b1")
    a.cluster.publish("alice", {"status": "away"})
    a.cluster.take_home("rooms", "42")
    b.cluster.take_home("rooms", "43")
    b.cluster.leave_home("rooms", "43")
    outcomes = a.release("alice", "a1", claim.token)
    world.until(lambda: outcomes)

    world.close()

    assert not world.leftovers
