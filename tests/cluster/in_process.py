"""A cluster of several nodes within a process, with a clock that a test moves.

A :class:`Hub` stands for Redis and the network, an :class:`InProcessCluster` for the connection of
one node. Faults are verbs of the hub::

    hub = Hub()
    a, b = hub.join(host_a), hub.join(host_b)
    a.claim("alice", "a1", b"", limit=16)
    hub.kill(a)
    hub.advance(BURIAL_TIME)  # host_b: node_gone, then buried

What a host is told, it is told when the hub runs: see :mod:`tests.cluster.clock`.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from typing import Any, Iterator

from protoo_flask.core.cluster.places import Place, Telling
from protoo_flask.core.cluster.protocol import ClusterHost

from .clock import HubClock, NodeScheduler
from .in_process_cluster import DETECTION_TIME, EPOCH, InProcessCluster
from .tables import Tables

#: Seconds after which others take a silent node for dead: three readings of its counter.
BURIAL_TIME = 6.0

#: Seconds that a directory which was empty is settling.
SETTLING_TIME = 1.0


class Hub:
    """The directory and the bus of all nodes, and the faults of both.

    The verbs take an :class:`InProcessCluster`, or anything that has one as ``cluster``.

    :ivar clock: of all nodes.
    :ivar tables: of the directory; a test may look at them.
    :ivar nodes: all that ever joined.
    """

    def __init__(self) -> None:
        self.clock = HubClock()
        self.scheduler = self.clock.new_scheduler()
        self.tables = Tables(lambda: EPOCH + self.clock.time, self._user_changed)
        self.nodes: list[InProcessCluster] = []
        #: The ids of nodes that have gone, in order.
        self.graves: list[str] = []
        self.is_away = False
        self.is_settling = False
        #: Why claims are refused.
        self.refusal: str | None = None
        self._lossy: Counter[tuple[str, str]] = Counter()
        self._delays: dict[tuple[str, str], float] = {}
        self._unburied: deque[Place] = deque()
        self._burials = 0

    def new_node(self, scheduler: NodeScheduler | None = None) -> InProcessCluster:
        """Return a node that has not joined yet."""
        scheduler = self.clock.new_scheduler() if scheduler is None else scheduler
        return InProcessCluster(self, scheduler)

    def join(self, host: ClusterHost) -> InProcessCluster:
        """Return a node that has joined."""
        node = self.new_node()
        node.start(host)
        return node

    def run(self) -> None:
        """Have the nodes do everything that is to be done now."""
        self.clock.run()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @property
    def leftovers(self) -> dict[str, Any]:
        """What is left when every peer has gone; each is empty then.

        That a user was seen stays for a while, and is none.
        """
        left: dict[str, Any] = {
            "places": self.tables.places,
            "homes": self.tables.homes,
            "tellings": [
                telling
                for telling in self.tables.tellings.values()
                if telling.node not in self.graves
            ],
            "unburied": list(self._unburied),
            "violations": self.clock.violations,
        }
        for index, node in enumerate(self.nodes):
            if node.is_alive:
                left[f"watched by node {index}"] = node.watches.watchers
                left[f"claimed by node {index}"] = node.claimed
                left[f"held back for node {index}"] = node.held_back
        return {name: found for name, found in left.items() if found}

    # Faults of nodes ---------------------------------------------------------------------

    def kill(self, node: Any) -> None:
        """End a node, as by SIGKILL. Others take it for dead after :data:`BURIAL_TIME`."""
        node = cluster_of(node)
        node.scheduler.die()
        node.is_connected = False
        self.bury_later(node)

    def stop(self, node: Any) -> None:
        """Stop a node, as by SIGSTOP. Its connections stay; items wait for it."""
        node = cluster_of(node)
        node.scheduler.state = "stopped"
        self.bury_later(node)

    def resume(self, node: Any) -> None:
        """Let a stopped node go on. Its timers that are due fire first; then it has a beat."""
        node = cluster_of(node)
        node.scheduler.state = "running"
        node.silences += 1
        self.clock.advance(0)
        node.beat()
        self.run()

    def cut(self, node: Any) -> None:
        """Let nothing pass between a node and the directory, in either direction.

        The node knows after :data:`DETECTION_TIME`, the others after :data:`BURIAL_TIME`.
        """
        node = cluster_of(node)
        node.is_cut = True
        self.bury_later(node)
        self.scheduler.call_later(DETECTION_TIME, node.notice_cut, node.silences)

    def mend(self, node: Any) -> None:
        """Undo :meth:`cut`."""
        node = cluster_of(node)
        node.is_cut = False
        node.silences += 1
        node.mend()
        self.run()

    def bury_later(self, node: InProcessCluster) -> None:
        node.silences += 1
        self.scheduler.call_later(BURIAL_TIME, self._bury, node, node.node, node.silences)

    def _bury(self, node: InProcessCluster, id: str, silence: int) -> None:
        """Take a node for dead, unless it has been heard meanwhile."""
        if node.silences != silence or id not in self.tables.nodes:
            return
        if self.is_away:
            # Nobody can tell. Everybody counts anew when the directory is back.
            self.scheduler.call_later(BURIAL_TIME, self._bury, node, id, silence)
            return
        self._unburied.extend(self.tables.bury(id))
        self.note_gone(id)
        self.clock.post(self.scheduler, self._finish_burials)

    def note_gone(self, id: str) -> None:
        """Have all nodes know that one of them has gone."""
        self.graves.append(id)
        for node in self.reachable_nodes:
            node.read_graves()

    def _finish_burials(self) -> None:
        """Release the places of dead nodes; any node may tell of each, in turn here."""
        while self._unburied and self.reachable_nodes:
            place = self._unburied.popleft()
            nodes = self.reachable_nodes
            node = nodes[(self._burials + 1) % len(nodes)]
            telling = Telling(node.node, node.begin_telling(place.username))
            release = self.tables.release(place.username, place.uuid, place.token, telling)
            if release.was_mine:
                self._burials += 1
                args = place, release.is_last, telling.number, release.telling
                node.tell("buried", *args)
            else:
                node.end_telling(telling.number)

    @property
    def reachable_nodes(self) -> list[InProcessCluster]:
        return [node for node in self.nodes if node.is_reachable]

    # Faults of the directory -------------------------------------------------------------

    def go_away(self) -> None:
        """End the directory: connections to it are refused."""
        self.is_away = True
        for node in self.nodes:
            if node.is_alive and node.is_connected:
                node.notice_absence("the directory refuses connections")
        self.run()

    def come_back(self, empty: bool = False) -> None:
        """Start the directory again.

        :param empty: whether it has lost everything: all nodes are then settling for
            :data:`SETTLING_TIME`.
        """
        self.is_away = False
        if empty:
            former = set(self.tables.nodes)
            self.tables.clear()
            self._unburied.clear()
            self.is_settling = True
            self.scheduler.call_later(SETTLING_TIME, self._settle, former)
        for node in self.nodes:
            if node.is_alive and node.is_connected and not node.is_cut:
                self.clock.post(node.scheduler, node.reconnect)
        self.run()
        self.clock.post(self.scheduler, self._finish_burials)
        self.run()

    def _settle(self, former: set[str]) -> None:
        """Everybody who is there has claimed: who has not is dead."""
        self.is_settling = False
        for id in former - self.tables.nodes:
            self.note_gone(id)
        for node in self.reachable_nodes:
            node.settle()

    def refuse_claims(self, reason: str = "the directory is full") -> None:
        """Take no more claims, and no more homes."""
        self.refusal = reason

    def take_claims(self) -> None:
        """Undo :meth:`refuse_claims`."""
        self.refusal = None

    # Faults of the bus -------------------------------------------------------------------

    @contextlib.contextmanager
    def lose_items(self, sender: Any, receiver: Any) -> Iterator[None]:
        """Lose what a node sends another meanwhile. The receiver notices with the next item."""
        pair = (sender.node, receiver.node)
        self._lossy[pair] += 1
        try:
            yield
        finally:
            self._lossy[pair] -= 1

    def delay(self, sender: Any, receiver: Any, seconds: float = 0.0) -> None:
        """Have items from one node to another take their time, from now on."""
        self._delays[sender.node, receiver.node] = seconds

    # The bus -----------------------------------------------------------------------------

    def find_node(self, id: str) -> InProcessCluster | None:
        for node in self.nodes:
            if node.node == id and node.is_alive and node.is_connected:
                return node
        return None

    def carry(self, sender: str, receiver: InProcessCluster, frame: bytes) -> None:
        """Bring an item to another node: at once, later, or never."""
        pair = (sender, receiver.node)
        if self._lossy[pair]:
            receiver.gaps.add(sender)
            return
        seconds = self._delays.get(pair, 0.0)
        if seconds:
            self.scheduler.call_later(seconds, receiver.arrive, sender, receiver.node, frame)
        else:
            receiver.arrive(sender, receiver.node, frame)

    def _user_changed(self, username: str) -> None:
        for node in self.nodes:
            node.invalidate(username)


def cluster_of(node: Any) -> InProcessCluster:
    """Return a node's connection; ``node`` is that, or has it."""
    found: InProcessCluster = getattr(node, "cluster", node)
    return found
