"""The registry on a real Redis: claims, releases, lookups, watchers, presence."""

from __future__ import annotations

import random
from typing import Any, Iterator

import pytest

from protoo_flask.cluster.entries import read_user
from protoo_flask.core.cluster.places import FULL, NEW, TAKEN, Place, Release
from tests.cluster.registry_nodes import RegistryNode, nodes, wait_until


@pytest.fixture
def pair(world: Any, redis_server: Any) -> Iterator[list[RegistryNode]]:
    with nodes(world, redis_server, 2) as pair:
        yield pair


def test_a_claim_makes_a_device_known_to_all_nodes(pair):
    a, b = pair
    claim = a.come("bob", "b1", b'{"name":"Bob"}')
    assert (claim.verdict, claim.is_first, claim.former) == (NEW, True, None)
    place = b.registry.find("bob")[0]
    assert place == Place(
        "bob", "b1", a.node, claim.token, claim.token, True, place.since, b'{"name":"Bob"}'
    )
    assert not b.come("bob", "b2").is_first


def test_a_device_that_is_there_is_taken_with_its_former_place(pair):
    a, b = pair
    first = a.come("bob", "b1")
    second = b.come("bob", "b1")
    assert (second.verdict, second.born, second.is_first) == (TAKEN, first.token, False)
    assert (second.former.node, second.former.token) == (a.node, first.token)
    assert a.release("bob", "b1", first.token) == Release(False, False)
    assert b.release("bob", "b1", second.token) == Release(True, True)
    assert a.find("bob") == []


def test_a_node_can_claim_its_own_device_again(pair):
    a, _ = pair
    first, second = a.come("bob", "b1"), a.come("bob", "b1")
    assert (second.verdict, second.former.node) == (TAKEN, a.node)
    assert second.token > first.token


def test_a_user_may_have_no_more_devices_than_the_limit(pair):
    a, b = pair
    a.come("bob", "b1", limit=2)
    b.come("bob", "b2", limit=2)
    assert a.registry.claim("bob", "b3", b"", 2).verdict == FULL
    assert sorted(a.find("bob")) == ["b1", "b2"]


def test_the_device_that_has_been_away_longest_gives_way(pair):
    a, b = pair
    first, second = a.come("bob", "b1"), b.come("bob", "b2")
    # The second one drops first.
    b.registry.mark("bob", "b2", second.token, False)
    wait_until(lambda: [place.online for place in b.registry.find("bob")] == [True, False])
    a.registry.mark("bob", "b1", first.token, False)
    wait_until(lambda: [place.online for place in a.registry.find("bob")] == [False, False])
    claim = a.registry.claim("bob", "b3", b"", 2)
    assert (claim.verdict, claim.is_first, claim.gave_way.uuid) == (NEW, False, "b2")
    assert (claim.gave_way.node, claim.gave_way.token) == (b.node, second.token)
    assert b.release("bob", "b2", second.token) == Release(False, False)


def test_the_only_device_gives_way_and_its_user_stays_online(pair):
    a, b = pair
    claim = a.come("bob", "b1", limit=1)
    a.registry.mark("bob", "b1", claim.token, False)
    wait_until(lambda: not a.registry.find("bob")[0].online)
    since = a.registry.get_presence("bob").presence.since
    second = b.come("bob", "b2", limit=1)
    assert (second.verdict, second.is_first, second.gave_way.uuid) == (NEW, False, "b1")
    assert b.registry.get_presence("bob").presence.since == since


def test_a_device_that_is_back_is_online_since_then(pair):
    a, b = pair
    claim = a.come("bob", "b1")
    before = b.registry.find("bob")[0].since
    a.registry.mark("bob", "b1", claim.token, False)
    wait_until(lambda: not b.registry.find("bob")[0].online)
    assert b.registry.find("bob")[0].since == before
    a.registry.mark("bob", "b1", claim.token, True, b"7")
    wait_until(lambda: b.registry.find("bob")[0].online)
    place = b.registry.find("bob")[0]
    assert place.since > before
    assert (place.token, place.data) == (claim.token, b"7")


def test_only_the_right_token_changes_a_device(pair):
    a, b = pair
    stale = a.come("bob", "b1").token
    b.come("bob", "b1")
    a.registry.mark("bob", "b1", stale, False, b"stale")
    assert a.release("bob", "b1", stale) == Release(False, False)
    place = a.registry.find("bob")[0]
    assert (place.node, place.online, place.data) == (b.node, True, b"")


