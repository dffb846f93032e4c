"""The comparison of what is open between this node and another, when frames may have been lost.

================  =========================  ===================================================
a node has lost   then the other one         so that
================  =========================  ===================================================
an Ask            does not know it           it ends with a local 503
an Answer         repeats it: the final one  the asker gets it
                  or, to an asker that has
                  heard of none, the latest
                  provisional one
a Cancel          has a half for it, and     the asker says that it has ended (``Cancel``)
                  says so (``Inherited``)
an Inherited      as above                   the asker waits for the node that has the half
a Done            repeats it                 the client gets the answer of the handler
an Engage         repeats it                 a peer is in the same for its owner and the home
================  =========================  ===================================================

Each node sends the numbers of its own asks. A loss of the answers leads to another comparison.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..cluster.items import Answer, AwaitedRequest, Engaged, Inherited, Sync
from ..cluster.protocol import Cluster
from ..scheduling import Scheduler, call_later_if_alive
from .asks import PendingAsk
from .foreign_requests import ForeignRequests

#: Seconds in which a node that may have lost something is asked once.
INTERVAL = 1.0


class Comparison:
    """Compares what is open at this node with what is open at others."""

    def __init__(
        self,
        cluster: Cluster,
        scheduler: Scheduler,
        asks: dict[int, PendingAsk],
        foreign: ForeignRequests,
    ) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._asks = asks
        self._foreign = foreign
        #: {node: when it may be asked again}
        self._due: dict[str, float] = {}
        #: {node that is asked at the next call of `_begin_again`: whether that is but an answer}
        self._doubted: dict[str, bool] = {}

    #: Returns the requests of local peers that handlers of a node answer.
    find_awaited: Callable[[str], list[AwaitedRequest]] = staticmethod(lambda node: [])

    #: Answers those of a node that are not known; see :class:`.HandlerAnswers`.
    compare_awaited: Callable[[str, Sequence[AwaitedRequest]], Any] = staticmethod(
        lambda node, awaited: None
    )

    #: Returns in what local peers are that is at home at a node; and compares that at the home.
    find_engaged: Callable[[str], list[Engaged]] = staticmethod(lambda node: [])
    compare_engaged: Callable[[str, Sequence[Engaged]], Any] = staticmethod(
        lambda node, engaged: None
    )

    def begin(self, node: str, is_answer: bool = False) -> None:
        """Compare with a node, now or soon.

        :param is_answer: whether that node has begun.
        """
        now = self._scheduler.now()
        with self._lock:
            if self._due.get(node, now) > now:
                # The latest comparison does not have the losses since.
                if not self._doubted:
                    call_later_if_alive(self._scheduler, INTERVAL, self._begin_again)
                self._doubted[node] = is_answer and self._doubted.get(node, True)
                return
            self._due[node] = now + INTERVAL
        open_asks = list(self._asks.items())
        asks = [number for number, ask in open_asks if ask.node == node]
        heard = [
            number
            for number, ask in open_asks
            if ask.node == node and getattr(ask, "has_heard", False)
        ]
        awaited, engaged = self.find_awaited(node), self.find_engaged(node)
        self._cluster.send(node, Sync(asks, awaited, is_answer, engaged, heard))

    def _begin_again(self) -> None:
        with self._lock:
            nodes, self._doubted = self._doubted, {}
            for node in nodes:
                self._due.pop(node, None)
        for node, is_answer in nodes.items():
            self.begin(node, is_answer)

    def forget(self, node: str) -> None:
        """Forget a node that has gone."""
        with self._lock:
            self._due.pop(node, None)
            self._doubted.pop(node, None)

    def take(self, node: str, item: Sync) -> None:
        """Answer another node."""
        foreign, heard = self._foreign, set(item.heard)
        for number in item.asks:
            key = node, number
            if key in foreign.moved:
                continue
            answer = foreign.recent.get(key)
            if key in foreign.halves or key in foreign.visits:
                answer = foreign.provisional.get(key)
                if answer is None or number in heard:
                    continue
            if answer is None:
                answer = Answer(number, 503, "the request was lost between servers", b"", True)
            self._cluster.send(node, answer)
        pending = set(item.asks)
        halves = [
            number
            for asker, number in list(foreign.halves)
            if asker == node and number not in pending
        ]
        if halves:
            # They have ended over there. Or they came in an estate, and their asker was not told.
            self._cluster.send(node, Inherited(halves))
        self.compare_awaited(node, item.awaited)
        self.compare_engaged(node, item.engaged)
        if not item.is_answer:
            self.begin(node, is_answer=True)
