"""Whatever a device does at three nodes, it gets each message once, and each asker one answer."""

from __future__ import annotations

import itertools
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from protoo_flask.core.errors import NotAdmitted
from protoo_flask.core.request import Request
from protoo_flask.core.routing.router import Router
from tests.cluster.nodes import Nodes

#: Longer than all that a test does: nobody is offline in between.
GRACE = 10_000
NODES = 3

EVENTS = st.tuples(
    st.sampled_from(
        [
            *("connect", "connect", "connect during", "drop", "stall", "tell", "ask"),
            *("answer", "cancel", "request", "repeat", "reply", "delay"),
        ]
    ),
    st.integers(min_value=0, max_value=NODES - 1),
)


class World:
    """Alice's device, three nodes, and what has to come out."""

    def __init__(self):
        self.open = []
        routers = [Router() for _ in range(NODES)]
        for router in routers:
            router.get("/open", lambda req, next: self.open.append(req))
        self.nodes = Nodes(NODES, routers=routers, grace_period=GRACE, request_timeout=2 * GRACE)
        for core in self.nodes:
            core.host.holds.wait = partial(self._wait, core.host.holds.wait)
        self.client = self.nodes[0].connect()
        self.numbers = itertools.count()
        self.ids = itertools.count(1)
        self.received = []
        self.responses = []
        self.answered = set()
        self.ended = set()
        self.told = {index: [] for index in range(NODES)}
        self.are_delayed = False
        self.transactions = {}
        self.requests = {}
        self.unanswered = []

    def _wait(self, wait, *device):
        """Wait for messages on their way; no other handshake begins.

        In a hub, a handshake goes on only when those that began after it are done.
        """
        on_wait = self.nodes.hub.clock.on_wait
        others, on_wait[:] = on_wait[:], []
        wait(*device)
        on_wait[:] = others

    def peer(self, index):
        self.nodes.run()
        (peer,) = self.nodes[index].peers("alice")
        return peer

    def connect(self, index):
        self.read()
        former = self.client
        self.client = self.nodes[index].connect()
        self.read(former)

    def connect_during(self, index):
        """Connect to a node, and to the next one before that is done."""
        self.read()
        former = self.client
        clients = []
        after = self.nodes[(index + 1) % NODES]
        on_wait = self.nodes.hub.clock.on_wait
        on_wait.append(lambda: clients.append(after.connect()))
        try:
            self.client = self.nodes[index].connect()
        except NotAdmitted:
            assert clients
        if clients:
            self.client = clients[0]
        on_wait.clear()
        self.read(former)

    def drop(self, _):
        self.read()
        if self.client.link.closed is None:
            self.client.drop()

    def stall(self, _):
        if self.client.link.closed is None:
            self.client.link.is_stuck = True

    def tell(self, index):
        name = f"told {next(self.numbers)}"
        self.told[index].append(name)
        assert self.peer(index).notify(name)
        self.read()

    def ask(self, index):
        name = f"asked {next(self.numbers)}"
        self.told[index].append(name)
        self.transactions[name] = self.peer(index).send(Request(name))
        self.read()

    def answer(self, index):
        open = [
            message
            for message in self.received
            if message.get("id") is not None and message["method"] not in self.answered | self.ended
        ]
        if open and self.client.link.closed is None:
            message = open[index % len(open)]
            self.answered.add(message["method"])
            self.client.respond(message, 200, message["method"])

    def cancel(self, index):
        names = [name for name in self.transactions if name not in self.answered | self.ended]
        if names:
            name = names[index % len(names)]
            self.ended.add(name)
            self.transactions[name].cancel()

    def request(self, _):
        if self.client.link.closed is None:
            id = next(self.ids)
            self.requests[id] = {"method": "get", "path": "/open", "id": id}
            self.unanswered.append(id)
            self.client.send(self.requests[id])

    def repeat(self, index):
        """Send the unanswered requests again, as a client does that has come back."""
        self.read()
        if self.client.link.closed is None:
            self.client.link.is_stuck = False
            self.connect(index)
            for id in self.unanswered:
                self.client.send(self.requests[id])
            self.read()

    def reply(self, index):
        if self.open:
            req = self.open.pop(index % len(self.open))
            req.reply(200, "OK", {"id": req.id})
            self.read()

    def delay(self, index):
        clusters = [core.cluster for core in self.nodes]
        pair = clusters[index], clusters[(index + 1) % NODES]
        self.nodes.hub.delay(*pair, 0.1)
        self.are_delayed = True

    def read(self, former=None):
        """Read what has come, first over the former link."""
        self.nodes.run()
        messages = [] if former is None or former is self.client else former.take_all()
        for message in [*messages, *self.client.take_all()]:
            if "method" not in message:
                assert message["data"] == {"id": message["id"]}
                self.responses.append(message["id"])
                if message["id"] in self.unanswered:
                    self.unanswered.remove(message["id"])
            else:
                assert message["method"] not in self.answered
                self.received.append(message)

    def finish(self):
        """Bring everything to its end."""
        self.nodes.advance(5)
        self.read()
        self.connect(0)
        self.nodes.advance(5)
        self.repeat(1)
        while self.open:
            self.reply(0)
        self.nodes.advance(5)
        self.read()
        while len(self.answered | self.ended) < len(self.transactions):
            for name, transaction in self.transactions.items():
                response = transaction.response
                assert response is None or name in self.answered | self.ended, response
            self.answer(0)
            self.nodes.advance(1)
        self.nodes.run()


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=25))
def test_nothing_is_lost_or_doubled_wherever_a_device_goes(events):
    world = World()
    with world.nodes:
        for name, argument in events:
            getattr(world, name.replace(" ", "_"))(argument)
        world.finish()
        check(world)


def check(world):
    first_ids, order = {}, []
    for message in world.received:
        name = message["method"]
        if name in first_ids:
            # Only a request comes again, under its id.
            assert message.get("id") is not None, name
            assert first_ids[name] == message["id"]
        else:
            first_ids[name] = message.get("id")
            order.append(name)
    for names in world.told.values():
        expected = [name for name in names if name in first_ids]
        found = [name for name in order if name in set(names)]
        # One node's messages keep their order. A request that was on its way to a former owner
        # is asked anew, and may be overtaken.
        assert sorted(found) == sorted(expected)
        # A canceled request may not come at all.
        assert set(names) - set(expected) <= world.ended
        if world.are_delayed:
            found = [name for name in found if name not in world.transactions]
            expected = [name for name in expected if name not in world.transactions]
        assert found == expected
    for name, transaction in world.transactions.items():
        assert transaction.response is not None, name
        if name in world.ended:
            assert transaction.response.status == 487
        else:
            assert transaction.response.reason == name
    # Each request of the client was handled once, and answered.
    assert sorted(set(world.responses)) == sorted(world.requests)
    assert world.unanswered == []
    told = world.nodes.told
    assert told.count(("peer_online", "alice")) == 1
    assert told.count(("peer_offline", "alice")) == 0
