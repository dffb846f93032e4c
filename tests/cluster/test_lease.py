"""Leases on a real Redis: nodes that die, are stopped, are cut off, and what Redis may do."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator

import pytest

from protoo_flask.cluster import node_scripts
from protoo_flask.core.cluster.places import NEW, TAKEN, Release
from protoo_flask.core.cluster.protocol import AWAY, SETTLING, UP, ClaimRefused, ClusterAway
from tests.cluster.redis_servers import RedisServer
from tests.cluster.registry_nodes import RegistryNode, nodes, wait_until
from tests.transport.wire import PATIENCE


@pytest.fixture
def trio(world: Any, redis_server: Any) -> Iterator[list[RegistryNode]]:
    with nodes(world, redis_server, 3) as trio:
        wait_until(lambda: all(len(node.wires.nodes) == 3 for node in trio))
        yield trio


def release_all(*nodes: RegistryNode) -> None:
    for node in nodes:
        node.host.peers.clear()


# The dead


def test_the_peers_of_a_dead_node_are_buried_once(trio):
    dead, *survivors = trio
    for number in range(1200):
        dead.registry.claim(f"user{number % 600}", f"d{number}", b"", 8)
    survivors[0].come("user0", "elsewhere")
    told = survivors[1].watch("user1")
    wait_until(lambda: told)
    dead.die()
    wait_until(lambda: sum(len(node.host.noted("buried")) for node in survivors) == 1200)
    buried = [note for node in survivors for note in node.host.noted("buried")]
    assert max(Counter(place.uuid for place, _ in buried).values()) == 1
    assert sum(is_last for _, is_last in buried) == 599  # one has a device elsewhere
    assert {place.node for place, _ in buried} == {dead.node}
    for node in survivors:
        names = [note[0] for note in node.host.notes if note[0] in ("node_gone", "buried")]
        assert names[0] == "node_gone"
        assert names.count("node_gone") == 1
    wait_until(lambda: told[-1].places == ())
    assert survivors[0].find("user0") == ["elsewhere"]


def test_a_grave_that_was_left_open_is_closed_by_others(trio, redis_server):
    dead, *survivors = trio
    dead.come("bob", "b1")
    dead.die()
    # Somebody declares it dead, and dies before a peer is released.
    redis_server.ask("HDEL", "test:{nodes}:beat", dead.node)
    redis_server.ask("SADD", "test:{nodes}:grave", dead.node)
    wait_until(lambda: [node for node in survivors if node.host.noted("buried")])
    wait_until(lambda: redis_server.ask("EXISTS", "test:{nodes}:grave") == "0")
    assert sum(len(node.host.noted("buried")) for node in survivors) == 1


def test_a_node_that_leaves_is_gone_without_burial(trio, redis_server):
    gone, *others = trio
    gone.come("bob", "b1")
    gone.leave()
    assert others[0].find("bob") == []
    wait_until(lambda: all(node.host.noted("node_gone") == [(gone.node,)] for node in others))
    assert [node.host.noted("buried") for node in others] == [[], []]


def test_a_home_of_a_dead_node_is_taken_over(trio):
    dead, a, b = trio
    assert dead.registry.take_home("rooms", "/r") == dead.node
    dead.die()
    wait_until(lambda: dead.node not in a.wires.nodes)
    assert a.registry.take_home("rooms", "/r") == a.node
    assert b.registry.take_home("rooms", "/r") == a.node


# Zombies


def test_a_node_taken_for_dead_gets_a_new_id_and_claims_its_peers_again(trio):
    zombie, *others = trio
    former = zombie.node
    token = zombie.come("bob", "b1", b"7").token
    home = zombie.registry.take_home("rooms", "/r")
    bury(others[0], zombie)
    wait_until(lambda: zombie.host.noted("claimed"))
    assert zombie.host.noted("fenced") == [(former,)]
    assert zombie.node not in (former, home)
    assert zombie.subscribed == [former, zombie.node]
    [(username, uuid, claim)] = zombie.host.noted("claimed")
    assert (username, uuid) == ("bob", "b1")
    [place] = others[1].registry.find("bob")
    assert (place.node, place.token, place.data) == (zombie.node, claim.token, b"7")
    buried = sum(len(node.host.noted("buried")) for node in others)
    # Either they have told "offline", and it is a new peer, or it was faster than they.
    assert (claim.verdict == NEW) == bool(buried)
    assert claim.born != token or claim.verdict == TAKEN
    # The one that has buried it may still be giving up its homes.
    wait_until(lambda: zombie.registry.take_home("rooms", "/r") == zombie.node)


def test_stale_writes_of_a_zombie_are_refused(trio):
    zombie, a, b = trio
    former = zombie.node
    tokens = {f"user{n}": zombie.registry.claim(f"user{n}", "u1", b"", 8).token for n in range(100)}
    zombie.lease._has_left = True  # it is stopped: no beat any more
    zombie.lease._wake.set()
    wait_until(lambda: sum(len(node.host.noted("buried")) for node in (a, b)) == 100)
    for username in tokens:
        a.registry.claim(username, "u1", b"new", 8)
    for username, token in tokens.items():
        zombie.registry.mark(username, "u1", token, False, b"stale")
        assert zombie.release(username, "u1", token) == Release(False, False)
        [place] = b.registry.find(username)
        assert (place.node, place.online, place.data) == (a.node, True, b"new")
    assert former not in a.wires.nodes


def test_a_node_that_was_stopped_claims_nothing_by_the_id_of_a_dead_node(trio):
    """Handshakes wait in its listen backlog, and may come before its first beat."""
    zombie, other, _ = trio
    former, beat, goes_on = zombie.node, zombie.lease._beat, zombie.world.loop.event()

    def beat_late(writer):
        goes_on.wait(PATIENCE)
        beat(writer)

    zombie.lease._beat = beat_late
    wait_until(lambda: former not in other.wires.nodes)
    zombie.registry.claims.find_out = goes_on.set

    claim = zombie.registry.claim("bob", "b1", b"", 8)

    assert claim.node == zombie.node != former
    assert zombie.host.noted("fenced") == [(former,)]  # before the claim
    [place] = other.registry.find("bob")
    assert (place.node, place.token) == (zombie.node, claim.token)
    zombie.host.peers["bob", "b1"] = b"", 0.0, True


def test_a_node_that_cannot_know_whether_it_is_dead_claims_nothing(trio):
    zombie, other, _ = trio
    goes_on = zombie.world.loop.event()
    beat, zombie.lease._beat = zombie.lease._beat, lambda writer: goes_on.wait(PATIENCE)
    wait_until(lambda: zombie.lease.is_deaf)

    with pytest.raises(ClusterAway, match="for dead"):
        zombie.registry.claim("bob", "b1", b"", 8)

    assert other.registry.find("bob") == []
    zombie.lease._beat = beat
    goes_on.set()


def bury(observer: RegistryNode, node: RegistryNode) -> None:
    """Declare a node dead that is alive, as observers of one that was stopped do."""
    wires = observer.wires
    while True:
        beat = wires.ask_all([(b"HGET", wires.keys.beat, node.node)])[0]
        replies: list[Any] = []
        wires.run(
            node_scripts.BURY.ask,
            *(wires.writer, replies.append, *wires.keys.of_nodes, node.node, beat, 60),
        )
        wait_until(lambda: replies)  # noqa: B023
        if replies == [1]:
            return


def test_a_node_is_deaf_until_a_beat_is_answered(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        assert not node.lease.is_deaf
        redis_server.pause()
        wait_until(lambda: node.lease.is_deaf)
        wait_until(lambda: node.lease.status == AWAY)
        redis_server.resume()
        node.disconnect()
        node.connect()
        assert not node.lease.is_deaf
        assert node.lease.status == UP


# Redis loses everything


def test_an_emptied_redis_is_rebuilt_and_nobody_is_told(trio, redis_server):
    a, b, c = trio
    first = a.come("bob", "b1", b"7")
    b.come("bob", "b2")
    for number in range(600):
        c.registry.claim(f"user{number}", "u1", b"", 8)
        c.host.peers[f"user{number}", "u1"] = (b"", 1.0, number % 2 == 0)
    a.registry.publish("bob", {"status": "busy"})
    wait_until(lambda: c.registry.get_presence("bob").presence.status == "busy")
    told = c.watch("bob")
    wait_until(lambda: told)
    redis_server.ask("FLUSHALL")
    wait_until(lambda: c.host.noted("status_changed") and len(c.host.noted("claimed")) == 600)
    wait_until(lambda: all(node.lease.status == UP for node in trio))
    places = c.registry.find("bob")
    assert sorted((place.uuid, place.node) for place in places) == [("b1", a.node), ("b2", b.node)]
    # It is the same peer for everybody, and has the data and the status that it had.
    [place] = [place for place in places if place.uuid == "b1"]
    assert (place.born, place.data) == (first.token, b"7")
    wait_until(lambda: told[-1].presence.status == "busy")
    assert all(len(user.places) == 2 for user in told)
    assert [place.online for place in a.registry.find("user1")] == [False]
    assert len(a.registry.find(None)) == 602
    for node in trio:
        assert node.host.noted("buried") == []
        assert node.host.noted("node_gone") == []
        assert node.host.noted("fenced") == []


def test_a_restarted_redis_is_rebuilt_in_any_order_of_the_nodes(trio, redis_server, world):
    tokens = {}
    for number, node in enumerate(trio):
        tokens[node] = node.come(f"user{number}", "u1").token
    told = trio[0].watch("user2")
    wait_until(lambda: told)
    redis_server.stop()
    wait_until(lambda: all(node.lease.status == AWAY for node in trio))
    with pytest.raises(ClusterAway):
        trio[0].registry.find("user1")
    assert [place.uuid for place in trio[0].registry.look("user2")] == ["u1"]
    redis_server.start()
    for index in (2, 0, 1):
        trio[index].disconnect()
        trio[index].connect()
        if index != 1:
            # The others have not come yet, so absence is not to be believed.
            assert trio[index].lease.status == SETTLING
    wait_until(lambda: all(node.lease.status == UP for node in trio))
    for number, node in enumerate(trio):
        [place] = trio[0].registry.find(f"user{number}")
        assert (place.node, place.born) == (node.node, tokens[node])
    assert all(user.places for user in told)


def test_a_claim_waits_until_an_emptied_directory_is_complete(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        wait_until(lambda: all(len(node.wires.nodes) == 2 for node in (a, b)))
        a.come("bob", "b1")
        redis_server.stop()
        wait_until(lambda: AWAY == a.lease.status == b.lease.status)
        redis_server.start()
        b.disconnect()
        b.connect()
        assert b.lease.status == SETTLING
        claims: list[Any] = []
        wait = world.spawn(lambda: claims.append(b.come("bob", "b2")))
        a.disconnect()
        a.connect()
        wait()
        # Bob was online all the time, so nobody is to be told that he comes online.
        assert [(claim.verdict, claim.is_first) for claim in claims] == [(NEW, False)]


def test_the_younger_link_wins_a_rebuild_in_any_order(trio, redis_server):
    a, b, c = trio
    for node, age in ((a, 50.0), (b, 5.0), (c, 500.0)):
        node.come("bob", "b1")
        node.host.peers["bob", "b1"] = (b"", age, True)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        redis_server.ask("DEL", "test:u:{bob}")
        for index in order:
            trio[index].lease._rebuild.claim_all()
        [place] = a.registry.find("bob")
        assert place.node == b.node
    wait_until(lambda: a.host.noted("claimed") and c.host.noted("claimed"))
    assert a.host.noted("claimed")[-1][2] is None
    assert c.host.noted("claimed")[-1][2] is None


# Redis is away


def test_what_happens_while_redis_is_away_is_made_up(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        stays, goes = a.come("bob", "b1"), a.come("bob", "b2")
        a.host.peers["bob", "b1"] = (b"", 60.0, True)
        a.disconnect()
        assert (a.lease.status, b.lease.status) == (AWAY, UP)
        assert a.release("bob", "b2", goes.token) is None
        a.registry.mark("bob", "b1", stays.token, False)
        a.host.peers["bob", "b1"] = (b"new", 60.0, False)
        with pytest.raises(ClusterAway):
            a.come("bob", "b3")
        a.host.peers["bob", "b3"] = (b"", 0.1, True)
        a.connect()
        assert a.lease.status == UP
        places = b.registry.find("bob")
        assert sorted((p.uuid, p.online, p.data) for p in places) == [
            ("b1", False, b"new"),
            ("b3", True, b""),
        ]
        wait_until(lambda: ("bob", "b3") in {note[:2] for note in a.host.noted("claimed")})
        assert not a.registry.claims.unclaimed


def test_a_claim_that_fails_while_the_connection_comes_back_is_made_up(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        writer, node.wires.open_writer = node.wires.open_writer, None
        with pytest.raises(ClusterAway):
            node.registry.claim("bob", "b1", b"", 8)
        node.wires.open_writer = writer  # it is back, and the host has not listed the peer yet
        node.host.peers["bob", "b1"] = (b"", 0.0, True)
        wait_until(lambda: node.host.noted("claimed"))
        assert node.find("bob") == ["b1"]


def test_a_claim_answered_too_late_is_taken_back_if_the_device_has_gone(
    world, redis_server, monkeypatch
):
    monkeypatch.setattr("protoo_flask.cluster.claims.OWING_TIME", 0.5)
    monkeypatch.setattr("protoo_flask.cluster.claims.ANSWER_TIME", 0.1)
    with nodes(world, redis_server, 1, node_timeout=10.0) as [node]:
        redis_server.pause()
        with pytest.raises(ClusterAway, match=r"has not replied within 0\.1 seconds"):
            node.registry.claim("bob", "b1", b"", 8)
        redis_server.resume()
        wait_until(lambda: redis_server.ask("HEXISTS", "test:u:{bob}", "d:b1") == "0")
        wait_until(lambda: not node.registry.claims.unsure)
        assert redis_server.ask("HKEYS", "test:u:{bob}") in ("t", "")
        assert redis_server.ask("SCARD", f"test:np:{node.node}") == "0"


def test_a_node_forgets_peers_that_others_have_taken_over(world, redis_server, monkeypatch):
    monkeypatch.setattr("protoo_flask.cluster.lease.TIDYING_TIME", 0.0)
    with nodes(world, redis_server, 2) as [a, b]:
        a.come("bob", "b1")
        a.come("alice", "a1")
        a.registry.publish("bob", {"status": "busy"})
        b.come("bob", "b1")
        del a.host.peers["bob", "b1"]
        wait_until(lambda: list(a.registry.claims.owned) == [("alice", "a1")])
        wait_until(lambda: not a.registry.published)


# Redis is full


def test_a_full_redis_refuses_claims_and_nothing_else(world, tmp_path):
    server = RedisServer(tmp_path)
    try:
        with nodes(world, server, 2) as [a, b]:
            claim, other = a.come("bob", "b1"), a.come("bob", "b2")
            home = a.registry.take_home("rooms", "/r")
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(ClaimRefused, match="OOM"):
                a.registry.claim("alice", "a1", b"", 8)
            with pytest.raises(ClaimRefused, match="OOM"):
                b.registry.take_home("rooms", "/other")
            # A device that was there may move, drop and leave; nodes go on to beat.
            moved = b.come("bob", "b1")
            assert moved.former.token == claim.token
            b.registry.mark("bob", "b1", moved.token, False)
            wait_until(lambda: [p.online for p in a.registry.find("bob")] == [False, True])
            assert a.release("bob", "b2", other.token) == Release(True, False)
            assert b.release("bob", "b1", moved.token) == Release(True, True)
            assert a.registry.take_home("rooms", "/r") == home
            beats = server.ask("HVALS", "test:{nodes}:beat")
            wait_until(lambda: server.ask("HVALS", "test:{nodes}:beat") != beats)
            server.ask("CONFIG", "SET", "maxmemory", "0")
            assert a.registry.claim("alice", "a1", b"", 8).is_first
            assert (a.lease.status, b.lease.status) == (UP, UP)
    finally:
        server.stop()


def test_the_dead_are_buried_in_a_full_redis(world, tmp_path):
    server = RedisServer(tmp_path)
    try:
        with nodes(world, server, 2) as [dead, survivor]:
            dead.come("bob", "b1")
            server.ask("CONFIG", "SET", "maxmemory", "1")
            dead.die()
            wait_until(lambda: survivor.host.noted("buried"))
            assert survivor.find("bob") == []
    finally:
        server.stop()


def test_redis_may_forget_the_scripts(world, redis_server):
    with nodes(world, redis_server, 2) as [a, b]:
        redis_server.ask("SCRIPT", "FLUSH")
        claim = a.come("bob", "b1")
        assert b.find("bob") == ["b1"]
        assert a.release("bob", "b1", claim.token) == Release(True, True)