def test_tokens_are_unique_after_the_user_was_forgotten(pair, redis_server):
    a, _ = pair
    first = a.come("bob", "b1")
    a.release("bob", "b1", first.token)
    redis_server.ask("DEL", "test:u:{bob}")
    assert a.come("bob", "b1").token > first.token


@pytest.mark.parametrize(
    ("username", "other"),
    [
        ("a}b", "a%7db"),
        ("{bob}", "bob"),
        ("bob smith", "bob%20smith"),
        ("", "{}"),
        ("zoë", "zo%c3%ab"),
        ("\ud83d", "\ude00"),
        ("a\nb\0c", "a"),
        ("100%", "100%25"),
    ],
)
def test_names_can_be_any_text(pair, username, other):
    a, b = pair
    uuid = username + " d:\n"
    claim = a.come(username, uuid, b"[1, 2]")
    b.come(other, "b1")
    assert [place[:2] for place in b.registry.find(username)] == [(username, uuid)]
    assert b.registry.find(username)[0].data == b"[1, 2]"
    assert b.find(other) == ["b1"]
    found = {place[:2] for place in b.registry.find(None)}
    assert found == {(username, uuid), (other, "b1")}
    told = b.watch(username)
    wait_until(lambda: told)
    assert a.release(username, uuid, claim.token) == Release(True, True)
    wait_until(lambda: told[-1].places == ())


# Lookups


def test_absence_is_cached_until_it_ends(pair, redis_server):
    a, b = pair
    assert b.registry.look("bob") is None
    assert b.registry.find("bob") == []
    assert b.registry.look("bob") == []
    a.come("bob", "b1")
    wait_until(lambda: b.registry.look("bob") is None)
    assert b.find("bob") == ["b1"]


def test_a_node_sees_its_own_claim_at_once(pair):
    a, _ = pair
    for number in range(100):
        a.find("bob")
        claim = a.come("bob", f"b{number}", limit=200)
        assert f"b{number}" in a.find("bob")
        if number % 3 == 0:
            a.release("bob", f"b{number}", claim.token)
            assert f"b{number}" not in a.find("bob")


def test_lookups_of_one_user_at_the_same_time_are_one(pair, redis_server, world):
    a, _ = pair
    redis_server.ask("CONFIG", "RESETSTAT")
    finds = [world.spawn(a.registry.find, "bob") for _ in range(20)]
    assert all(find() in ([], None) for find in finds)
    stats = redis_server.ask("INFO", "commandstats")
    if not world.loop.preempts:
        assert "cmdstat_hgetall:calls=1," in stats


def test_the_cache_is_bounded(world, redis_server):
    with nodes(world, redis_server, 1) as [node]:
        node.registry.lookups._max_users = 10
        for number in range(25):
            node.find(f"user{number}")
        assert len(node.registry.lookups) == 10
        assert node.registry.look("user24") == []
        assert node.registry.look("user3") is None


def test_the_cache_is_true_after_any_changes(pair):
    a, b = pair
    rnd = random.Random(3)
    for node in pair:
        node.registry.lookups._max_users = 4  # users are dropped, and read again, all the time
    held = []
    names = [f"user{number}" for number in range(8)]
    for _ in range(600):
        node = rnd.choice(pair)
        choice = rnd.random()
        if choice < 0.3:
            device = rnd.choice(names), rnd.choice("xyz")
            held.append((node, *device, node.registry.claim(*device, b"", 8).token))
        elif choice < 0.5 and held:
            node, *device, token = held.pop(rnd.randrange(len(held)))
            node.registry.release(*device, token, lambda release: None)
        elif choice < 0.6 and held:
            node, *device, token = rnd.choice(held)
            node.registry.mark(*device, token, rnd.random() < 0.5)
        else:
            node.registry.find(rnd.choice(names))
    a.registry.find("somebody"), b.registry.find("somebody")
    for name in names:
        truth = read_user(name, a.wires.ask_all([(b"HGETALL", a.wires.keys.user(name))])[0])
        for node in pair:
            wait_until(lambda: node.registry.look(name) in (None, list(truth.places)))  # noqa: B023
            assert node.registry.find(name) == list(truth.places)
    assert len(a.registry.lookups) <= 4


