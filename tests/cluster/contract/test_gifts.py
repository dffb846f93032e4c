"""The contract of a cluster: devices that a node gives to others, as it leaves."""

from __future__ import annotations

from protoo_flask.core.cluster.places import TAKEN


def give(world, node, token, other):
    outcomes = []
    node.cluster.give("alice", "a1", token, other.id, outcomes.append)
    world.until(lambda: outcomes)
    return outcomes[0]


def test_a_device_that_is_away_is_given_to_another_node_under_the_same_token(world, a, b):
    c = world.join()
    claim = a.claim("alice", "a1", b'"data"')
    a.cluster.mark("alice", "a1", claim.token, False)

    assert give(world, a, claim.token, b) is True

    b.cluster.take("alice", "a1", claim.token, claim.born)
    (place,) = c.cluster.find("alice")
    assert place[:6] == ("alice", "a1", b.id, claim.token, claim.born, False)
    assert place.data == b'"data"'


def test_a_device_that_another_node_has_claimed_is_not_given(world, a, b):
    c = world.join()
    claim = a.claim("alice", "a1")
    c.claim("alice", "a1")

    assert give(world, a, claim.token, b) is False

    (place,) = b.cluster.find("alice")
    assert place.node == c.id


def test_a_claim_finds_the_node_that_a_device_was_given_to(world, a, b):
    c = world.join()
    claim = a.claim("alice", "a1")
    give(world, a, claim.token, b)

    following = c.claim("alice", "a1")

    assert following.verdict == TAKEN
    assert following.former[:4] == ("alice", "a1", b.id, claim.token)


def test_a_device_that_was_given_outlives_the_node_that_gave_it(world, a, b):
    claim = a.claim("alice", "a1")
    give(world, a, claim.token, b)
    b.cluster.take("alice", "a1", claim.token, claim.born)
    b.host.local.append(("alice", "a1", b"", 0.0, False))

    a.cluster.close()
    world.nodes.remove(a)

    world.until(lambda: b.host.all("node_gone"))
    assert [place.node for place in b.cluster.find("alice")] == [b.id]
    assert b.host.all("buried") == []
    outcomes = b.release("alice", "a1", claim.token)
    world.until(lambda: outcomes)
    assert outcomes[0].was_mine
    assert outcomes[0].is_last


def test_the_other_nodes_are_known(world, a, b):
    c = world.join()
    world.until(lambda: len(a.cluster.others()) == 2)
    assert sorted(a.cluster.others()) == sorted([b.id, c.id])
