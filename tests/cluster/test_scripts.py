"""The scripts under races: many connections claim, mark, release and reap at random."""

from __future__ import annotations

import random
from typing import Any

import pytest
import redis

from protoo_flask.cluster import scripts
from protoo_flask.cluster.entries import read_user
from protoo_flask.cluster.keys import Keys
from protoo_flask.core.cluster.places import FULL, NEW, TAKEN
from tests.cluster.registry_nodes import RegistryNode

CONNECTIONS = 8
ROUNDS = 60
BATCH = 25
LIMIT = 4
USERS = [f"user{number}" for number in range(5)]
UUIDS = [f"d{number}" for number in range(7)]


class Racer:
    """One of the connections, pipelined: what it sends at a time is mixed with that of others."""

    def __init__(self, client: Any, name: str, rnd: random.Random) -> None:
        self.client = client
        self.name = name
        self.rnd = rnd
        self.nonce = 0
        #: What it has claimed, as far as it knows: ``(username, uuid, token)``.
        self.held: list[tuple[str, str, bytes]] = []
        self.asked: list[tuple[str, str, str]] = []
        self.pipe: Any = None

    def run(self, script: scripts.Script, key: bytes, *args: Any) -> None:
        self.pipe.evalsha(script.digest, 1, key, *args)

    def prepare(self) -> None:
        """Choose what to do, and send nothing yet."""
        self.pipe = self.client.pipeline(transaction=False)
        self.asked = []
        for _ in range(BATCH):
            username, uuid = self.rnd.choice(USERS), self.rnd.choice(UUIDS)
            key = KEYS.user(username)
            choice = self.rnd.random()
            if choice < 0.5:
                self.nonce += 1
                self.asked.append(("claim", username, uuid))
                self.run(scripts.CLAIM, key, uuid, self.name, self.nonce, LIMIT, 60, b"")
            elif choice < 0.6:
                other = f"node{self.rnd.randrange(CONNECTIONS)}"
                self.asked.append(("reap", username, uuid))
                self.run(scripts.REAP, key, uuid, other, b"", 60)
            elif self.held:
                username, uuid, token = self.held.pop(self.rnd.randrange(len(self.held)))
                key = KEYS.user(username)
                if choice < 0.75:
                    self.asked.append(("mark", username, uuid))
                    self.run(scripts.MARK, key, uuid, token, self.rnd.choice("ac"), "0", b"")
                    self.held.append((username, uuid, token))
                else:
                    self.asked.append(("release", username, uuid))
                    self.run(scripts.RELEASE, key, uuid, token, 60)

    def send(self) -> None:
        self.replies = self.pipe.execute()


KEYS = Keys("race")


def test_races_keep_counts_limits_and_tokens(redis_server):
    import threading

    rnd = random.Random(11)
    racers = [
        Racer(
            redis.Redis(port=redis_server.port, protocol=3), f"node{n}", random.Random(rnd.random())
        )
        for n in range(CONNECTIONS)
    ]
    observer = redis.Redis(port=redis_server.port, protocol=3)
    for script in scripts.ALL:
        observer.script_load(script.text)
    tokens = set()
    verdicts = dict.fromkeys((NEW, TAKEN, FULL), 0)
    firsts = lasts = 0
    for _ in range(ROUNDS):
        for racer in racers:
            racer.prepare()
        threads = [threading.Thread(target=racer.send) for racer in racers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for racer in racers:
            assert len(racer.replies) == len(racer.asked)
            for (what, username, uuid), reply in zip(racer.asked, racer.replies):
                if what == "claim":
                    verdicts[reply[0].decode()] += 1
                    firsts += reply[3]
                    if reply[0] != b"full":
                        assert (username, reply[1]) not in tokens
                        tokens.add((username, reply[1]))
                        racer.held.append((username, uuid, reply[1]))
                elif what in ("release", "reap"):
                    lasts += reply[1]
        for username in USERS:
            fields = observer.hgetall(KEYS.user(username))
            places = read_user(username, fields).places
            devices = [name for name in fields if name.startswith(b"d:")]
            assert len(places) == len(devices) == int(fields.get(b"k", 0)) <= LIMIT
            assert (b"t" in fields) == bool(fields)
    assert all(verdicts.values())
    online = sum(b"k" in observer.hgetall(KEYS.user(username)) for username in USERS)
    # Each user that came online is online now, or went offline: both are told once.
    assert firsts - lasts == online
    for racer in racers:
        racer.client.close()
    observer.close()


def test_each_script_touches_keys_of_one_slot():
    keys = Keys("test")

    def slot_part(key: bytes) -> bytes:
        return key[key.index(b"{") + 1 : key.index(b"}")]

    assert {slot_part(key) for key in keys.of_nodes} == {b"nodes"}
    for name in ("bob", "a}b", "{}", "", "nodes", "\ud83d", "x y"):
        assert keys.username(keys.user(name)) == name
        assert keys.user(name).count(b"{") == keys.user(name).count(b"}") == 1


def test_a_prefix_with_braces_is_refused():
    with pytest.raises(ValueError, match=r"must have no braces, as 'a\{b' has"):
        Keys("a{b")


def test_an_entry_of_another_version_is_left_out():
    fields = {b"d:b1": b"2 something else", b"d:b2": b"5 5 node 1 c 7.5 {}", b"x": b"y"}
    assert [place.uuid for place in read_user("bob", fields).places] == ["b2"]


def test_the_set_of_a_node_never_lacks_a_claim(world, redis_server):
    rnd = random.Random(5)
    racers = [RegistryNode(world, redis_server.port).connect() for _ in range(3)]
    held: list[tuple[RegistryNode, str, str, int]] = []
    try:
        for _ in range(300):
            if rnd.random() < 0.6 or not held:
                node = rnd.choice(racers)
                device = rnd.choice(USERS), rnd.choice(UUIDS)
                claim = node.registry.claim(*device, b"", LIMIT)
                if claim.verdict != FULL:
                    held.append((node, *device, claim.token))
            else:
                node, *device, token = held.pop(rnd.randrange(len(held)))
                node.release(*device, token)
        client = redis.Redis(port=redis_server.port, protocol=3)
        entries = {
            (place.node, place.username, place.uuid)
            for username in USERS
            for place in racers[0].registry.find(username)
        }
        listed = {
            (node.node, *member.decode().split(" ")[:2])
            for node in racers
            for member in client.smembers(node.wires.keys.claims(node.node))
        }
        client.close()
        # What was on the way when the last reply came has arrived: the commands are in order.
        assert entries <= listed
        assert len(listed) <= len(entries) + 1
    finally:
        for node in racers:
            node.leave()