# Watching


def test_a_watcher_is_told_each_latest_state(pair):
    a, b = pair
    told = b.watch("bob")
    wait_until(lambda: told)
    assert told[0].places == ()
    claim = a.come("bob", "b1")
    wait_until(lambda: len(told[-1].places) == 1)
    a.registry.publish("bob", {"status": "busy"})
    wait_until(lambda: told[-1].presence.status == "busy")
    a.release("bob", "b1", claim.token)
    wait_until(lambda: told[-1].places == ())
    assert told[-1].presence.status is None
    assert told[-1].presence.since is not None


def test_a_watcher_that_comes_later_is_told_alone(pair):
    a, b = pair
    a.come("bob", "b1")
    first = b.watch("bob")
    wait_until(lambda: first)
    second = b.watch("bob")
    wait_until(lambda: second)
    assert len(first) == 1
    b.registry.unwatch("bob", first.append)
    a.come("bob", "b2")
    wait_until(lambda: len(second[-1].places) == 2)
    assert len(first) == 1


def test_watchers_miss_nothing_while_a_user_changes_all_the_time(pair):
    a, b = pair
    told = b.watch("bob")
    wait_until(lambda: told)
    for number in range(200):
        claim = a.come("bob", f"b{number}", limit=1000)
        if number % 2:
            a.release("bob", f"b{number}", claim.token)
    wait_until(lambda: len(told[-1].places) == 100)
    assert [place.uuid for place in told[-1].places] == [f"b{n}" for n in range(0, 200, 2)]


# Presence


def test_presence_follows_the_rules_of_its_states(pair):
    a, b = pair

    def presence() -> Any:
        return b.registry.get_presence("bob").presence

    assert presence().since is None
    a.registry.publish("bob", {"status": "busy"})  # offline: nothing happens
    claim = a.come("bob", "b1")
    wait_until(lambda: presence().since)
    online = presence().since
    assert presence().status is None
    a.registry.publish("bob", {"note": "in a meeting"})
    wait_until(lambda: presence().note == "in a meeting")
    assert presence().since == online
    a.registry.publish("bob", {"status": ""})
    wait_until(lambda: presence().status == "")
    busy = presence().since
    assert busy > online
    b.registry.publish("bob", {"status": "", "note": None})
    wait_until(lambda: presence().note is None)
    assert presence().since == busy
    a.release("bob", "b1", claim.token)
    wait_until(lambda: presence().status is None)
    assert presence().since > busy


# Homes


def test_the_first_who_takes_a_home_has_it_until_it_leaves(pair):
    a, b = pair
    assert a.registry.take_home("rooms", "/a}b") == a.node
    assert b.registry.take_home("rooms", "/a}b") == a.node
    assert b.registry.take_home("rooms", "/other") == b.node
    b.registry.leave_home("rooms", "/a}b")  # it is not its own
    assert b.registry.take_home("rooms", "/a}b") == a.node
    a.registry.leave_home("rooms", "/a}b")
    wait_until(lambda: b.registry.take_home("rooms", "/a}b") == b.node)


# What is left


def test_nothing_is_left_but_when_users_were_seen(pair, redis_server):
    a, b = pair
    for number in range(50):
        node = pair[number % 2]
        claim = node.come(f"user{number}", "u1")
        if number % 3 == 0:
            claim = pair[number % 2 - 1].come(f"user{number}", "u1")
            node = pair[number % 2 - 1]
        node.registry.publish(f"user{number}", {"status": "busy", "note": "x"})
        if number % 2:
            node.release(f"user{number}", "u1", claim.token)
    a.registry.take_home("rooms", "/r")
    for key in redis_server.ask("KEYS", "*").split():
        assert 0 < int(redis_server.ask("TTL", key)) <= 86400, key
    a.leave()
    assert {place.node for place in b.registry.find(None)} <= {b.node}
    b.leave()
    keys = redis_server.ask("KEYS", "*").split()
    assert len(keys) == 50
    assert {key.rpartition(":")[0] for key in keys} == {"test:u"}
    for key in keys:
        assert redis_server.ask("HKEYS", key) == "t"
        assert 0 < int(redis_server.ask("TTL", key)) <= 86400
    assert (a.registry.claims.owned, a.registry.claims.unreleased, a.registry.claims.unsure) == (
        {},
        {},
        {},
    )
