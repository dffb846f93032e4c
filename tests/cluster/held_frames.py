"""The bus of a hub, held: each item between two nodes waits until the test lets it arrive."""

from __future__ import annotations

from collections import deque


class HeldFrames:
    """Items on their way, in order for each pair of nodes.

    Queries to the directory are answered at once, as ever: they go another way.
    """

    def __init__(self, hub):
        self._hub = hub
        self._queues = {}
        hub.carry = self._hold

    def _hold(self, sender, receiver, frame):
        queue = self._queues.setdefault((sender, receiver.node), deque())
        queue.append((receiver, frame))

    @property
    def ways(self):
        """The pairs of nodes between which something is on its way; always in the same order."""
        order = [node.node for node in self._hub.nodes]
        ways = [way for way, queue in self._queues.items() if queue]
        return sorted(ways, key=lambda way: (order.index(way[0]), order.index(way[1])))

    def arrive(self, way):
        """Let the next item of a pair arrive, and do what it leads to."""
        receiver, frame = self._queues[way].popleft()
        receiver.arrive(way[0], way[1], frame)
        self._hub.run()

    def let_all_arrive(self):
        while self.ways:
            self.arrive(self.ways[0])

    def stop(self):
        """Let everything arrive, now and from now on."""
        self.let_all_arrive()
        del self._hub.carry
