"""The contract of a cluster: who tells the events of a user, while others come and go."""

from __future__ import annotations

from protoo_flask.core.cluster.places import Telling


def release(world, node, uuid, claim):
    """Release a device of Alice, with events; returns the outcome and their number."""
    node.host.local = [peer for peer in node.host.local if peer[:2] != ("alice", uuid)]
    number = node.cluster.begin_telling("alice")
    outcomes = []
    node.cluster.release("alice", uuid, claim.token, outcomes.append, number)
    world.until(lambda: outcomes)
    return outcomes[0], number


def test_a_device_that_comes_is_told_who_still_tells_events_of_its_user(world, a, b):
    outcome, number = release(world, a, "a1", a.claim("alice", "a1"))

    claim = b.claim("alice", "a1")

    assert outcome == (True, True, None)
    assert claim.telling == Telling(a.id, number)
    assert (claim.verdict, claim.is_first, claim.node) == ("new", True, b.id)
    a.cluster.end_telling(number)


def test_events_of_other_users_are_their_own(world, a, b):
    _, number = release(world, a, "a1", a.claim("alice", "a1"))

    assert b.claim("bob", "b1").telling is None
    a.cluster.end_telling(number)


def test_nobody_is_told_of_events_that_have_been_told(world, a, b):
    _, number = release(world, a, "a1", a.claim("alice", "a1"))
    assert a.cluster.is_telling(number)

    a.cluster.end_telling(number)
    world.settle()

    assert not a.cluster.is_telling(number)
    assert b.claim("alice", "a1").telling is None


def test_a_release_without_events_is_not_waited_for(world, a, b):
    claim = a.claim("alice", "a1")
    outcomes = a.release("alice", "a1", claim.token)
    world.until(lambda: outcomes)

    assert b.claim("alice", "a1").telling is None


def test_a_release_takes_the_turn_of_the_one_before(world, a, b):
    first, second = a.claim("alice", "a1"), b.claim("alice", "a2")

    _, before = release(world, a, "a1", first)
    outcome, number = release(world, b, "a2", second)

    assert outcome == (True, True, Telling(a.id, before))
    a.cluster.end_telling(before)  # its turn is over: that of the other one goes on
    world.settle()
    assert a.claim("alice", "a1").telling == Telling(b.id, number)
    b.cluster.end_telling(number)


def test_a_release_of_somebody_elses_device_takes_no_turn(world, a, b):
    before = a.claim("alice", "a1")
    b.claim("alice", "a1")

    outcome, number = release(world, a, "a1", before)

    assert outcome == (False, False, None)
    assert a.claim("alice", "a2").telling is None
    a.cluster.end_telling(number)


def test_a_device_that_is_taken_over_waits_for_nobody(world, a, b):
    _, number = release(world, a, "a1", a.claim("alice", "a1"))
    b.claim("alice", "a2")

    assert a.claim("alice", "a2").telling is None
    a.cluster.end_telling(number)


def test_events_that_have_not_been_told_survive_an_emptied_directory(world, a, b):
    _, number = release(world, a, "a1", a.claim("alice", "a1"))

    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    assert b.claim("alice", "a1").telling == Telling(a.id, number)
    a.cluster.end_telling(number)
    world.settle()
    assert b.claim("alice", "a2").telling is None


def test_events_of_a_user_may_be_told_while_the_directory_is_away(world, a, b):
    _, number = release(world, a, "a1", a.claim("alice", "a1"))

    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    a.cluster.end_telling(number)
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    assert not a.cluster.is_telling(number)
    assert b.claim("alice", "a1").telling is None


def test_who_buries_a_node_takes_the_turn_of_the_one_before(world, a, b):
    first = a.claim("alice", "a1")
    b.claim("alice", "a2")
    _, before = release(world, a, "a1", first)

    world.kill(b)
    world.until(lambda: a.host.all("buried"))

    ((number, former),) = a.host.tellings
    assert former == Telling(a.id, before)
    assert a.cluster.is_telling(number)
    assert a.claim("alice", "a1").telling == Telling(a.id, number)
    for told in (before, number):
        a.cluster.end_telling(told)


def test_a_node_that_was_taken_for_dead_is_told_who_tells_of_its_peers(world, a, b):
    a.claim("alice", "a1")
    world.cut(a)
    world.until(lambda: b.host.all("buried"))
    ((number, _),) = b.host.tellings

    world.mend(a)
    world.until(lambda: a.host.all("claimed"))

    ((_, _, claim),) = a.host.all("claimed")
    assert claim.telling == Telling(b.id, number)
    b.cluster.end_telling(number)
