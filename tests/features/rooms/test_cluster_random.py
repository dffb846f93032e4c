"""Random things happen to rooms in a cluster, and every client knows in the end who is in.

Each test has a seed. PROTOO_TEST_SEEDS=1000 takes that many.
"""

from __future__ import annotations

import gc
import itertools
import os
import random

import pytest

from .test_cluster_rooms import RoomNodes

SEEDS = int(os.environ.get("PROTOO_TEST_SEEDS", "25"))

PATHS = [f"/chat/rooms/{number}" for number in range(3)]
NAMES = ["alice/a1", "alice/a2", "bob/b1", "carol/c1", "dave/d1", "erin/e1"]

GRACE_PERIOD = 5


class Device:
    """A client that believes what it is told.

    :ivar view: ``{path: the other members}``, of the rooms that it is in.
    """

    def __init__(self, name):
        self.name = name
        self.client = None
        self.node = None
        self.view = {}
        self._ids = itertools.count(1)
        #: ``{id: (method, path)}``, of the requests that are not answered.
        self._pending = {}
        #: ``{path: the id of the latest request to join}``
        self._joins = {}
        #: Rooms of which it does not know whether it is in: 503, try again.
        self.uncertain = set()
        self.has_moved = False

    @property
    def is_connected(self):
        return self.client is not None and self.client.link.closed is None

    def connect(self, nodes, node):
        """Connect; as our client does, repeat requests, and as a page does, join rooms again."""
        self.read()
        self.has_moved |= self.node not in (None, node)
        self.client, self.node = nodes.connect(self.name, node), node
        self.read()
        asked = {path for method, path in self._pending.values() if method == "session"}
        for id in list(self._pending):
            self._send(id)
        for path in sorted(asked | set(self.view)):
            self.send("session", path)

    def send(self, method, path):
        id = next(self._ids)
        self._pending[id] = method, path
        if method == "session":
            self._joins[path] = id
        self._send(id)

    def _send(self, id):
        method, path = self._pending[id]
        self.client.send({"method": method, "path": path, "id": id, "data": {}})

    def read(self):
        """Take the messages that have come."""
        while self.client is not None and self.client.link.payloads:
            for message in self.client.take_all():
                self._take(message)

    def _take(self, message):
        if "status" in message:
            self._take_answer(message)
            return
        data = message["data"]
        path = data["sessionPath"]
        if message["method"] == "end":
            self.view.pop(path, None)
            if self.is_connected:
                self.client.respond(message, 200)
        elif message["method"] in ("join", "leave"):
            # Around a move, an answer may come later: then there is a newer join. And a new peer
            # may get a message for the former one of its device.
            is_known = path in self.view or path in self.uncertain or self.has_moved
            assert is_known, (self.name, message)
            change = set.add if message["method"] == "join" else set.discard
            change(self.view.get(path, set()), name_of(data["peer"]))

    def _take_answer(self, message):
        if message["id"] not in self._pending:
            return  # the answer to a request that was repeated
        method, path = self._pending.pop(message["id"])
        if method == "session" and self.has_moved and message["id"] != self._joins[path]:
            return
        if method != "session" and message["id"] < self._joins.get(path, 0):
            return  # from an earlier home, while it has joined anew
        if message["status"] >= 500:
            if method == "session":
                self.view.pop(path, None)
                self.uncertain.add(path)
            return
        self.uncertain.discard(path)
        if method == "session" and message["status"] == 200:
            self.view[path] = {name_of(peer) for peer in message["data"]["peers"]}
        elif method != "message" or message["status"] in (403, 404):
            self.view.pop(path, None)


def name_of(address):
    return f"{address['username']}/{address['uuid']}"


class World:
    def __init__(self, seed, moves=True):
        self.random = random.Random(seed)
        self.moves = moves
        self.nodes = RoomNodes(3, grace_period=GRACE_PERIOD)
        self.devices = [Device(name) for name in NAMES]
        clusters = [core.cluster for core in self.nodes.cores]
        for one, other in itertools.permutations(clusters, 2):
            # One for all items: they must not overtake each other.
            self.nodes.hub.delay(one, other, self.random.choice([0, 0.01, 0.5]))

    @property
    def alive(self):
        return [n for n, core in enumerate(self.nodes.cores) if core.is_alive]

    def step(self):
        device = self.random.choice(self.devices)
        if not device.is_connected:
            device.connect(self.nodes, self.choose_node(device))
        else:
            verb = self.random.choices(
                ["session", "end", "message", "drop", "leave", "move", "wait", "kill"],
                [30, 12, 12, 8, 4, 8, 12, 1],
            )[0]
            getattr(self, verb)(device)
        for other in self.devices:
            other.read()

    def session(self, device):
        device.send("session", self.random.choice(PATHS))

    def end(self, device):
        device.send("end", self.random.choice(PATHS))

    def message(self, device):
        device.send("message", self.random.choice(PATHS))

    def drop(self, device):
        device.client.drop()

    def leave(self, device):
        device.client.leave()
        device.read()
        device.view.clear()
        device.has_moved = True

    def move(self, device):
        """Connect elsewhere, while the former connection is still there."""
        device.connect(self.nodes, self.choose_node(device))

    def choose_node(self, device):
        if self.moves or device.node not in self.alive:
            return self.random.choice(self.alive)
        return device.node

    def wait(self, device):
        self.nodes.advance(self.random.choice([0.1, 1, GRACE_PERIOD]))

    def kill(self, device):
        if len(self.alive) > 1:
            killed = self.random.choice(self.alive)
            self.nodes.kill(killed)
            for other in self.devices:
                if other.node == killed and other.is_connected:
                    other.client.link.closed = (1006, "")
                    other.client.link.payloads.clear()

    def settle(self):
        """Let all devices be connected, and everything arrive."""
        self.nodes.advance(20)
        for device in self.devices:
            device.read()
            if not device.is_connected:
                device.connect(self.nodes, self.choose_node(device))
        self.nodes.advance(20)
        for device in self.devices:
            device.read()
            for path in list(device.uncertain):
                device.send("session", path)
        self.nodes.advance(20)
        for device in self.devices:
            device.read()
            assert device.uncertain == set()

    def finish(self):
        """Let all leave; then nothing is left."""
        for site in self.nodes:
            site.clients.clear()
        for core in self.nodes.cores:
            # Else they keep peers alive that have gone long ago.
            core.clients = [client for client in core.clients if client.link.closed is None]
        for device in self.devices:
            device.client = None
        gc.collect()
        self.nodes.finish()

    def rooms(self):
        """Return ``{path: the members}``; a path has one room."""
        found = {}
        for n in self.alive:
            for rooms in self.nodes[n].services().values():
                for path, room in rooms._rooms.items():
                    assert path not in found
                    found[path] = {f"{peer.username}/{peer.uuid}" for peer in room.peers}
        return found


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_client_knows_in_the_end_who_is_in_its_rooms(seed):
    world = World(seed)
    for _ in range(150):
        world.step()
    world.settle()
    rooms = world.rooms()
    for device in world.devices:
        believed = {path: others | {device.name} for path, others in device.view.items()}
        assert believed == {path: rooms[path] for path in rooms if device.name in rooms[path]}
    world.finish()
