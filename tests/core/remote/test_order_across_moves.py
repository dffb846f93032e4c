"""Each node's notifications to a device arrive in the order of sending, once, wherever it goes."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from protoo_flask.core.errors import NotAdmitted
from tests.cluster.nodes import Nodes

NODES = 3
PAIRS = list(itertools.permutations(range(NODES), 2))

STEPS = st.tuples(
    st.sampled_from(
        ["tell", "tell", "tell old", "connect", "connect", "connect during", "drop", "wait"]
    ),
    st.integers(min_value=0, max_value=NODES - 1),
)
DELAYS = st.lists(st.sampled_from([0, 0, 0.02, 0.1]), min_size=len(PAIRS), max_size=len(PAIRS))


class Journey:
    """Alice's device at three nodes, which are slow to reach each other."""

    def __init__(self, delays):
        self.nodes = Nodes(NODES, grace_period=10_000)
        self.client = self.nodes[0].connect()
        self.nodes.run()
        #: As each node has found it first, and nobody has looked since.
        self.peers = [core.peers("alice")[0] for core in self.nodes]
        for core in self.nodes:
            self._tell_while_waiting(core.host.holds)
        for (one, other), seconds in zip(PAIRS, delays):
            self.nodes.hub.delay(self.nodes[one].cluster, self.nodes[other].cluster, seconds)
        self.numbers = itertools.count()
        self.sent = {index: [] for index in range(NODES)}
        self.received = []

    def _tell_while_waiting(self, holds):
        """Send something while a handshake waits for messages that are on their way.

        In a hub, a handshake goes on only when those that began after it are done. So none begins.
        """
        on_wait, wait = self.nodes.hub.clock.on_wait, holds.wait

        def tell_and_wait(*device):
            others, on_wait[:] = on_wait[:], []
            for n in range(NODES):
                self.tell(n)
            wait(*device)
            on_wait[:] = others

        holds.wait = tell_and_wait

    def tell(self, index):
        self.nodes.run()
        (peer,) = self.nodes[index].peers("alice")
        self._tell(index, peer)

    def tell_old(self, index):
        self._tell(index, self.peers[index])

    def _tell(self, index, peer):
        name = f"{index}: {next(self.numbers)}"
        if peer.notify(name):
            self.sent[index].append(name)

    def connect(self, index):
        former = self.client
        self.client = self.nodes[index].connect()
        self.read(former)

    def connect_during(self, index):
        """Connect to a node, and to the next one before that is done; both are told something."""
        former, clients = self.client, []
        after = self.nodes[(index + 1) % NODES]

        def meanwhile():
            for n in range(NODES):
                self.tell_old(n)
            clients.append(after.connect())

        on_wait = self.nodes.hub.clock.on_wait
        on_wait.append(meanwhile)
        try:
            clients.append(self.nodes[index].connect())
        except NotAdmitted:
            assert clients
        on_wait.clear()
        # Either of them may be the later one.
        clients.sort(key=lambda client: client.link.closed is None)
        self.client = clients.pop()
        self.read(former, *clients)

    def drop(self, _):
        self.read()
        if self.client.link.closed is None:
            self.client.drop()

    def wait(self, index):
        self.nodes.advance(0.03 * index)

    def read(self, *former):
        for client in (*former, self.client):
            self.received += [message["method"] for message in client.take_all()]

    def finish(self):
        self.read()
        self.nodes.advance(5)
        self.connect(0)
        self.nodes.advance(5)
        self.read()


@settings(max_examples=500)
@given(DELAYS, st.lists(STEPS, max_size=30))
def test_the_notifications_of_each_node_keep_their_order_wherever_the_device_goes(delays, steps):
    journey = Journey(delays)
    with journey.nodes:
        for name, index in steps:
            getattr(journey, name.replace(" ", "_"))(index)
        journey.finish()
        for index, names in journey.sent.items():
            found = [name for name in journey.received if name.startswith(f"{index}:")]
            assert found == names
