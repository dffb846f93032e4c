"""Calls in a cluster: two peers of different nodes call each other, in any interleaving."""

from __future__ import annotations

import pytest

from tests.cluster.held_frames import HeldFrames

from .spread_switchboards import spread_switchboard
from .switchboards import got

NODES = spread_switchboard(2)

#: (device that Alice calls, device that Bob calls)
KINDS = {
    "devices": ("/users/bob/b1", "/users/alice/a1"),
    "all devices": ("/users/bob", "/users/alice"),
    "one and all": ("/users/bob/b1", "/users/alice"),
}


class Crossing:
    """Alice at the first node and Bob at the second one call each other.

    :ivar choices: the events that may happen next, besides those that are done.
    """

    def __init__(self, kind, ids, *others):
        self.board = NODES(ids=iter(ids))
        self.board.connect("alice/a1", 0)
        self.board.connect("bob/b1", 1)
        for name, node in others:
            self.board.connect(name, node)
        self.board.hub.run()
        self.frames = HeldFrames(self.board.hub)
        self.calls = dict(zip(["alice/a1", "bob/b1"], KINDS[kind]))
        self.paths = {}

    @property
    def choices(self):
        return [*self.calls, *self.frames.ways]

    def do(self, choice):
        if choice in self.calls:
            client = self.board[choice]
            client.start_request("session", self.calls.pop(choice))
        else:
            self.frames.arrive(choice)

    def settle(self):
        self.frames.stop()
        self.board.hub.run()


def outcomes(*args):
    """Play each interleaving to its end; yield the crossings.

    A choice is the number of an event among those that may happen next.
    """
    path = []
    while True:
        crossing = Crossing(*args)
        widths = []
        while crossing.choices:
            choices = crossing.choices
            if len(widths) == len(path):
                path.append(0)
            widths.append(len(choices))
            crossing.do(choices[path[len(widths) - 1]])
        crossing.settle()
        yield crossing
        # The next one in the order of counting.
        del path[len(widths) :]
        while path and path[-1] == widths[len(path) - 1] - 1:
            path.pop()
        if not path:
            return
        path[-1] += 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]], ids=["s1 first", "s2 first"])
def test_the_call_that_sorts_lower_stays_in_each_interleaving(kind, ids):
    count = 0
    for crossing in outcomes(kind, ids):
        count += 1
        board = crossing.board
        messages = {name: got(board[name]) for name in ["alice/a1", "bob/b1"]}
        stays = [name for name in messages if board.states(name)]
        assert len(stays) == 2, messages
        (path,) = board.states("alice/a1")
        assert path.endswith("/s1"), messages
        assert board.states("bob/b1") == board.states("alice/a1")
        assert [(491 in found) for found in messages.values()].count(True) == 1, messages
        board.finish()
    assert count > 10
