"""Calls in a cluster: users at several nodes call each other, and items arrive in any order.

Each test has a seed. PROTOO_TEST_SEEDS=1000 plays that many games of each kind.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.cluster.held_frames import HeldFrames
from tests.cluster.nodes import NodeClient

from .spread_switchboards import spread_switchboard
from .switchboards import NOTHING

SEEDS = int(os.environ.get("PROTOO_TEST_SEEDS", "25"))

#: What a client may do next, and how often it does.
WEIGHTS = {
    "arrive": 12,
    "call": 3,
    "ring": 2,
    "accept": 4,
    "reject": 1,
    "decline": 1,
    "hang_up": 1,
    "candidate": 1,
    "leave": 1,
    "come": 1,
    "move": 1,
    "drop": 1,
}


class Phone:
    """A client that keeps account of its calls, as the application of a user does.

    :ivar ringing: ``{path: request}``, not answered yet.
    :ivar made: ``{id: path}`` of own requests ``session``; ``None`` before the 100.
    :ivar talking: the paths of the calls that it is in.
    """

    def __init__(self, client):
        self.client = client
        self.ringing = {}
        self.made = {}
        self.talking = set()
        #: The paths of calls that it has left.
        self.left = set()

    @property
    def name(self):
        return f"{self.client.peer.username}/{self.client.peer.uuid}"

    def read(self):
        for message in self.client.take_all():
            if "status" in message:
                self._read_response(message)
            elif message["method"] == "session":
                self.ringing[message["data"]["sessionPath"]] = message
            elif message["method"] == "end":
                self.client.respond(message, 200)
                self._forget(message["data"]["sessionPath"])

    def _read_response(self, message):
        id, status = message["id"], message["status"]
        if id not in self.made:
            return  # to another request
        if status == 100:
            self.made[id] = message["data"]["sessionPath"]
        elif status >= 200:
            path = self.made.pop(id)
            if status < 300 and path not in self.left:
                self.talking.add(path)

    def _forget(self, path):
        self.ringing.pop(path, None)
        self.talking.discard(path)

    # Acts

    def call(self, path):
        self.made[self.client.start_request("session", path)] = None

    def answer(self, path, status):
        request = self.ringing[path]
        if status >= 200:
            del self.ringing[path]
        if 200 <= status < 300:
            self.talking.add(path)
        self.client.respond(request, status)

    def hang_up(self, path):
        self.client.start_request("end", path)
        self.talking.discard(path)
        self.left.add(path)

    @property
    def own_paths(self):
        return [path for path in self.made.values() if path is not None]


class Game:
    """One random game."""

    def __init__(self, seed, nodes, names, moves=False):
        self.random = random.Random(seed)
        self.board = spread_switchboard(nodes)(core_options={"grace_period": 30 if moves else 0})
        self.moves = moves
        self.nodes = nodes
        self.phones = {}
        self.gone = []
        self.names = names
        self.log = []
        for number, name in enumerate(names):
            self.connect(name, number % nodes)
        self.board.hub.run()
        self.frames = HeldFrames(self.board.hub)

    def connect(self, name, node):
        client = self.board.sites[node].core.connect(*name.split("/"), kind=NodeClient)
        self.phones[name] = Phone(client)

    def play(self, steps):
        for _ in range(steps):
            acts = self.find_acts()
            kinds = sorted({kind for kind, *_ in acts})
            (kind,) = self.random.choices(kinds, [WEIGHTS[kind] for kind in kinds])
            act = self.random.choice([act for act in acts if act[0] == kind])
            self.log.append(act)
            getattr(self, kind)(*act[1:])
            self.read()

    def read(self):
        for phone in self.phones.values():
            phone.read()

    def find_acts(self):
        acts = [("arrive", number) for number in range(len(self.frames.ways))]
        for name, phone in self.phones.items():
            if len(phone.made) + len(phone.talking) < 4:
                acts += [("call", name, path) for path in self.targets(name)]
            for path in phone.ringing:
                acts += [(kind, name, path) for kind in ("ring", "accept", "reject", "decline")]
            for path in sorted({*phone.talking, *phone.own_paths}):
                acts += [(kind, name, path) for kind in ("hang_up", "candidate")]
            acts.append(("leave", name))
            if self.moves:
                acts += [("move", name, node) for node in range(self.nodes)]
                acts.append(("drop", name))
        acts += [("come", name) for name in self.names if name not in self.phones]
        return acts

    def targets(self, name):
        for other in self.names:
            if other != name:
                yield f"/users/{other.split('/')[0]}"
                yield f"/users/{other}"

    def arrive(self, number):
        self.frames.arrive(self.frames.ways[number])

    def call(self, name, path):
        self.phones[name].call(path)

    def ring(self, name, path):
        self.phones[name].answer(path, 180)

    def accept(self, name, path):
        self.phones[name].answer(path, 200)

    def reject(self, name, path):
        self.phones[name].answer(path, 486)

    def decline(self, name, path):
        self.phones[name].answer(path, 603)

    def hang_up(self, name, path):
        self.phones[name].hang_up(path)

    def candidate(self, name, path):
        self.phones[name].client.notify("icecandidate", path, {"n": 1})

    def leave(self, name):
        phone = self.phones.pop(name)
        phone.client.leave()

    def come(self, name):
        self.connect(name, self.random.randrange(self.nodes))

    def move(self, name, node):
        """Connect a device to another node, whether its connection has dropped or not."""
        phone = self.phones[name]
        waiting = self.board.hub.clock.on_wait
        waiting[:] = [self.let_one_arrive] * 1000
        client = self.board.sites[node].core.connect(*name.split("/"), kind=NodeClient)
        waiting.clear()
        # What the old connection has brought last.
        phone.read()
        client._ids = phone.client._ids
        phone.client = client

    def let_one_arrive(self):
        ways = self.frames.ways
        if ways:
            self.frames.arrive(self.random.choice(ways))

    def drop(self, name):
        """Lose the connection, and be back at any node at once."""
        self.phones[name].client.drop()
        self.move(name, self.random.randrange(self.nodes))

    # The end

    def settle(self):
        while True:
            self.frames.let_all_arrive()
            self.board.hub.run()
            self.read()
            if not self.frames.ways:
                return

    def check(self):
        """Check that the homes and the phones agree about each call."""
        calls = {}
        for call in self.board.all_calls()._calls.values():
            calls[call.session.path] = call
        for name, phone in self.phones.items():
            for path in phone.talking:
                call = calls[path]
                assert call.session.state == "open", (name, path)
                assert phone.client.peer.address in (call.session.caller, call.session.callee)
            assert set(phone.ringing) == {
                path
                for path, call in calls.items()
                if call.session.is_ringing and call.rings(phone.client.peer.address)
            }, name
            assert sorted(phone.own_paths) == sorted(
                path
                for path, call in calls.items()
                if call.session.is_ringing and call.session.caller == phone.client.peer.address
            )
        for path, call in calls.items():
            if call.session.state == "open":
                parties = [call.session.caller, call.session.callee]
                for address in parties:
                    phone = self.phones[f"{address['username']}/{address['uuid']}"]
                    assert path in phone.talking, (path, address)
        self.check_glare(calls.values())

    def check_glare(self, calls):
        ringing = [call for call in calls if call.session.is_ringing]
        for call in ringing:
            for other in ringing:
                crosses = call.rings(other.session.caller) and other.rings(call.session.caller)
                assert not crosses, (call.id, other.id)

    def finish(self):
        self.frames.stop()
        for phone in list(self.phones.values()):
            for path in [*phone.talking, *phone.own_paths]:
                phone.hang_up(path)
            for _ in range(3):
                self.read()
        assert self.board.left_behind() == NOTHING
        for phone in self.phones.values():
            assert phone.talking == set()
            assert phone.ringing == {}
            assert phone.made == {}
        self.board.finish()


PAIR = ["alice/a1", "bob/b1"]
FOUR = ["alice/a1", "bob/b1", "alice/a2", "bob/b2"]
SIX = [*FOUR, "carol/c1", "carol/c2"]


@pytest.mark.parametrize(
    ("nodes", "names"), [(2, PAIR), (2, FOUR), (3, SIX)], ids=["pair", "four", "six"]
)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_game_ends_well(seed, nodes, names):
    play(Game(seed, nodes, names))


@pytest.mark.parametrize(
    ("nodes", "names"), [(2, PAIR), (2, FOUR), (3, SIX)], ids=["pair", "four", "six"]
)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_game_with_devices_that_move_ends_well(seed, nodes, names):
    play(Game(seed, nodes, names, moves=True))


def play(game):
    try:
        game.play(60)
        game.settle()
        game.check()
        game.finish()
    except AssertionError as error:
        acts = "\n".join(map(str, game.log))
        raise AssertionError(f"after these acts:\n{acts}") from error
