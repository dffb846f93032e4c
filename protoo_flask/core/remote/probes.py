"""Probes: whether the nodes that this node has asked something still listen.

The end of a node is certain only when others have buried it. But a process that was killed listens
no more at once, and the bus knows. A node that has just lost a connection does not listen either,
and is back within a moment: so it is asked twice.

==========  ===========================================  ======================================
a node is   event                                        next state, and action
==========  ===========================================  ======================================
heard       an ask is older than :data:`INTERVAL`        heard; a probe
heard       an item, or a probe, reached nobody          doubted; a probe after :data:`INTERVAL`
doubted     that probe reached it                        heard
doubted     that probe reached nobody                    heard; its asks end with a local 503
==========  ===========================================  ======================================

A node that is stopped, and a host that has lost its power, seem to listen: there, the burial
decides.
"""

from __future__ import annotations

from typing import Any, Callable

from ..cluster.protocol import UP, Cluster
from ..scheduling import Scheduler, call_later_if_alive
from .asks import PendingAsk

#: Seconds between two probes.
INTERVAL = 1.0


class Probes:
    """The probes of one node.

    :param asks: those that are not answered.
    :param end: ``end(node)``: called when nobody listens there.
    :ivar is_on: whether there may be asks; each ask reads it.
    """

    def __init__(
        self,
        cluster: Cluster,
        scheduler: Scheduler,
        asks: dict[int, PendingAsk],
        end: Callable[[str], Any],
    ) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._asks = asks
        self._end = end
        self._lock = scheduler.lock()
        self.is_on = False
        #: The asks at the last look.
        self._before: set[int] = set()
        #: {node: when it was found that nobody listens}
        self._doubted: dict[str, float] = {}

    def __len__(self) -> int:
        """How many asks are not answered."""
        return len(self._asks)

    def begin(self) -> None:
        """Look after the asks from now on, until there are none. Never blocks."""
        with self._lock:
            if self.is_on:
                return
            self.is_on = True
            self._look_later()

    def _look_later(self) -> None:
        call_later_if_alive(self._scheduler, INTERVAL, self._look)

    def _look(self) -> None:
        with self._lock:
            asks = list(self._asks.items())
            before, self._before = self._before, {number for number, _ in asks}
            if not asks:
                self.is_on = False
                return
            self._look_later()
        for node in {ask.node for number, ask in asks if number in before}:
            self._probe(node)

    def _probe(self, node: str) -> None:
        # Otherwise, others may be on their way back to the directory.
        if self._cluster.status == UP:
            self._cluster.probe(node)

    def take(self, node: str, is_heard: bool) -> None:
        """Take the outcome of a probe, or of an item that has reached nobody."""
        now = self._scheduler.now()
        with self._lock:
            since = self._doubted.get(node)
            if is_heard:
                self._doubted.pop(node, None)
                return
            if not any(ask.node == node for ask in list(self._asks.values())):
                self._doubted.pop(node, None)
                return
            if since is None:
                self._doubted[node] = now
            elif now - since < INTERVAL:
                return
            else:
                del self._doubted[node]
        if since is None:
            self._scheduler.call_later(INTERVAL, self._probe, node)
        elif self._cluster.status == UP:
            self._end(node)

    def forget(self, node: str) -> None:
        """Forget a node that has gone."""
        self._doubted.pop(node, None)
