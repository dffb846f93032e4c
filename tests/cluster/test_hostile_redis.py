"""What somebody may do to Redis, or write into it: nodes go on, and are whole again."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest

from protoo_flask.cluster.keys import read_members
from protoo_flask.cluster.opening import CannotOpen
from protoo_flask.core.cluster.items import Answer
from protoo_flask.core.cluster.protocol import AWAY, SETTLING, UP, ClusterAway
from tests.cluster.registry_nodes import RegistryNode, nodes, wait_until
from tests.transport.wire import PATIENCE

# Garbage


def test_claims_that_are_not_understood_do_not_stop_a_burial(world, redis_server, caplog):
    with nodes(world, redis_server, 2) as [dead, survivor]:
        wait_until(lambda: len(survivor.wires.nodes) == 2)
        dead.come("bob", "b1")
        for member in ("garbage", "a b c", "%ff %ff 1", ""):
            redis_server.ask("SADD", f"test:np:{dead.node}", member)
        dead.die()
        wait_until(lambda: survivor.host.noted("buried"))
        wait_until(lambda: redis_server.ask("EXISTS", "test:{nodes}:grave") == "0")
        assert redis_server.ask("EXISTS", f"test:np:{dead.node}") == "0"
        assert survivor.registry.find(None) == []


def test_a_claim_that_is_not_understood_is_told_once(caplog):
    assert [member.uuid for member in read_members([b"bob b1 7", b"x", b"y"])] == ["b1"]
    read_members([b"z"])
    assert len([line for line in caplog.messages if "is not understood" in line]) <= 1


def test_a_user_that_is_not_a_hash_does_not_stop_a_burial(world, redis_server, caplog):
    with nodes(world, redis_server, 2) as [dead, survivor]:
        wait_until(lambda: len(survivor.wires.nodes) == 2)
        dead.come("bob", "b1")
        dead.come("eve", "e1")
        redis_server.ask("SET", "test:u:{eve}", "a string")
        dead.die()
        wait_until(lambda: redis_server.ask("EXISTS", "test:{nodes}:grave") == "0")
        wait_until(lambda: survivor.host.noted("buried"))
        assert "has not released eve" in caplog.text
        redis_server.ask("DEL", "test:u:{eve}")


def test_fields_that_are_not_understood_are_left_out(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        node.come("bob", "b1")
        redis_server.ask("HSET", "test:u:{bob}", "t", "yesterday", "d:b2", "garbage", "d:\xff", "x")
        user = node.registry.get_presence("bob")
        assert [place.uuid for place in user.places] == ["b1"]
        assert user.presence.since is None
        redis_server.ask("DEL", "test:u:{bob}")


def test_a_node_whose_host_fails_goes_on_to_beat(start, caplog):
    a, b = start(), start()
    claims = a.host.claims
    failures = ["once"]

    def fail() -> Any:
        if failures:
            failures.pop()
            raise LookupError("a defect of the host")
        return claims()

    a.host.claims = fail  # type: ignore[method-assign]
    a.cluster._registry.claims.unclaimed["bob", "b1"] = a.world.loop.now()
    a.until(lambda: not failures)
    a.until(lambda: a.cluster.status == UP)
    assert "a defect of the host" in caplog.text
    assert b.reaches(a)


# Data that are lost, or older


def test_a_node_that_joins_an_emptied_redis_first_waits_for_those_that_were_there(
    start, redis_server
):
    a = start()
    a.cluster.claim("alice", "a1", b"", 4)
    a.host.peers["alice", "a1"] = (b"", 0.0, True)
    # No beat of it comes for a while, as it would be in the middle of one.
    lease = a.cluster._parts.lease
    lease.interval = 2.0
    a.cluster._registry.on_flush = lambda: None
    redis_server.ask("FLUSHALL")
    b = start()
    assert b.cluster.status == SETTLING
    b.until(lambda: b.cluster.status == UP)
    assert [place.uuid for place in b.cluster.find("alice")] == ["a1"]


def test_a_new_node_waits_with_others_that_wait(start, redis_server, monkeypatch):
    # The others come back at once, and not just before the new node gives them up.
    monkeypatch.setattr("protoo_flask.cluster.redis_cluster.MAX_DELAY", 0.1)
    a, b = start(node_timeout=10.0), start(node_timeout=10.0)
    for node, name in ((a, "alice"), (b, "bob")):
        node.cluster.claim(name, "d1", b"", 4)
        node.host.peers[name, "d1"] = (b"", 0.0, True)
    redis_server.stop()
    a.until(lambda: AWAY == a.cluster.status == b.cluster.status)
    c = start(node_timeout=10.0)
    redis_server.start()
    c.until(lambda: c.cluster.status == UP)
    assert [place.node for place in c.cluster.find("alice")] == [a.id]
    assert [place.node for place in c.cluster.find("bob")] == [b.id]


def test_a_watcher_of_a_node_that_came_a_moment_ago_is_told_nothing_false(start, redis_server):
    a = start()
    lease = a.cluster._parts.lease
    lease.interval = 60.0  # its next beat does not come: the greeting alone tells of the other
    b = start()
    a.until(lambda: b.id in a.cluster.others())
    lease.interval = 0.6
    b.cluster.claim("bob", "b1", b"", 4)
    b.host.peers["bob", "b1"] = (b"", 0.0, True)
    told: list[Any] = []
    a.cluster.watch("bob", told.append)
    a.until(lambda: told and told[-1].places)
    told.clear()
    redis_server.stop()
    a.until(lambda: AWAY == a.cluster.status == b.cluster.status)
    redis_server.start()
    a.until(lambda: UP == a.cluster.status == b.cluster.status)
    b.cluster.claim("bob", "b2", b"", 4)
    a.until(lambda: told and len(told[-1].places) == 2)
    assert all(user.places for user in told)


def test_a_redis_with_older_data_is_whole_again_and_nobody_is_told(start, redis_server):
    a, b = start(), start()
    claims = {}
    for node, name in ((a, "alice"), (b, "bob")):
        claims[name] = node.cluster.claim(name, "d1", b"", 4)
        node.host.peers[name, "d1"] = (b"", 100.0, True)
    ghost = a.cluster.claim("eve", "e1", b"", 4)
    redis_server.ask("SAVE")
    # What follows is lost: a device that goes, one that comes, one that moves, and a node.
    outcomes: list[Any] = []
    a.cluster.release("eve", "e1", ghost.token, outcomes.append)
    a.until(lambda: outcomes)
    a.cluster.claim("alice", "d2", b"", 4)
    a.host.peers["alice", "d2"] = (b"", 1.0, True)
    a.cluster.claim("bob", "d1", b"", 4)
    del b.host.peers["bob", "d1"]
    a.host.peers["bob", "d1"] = (b"", 0.0, True)
    c = start()
    c.cluster.claim("carol", "c1", b"", 4)
    c.host.peers["carol", "c1"] = (b"", 1.0, True)
    ids = [a.id, b.id, c.id]
    told: list[Any] = []
    b.cluster.watch("alice", told.append)
    a.until(lambda: told and len(told[-1].places) == 2)
    told.clear()
    redis_server.stop()
    a.until(lambda: {AWAY} == {node.cluster.status for node in (a, b, c)})
    redis_server.start()
    a.until(lambda: {UP} == {node.cluster.status for node in (a, b, c)})
    a.until(lambda: len(b.cluster.find(None)) == 4)
    places = {(place.username, place.uuid): place.node for place in b.cluster.find(None)}
    assert places == {
        ("alice", "d1"): a.id,
        ("alice", "d2"): a.id,
        ("bob", "d1"): a.id,
        ("carol", "c1"): c.id,
    }
    assert [a.id, b.id, c.id] == ids
    for node in (a, b, c):
        assert node.host.noted("buried") == node.host.noted("fenced") == []
        assert node.host.noted("node_gone") == []
    a.cluster.publish("alice", {"status": "busy"})
    b.until(lambda: told and told[-1].presence.status == "busy")
    assert all(len(user.places) == 2 for user in told)


@pytest.mark.parametrize("step", ["listens", "claims"])
def test_a_node_that_is_back_on_older_data_waits_for_one_that_has_not_claimed(
    world, redis_server, step
):
    with nodes(world, redis_server, 2) as [a, b]:
        wait_until(lambda: all(len(node.wires.nodes) == 2 for node in (a, b)))
        redis_server.ask("SAVE")
        b.come("bob", "b1")
        redis_server.stop()
        wait_until(lambda: AWAY == a.lease.status == b.lease.status)
        redis_server.start()
        a.disconnect()
        b.disconnect()
        reached, goes_on = world.loop.event(), world.loop.event()

        def wait(*args: Any) -> None:
            reached.set()
            goes_on.wait(PATIENCE)

        subscribe, claim_all = b.lease._subscribe, b.lease._rebuild.claim_all
        if step == "listens":
            b.lease._subscribe = lambda node: (subscribe(node), wait())
        else:
            b.lease._rebuild.claim_all = lambda *args: (wait(), claim_all(*args))
        join = world.spawn(b.connect)
        reached.wait(PATIENCE)
        a.connect()
        assert a.lease.status == SETTLING
        goes_on.set()
        join()
        wait_until(lambda: UP == a.lease.status == b.lease.status)
        assert a.find("bob") == ["b1"]


def test_a_node_that_was_cut_off_while_redis_was_emptied_comes_back_by_a_new_id(
    world, redis_server
):
    with nodes(world, redis_server, 2) as [a, b]:
        wait_until(lambda: all(len(node.wires.nodes) == 2 for node in (a, b)))
        former = a.node
        a.come("bob", "b1")
        told = b.watch("bob")
        wait_until(lambda: told)
        a.disconnect()
        redis_server.ask("FLUSHALL")
        # Watchers, and those who talk to it, are told in time.
        wait_until(lambda: b.host.noted("node_gone") == [(former,)])
        wait_until(lambda: b.lease.status == UP)
        wait_until(lambda: told[-1].places == ())
        a.connect()
        wait_until(lambda: a.lease.status == UP)
        assert a.node != former
        assert a.host.noted("fenced") == [(former,)]
        wait_until(lambda: told[-1].places)
        assert [place.node for place in b.registry.find("bob")] == [a.node]
        # A later death is told, too.
        later = a.node
        wait_until(lambda: later in b.wires.nodes)
        a.die()
        wait_until(lambda: (later,) in b.host.noted("node_gone"))


# Keys that vanish


def test_devices_that_redis_has_thrown_away_are_claimed_again(
    world, redis_server, monkeypatch, caplog
):
    monkeypatch.setattr("protoo_flask.cluster.lease.TIDYING_TIME", 0.0)
    with nodes(world, redis_server, 2) as [a, b]:
        before = a.come("bob", "b1", b"7")
        a.come("alice", "a1")
        redis_server.ask("DEL", "test:u:{bob}")
        wait_until(lambda: b.find("bob"))
        [place] = b.registry.find("bob")
        assert (place.node, place.born, place.data) == (a.node, before.born, b"7")
        assert "maxmemory-policy" in caplog.text
        redis_server.ask("DEL", f"test:np:{a.node}")
        wait_until(lambda: redis_server.ask("SCARD", f"test:np:{a.node}") == "2")


def test_nodes_whose_beats_were_thrown_away_stay_what_they_are(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        a.come("bob", "b1")
        ids = a.node, b.node
        redis_server.ask("DEL", "test:{nodes}:beat")
        wait_until(lambda: redis_server.ask("HLEN", "test:{nodes}:beat") == "2")
        wait_until(lambda: UP == a.lease.status == b.lease.status)
        assert (a.node, b.node) == ids
        assert b.find("bob") == ["b1"]
        assert a.host.noted("fenced") == b.host.noted("node_gone") == []


def test_a_redis_that_evicts_is_told_at_the_start(start, redis_server, caplog):
    redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    start()
    wait_until(lambda: "maxmemory-policy allkeys-lru" in caplog.text)


def test_a_right_to_know_the_policy_is_not_needed(start, redis_server, caplog):
    redis_server.ask("ACL", "SETUSER", "default", "-config", "-info")
    a = start()
    assert a.cluster.status == UP
    assert "maxmemory-policy" not in caplog.text


@pytest.mark.parametrize("granted", ["+client|reply", "+client|tracking", "-client"])
def test_a_right_to_a_command_that_is_missing_is_told(start, redis_server, caplog, granted):
    # Before Redis 7, part of a command can be given, but not be taken away.
    rights = ["+@all", "-client", granted]
    reply = redis_server.ask("ACL", "SETUSER", "site", "on", ">pw", "~*", "&*", *rights)
    assert reply == "OK"
    a = start(f"redis://site:pw@127.0.0.1:{redis_server.port}")
    assert a.cluster.status == AWAY
    assert "lacks a right" in caplog.text or "has not the right" in caplog.text


def test_a_redis_that_tracks_few_keys_tells_of_all_changes(start, redis_server):
    redis_server.ask("CONFIG", "SET", "tracking-table-max-keys", "50")
    a, b = start(), start()
    for number in range(300):
        a.cluster.claim(f"user{number}", "d1", b"", 4)
    for number in range(300):
        assert len(b.cluster.find(f"user{number}")) == 1
    for number in range(300):
        a.cluster.claim(f"user{number}", "d2", b"", 4)
    b.until(lambda: all(len(b.cluster.find(f"user{number}")) == 2 for number in range(300)))


def test_a_full_redis_that_was_emptied_is_whole_again(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        for number in range(20):
            node.come(f"user{number}", "d1")
        redis_server.ask("CONFIG", "SET", "maxmemory", "1")
        redis_server.ask("FLUSHALL")
        wait_until(lambda: redis_server.ask("SCARD", f"test:np:{node.node}") == "20")
        wait_until(lambda: len(node.registry.find(None)) == 20)
        redis_server.ask("CONFIG", "SET", "maxmemory", "0")


def test_a_claim_that_is_refused_in_a_rebuild_is_made_up(world, redis_server, caplog):
    with nodes(world, redis_server, 1) as [node]:
        for number in range(20):
            node.come(f"user{number}", "d1")
        for number in range(3):
            redis_server.ask("SET", f"test:u:{{user{number}}}", "a string")
        node.disconnect()
        node.connect()
        assert len(node.registry.claims.refused) == 3
        for number in range(3):
            redis_server.ask("DEL", f"test:u:{{user{number}}}")
        wait_until(lambda: len(node.registry.find(None)) == 20)
        wait_until(lambda: not node.registry.claims.refused)
        assert len([line for line in caplog.messages if "refused to enter" in line]) == 1


def test_claims_that_have_ended_unnoticed_are_struck_off(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        node.come("bob", "b1")
        node.come("alice", "a1")
        members = f"test:np:{node.node}"
        listed = sorted(redis_server.ask("SMEMBERS", members).split("\n"))
        redis_server.ask("SET", "test:u:{carol}", "a string")
        redis_server.ask("SADD", members, "bob b1 9000", "dave d1 9001", "carol c1 9002")

        node.lease._rebuild.claim_missing()
        assert redis_server.ask("SCARD", members) == "5"  # they may be on their way
        node.lease._rebuild.claim_missing()

        left = sorted(redis_server.ask("SMEMBERS", members).split("\n"))
        assert left == sorted([*listed, "carol c1 9002"])
        redis_server.ask("SREM", members, "carol c1 9002")
        assert len(node.registry.find(None)) == 2


def test_a_device_is_not_given_to_a_node_that_has_died(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        claim = a.come("bob", "b1")
        gone = b.node
        b.leave()
        outcomes: list[Any] = []
        a.registry.give("bob", "b1", claim.token, gone, outcomes.append)
        wait_until(lambda: outcomes)
        assert outcomes == [False]
        assert redis_server.ask("EXISTS", f"test:np:{gone}") == "0"
        [place] = a.registry.find("bob")
        assert (place.node, place.token) == (a.node, claim.token)
        assert a.release("bob", "b1", claim.token).was_mine


def test_a_device_that_was_given_to_a_node_that_never_heard_of_it_is_taken_off(
    world, redis_server, monkeypatch
):
    monkeypatch.setattr("protoo_flask.cluster.lease.TIDYING_TIME", 0.0)
    with nodes(world, redis_server, 2) as [a, b]:
        claim = a.come("bob", "b1")
        outcomes: list[Any] = []
        a.registry.give("bob", "b1", claim.token, b.node, outcomes.append)
        wait_until(lambda: outcomes == [True])
        del a.host.peers["bob", "b1"]
        wait_until(lambda: b.host.noted("buried"))
        [(place, is_last)] = b.host.noted("buried")
        assert (place.username, place.token, is_last) == ("bob", claim.token, True)
        assert a.find("bob") == []


# What is said while Redis is away


def test_a_home_that_is_given_up_while_redis_is_away_is_given_up_later(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        a.registry.take_home("rooms", "/r")
        a.disconnect()
        a.registry.leave_home("rooms", "/r")
        a.connect()
        wait_until(lambda: b.registry.take_home("rooms", "/r") == b.node)
        wait_until(lambda: not a.registry.homes.unleft)


# Logins and servers that change


def test_a_password_that_changes_is_told_and_the_right_one_taken(start, redis_server, caplog):
    redis_server.ask("ACL", "SETUSER", "site", "on", ">old", "~*", "&*", "+@all")
    a = start(f"redis://site:old@127.0.0.1:{redis_server.port}")
    assert a.cluster.status == UP
    redis_server.ask("ACL", "SETUSER", "site", "resetpass", ">new")
    redis_server.ask("CLIENT", "KILL", "USER", "site")
    a.until(lambda: "refuses the login of user 'site'" in a.cluster.reason)
    assert a.cluster.status == AWAY
    assert "old" not in a.cluster.reason
    redis_server.ask("ACL", "SETUSER", "site", "resetpass", ">old")
    a.until(lambda: a.cluster.status == UP)
    lines = [line for line in caplog.messages if "refuses the login" in line]
    assert len(lines) == 1


def test_a_primary_that_becomes_a_replica_is_left(start, redis_server):
    a = start()
    a.cluster.claim("bob", "b1", b"", 4)
    a.host.peers["bob", "b1"] = (b"", 0.0, True)
    redis_server.ask("REPLICAOF", "127.0.0.1", "1")
    a.until(lambda: a.cluster.status == AWAY and "is a replica" in a.cluster.reason)
    redis_server.ask("REPLICAOF", "NO", "ONE")
    a.until(lambda: a.cluster.status == UP)
    assert [place.uuid for place in a.cluster.find("bob")] == ["b1"]


# Slow nodes


def test_a_node_that_reads_too_slowly_is_cut_off_and_comes_back(start, redis_server):
    a, b = start(), start()
    assert a.reaches(b)
    former = b.id
    limit = "pubsub 100kb 100kb 1"
    redis_server.ask("CONFIG", "SET", "client-output-buffer-limit", limit)
    bus = b.cluster._parts.bus
    take = bus.take
    # It reads a frame at a time, slowly, while it is sent many.
    bus.take = lambda data: (time.sleep(0.02), take(data))
    for number in range(600):
        a.cluster.send(b.id, Answer(number, 200, "ok", b"x" * 50_000))
    a.until(lambda: (a.id,) in b.host.noted("may_have_lost"))
    del bus.take
    # It may be cut off again until the last of the frames has been sent.
    a.until(lambda: a.cluster.status == b.cluster.status == UP and a.reaches(b, 1.0))
    assert b.id == former


def test_a_node_that_stands_still_for_less_than_its_death_takes_is_not_buried(world, redis_server):
    with nodes(world, redis_server, 3, node_timeout=3.0) as [a, b, c]:
        wait_until(lambda: all(len(node.wires.nodes) == 3 for node in (a, b, c)))
        ids = {node.node for node in (a, b, c)}
        ask = a.lease._ask
        end = world.loop.now() + 3.0 * 0.3  # of ten seconds, it would be three

        def stand_still(*args: Any) -> Any:
            while world.loop.now() < end:
                (time.sleep if world.loop.preempts else gevent.sleep)(0.01)
            return ask(*args)

        a.lease._ask = stand_still  # type: ignore[method-assign]
        b.lease._wake.set()  # another one looks out of turn
        wait_until(lambda: world.loop.now() > end + 0.6)
        assert {node.node for node in (a, b, c)} == ids
        assert b.host.noted("node_gone") == c.host.noted("node_gone") == []


# Redis hangs


def test_close_takes_two_seconds_at_most_when_redis_hangs(start, redis_server, monkeypatch, caplog):
    monkeypatch.setattr("protoo_flask.cluster.redis_cluster.LEAVING_TIME", 0.2)
    a = start()
    redis_server.pause()
    a.cluster.close()
    assert "has not left the cluster in good order" in caplog.text
    redis_server.resume()


def test_a_name_that_is_looked_up_for_long_leaves_a_node_away(start, monkeypatch):
    import threading

    goes_on = threading.Event()

    def hang(*args: Any) -> Any:
        goes_on.wait()
        raise CannotOpen("a resolver that hangs")

    monkeypatch.setattr("protoo_flask.cluster.redis_cluster.JOINING_TIME", 0.2)
    monkeypatch.setattr("protoo_flask.cluster.opening.RedisAddress.connect", hang)
    a = start()
    try:
        assert a.cluster.status == AWAY
        assert "has not answered yet" in a.cluster.reason
        with pytest.raises(ClusterAway, match=r"has not answered yet|not joined yet"):
            a.cluster.find("bob")
        a.cluster.close()
    finally:
        goes_on.set()


def test_the_nodes_of_a_registry_listen(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        assert isinstance(node, RegistryNode)
        assert redis_server.ask("PUBSUB", "NUMSUB", f"test:n:{node.node}").split()[-1] == "1"
