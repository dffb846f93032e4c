"""The order of a user's events among nodes: an "offline" is never told after a newer "online".

Each node tells the events of a user in the order of its queue. A node whose release of a device
leads to events is named in the directory, with a number, until they have been told. A later
claim or release of that user reads the name, and the events of its node wait for that one. So each
node waits for the one before, and no wait is a circle.

====================  ======================  ===================================================
events of a node      event                   next state, and action
====================  ======================  ===================================================
free                  another node is named   held; GetTold to that node
held                  answered                free
held                  that node has gone, or  free: its events are lost with it, or have been told
                      does not listen
held                  :data:`PATIENCE`        free; a listener of the site hangs there
====================  ======================  ===================================================

A device that moves takes no part in that: its former owner says in the estate whether it still
tells events of the user.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from ..cluster.items import Answer, GetTold
from ..cluster.places import Telling
from ..events import Condition, EventQueues, SiteEvent
from ..response import Response
from ..scheduling import Scheduler, Timer, call_later_if_alive
from .exchange import Exchange

#: Seconds that events wait for those of another node, at most.
PATIENCE = 30.0


class _AskForEnd:
    """A question to a node whether it has told its events; a :class:`.asks.PendingAsk`.

    :param then: called when it has, or when there is no answer.
    """

    def __init__(self, node: str, number: int, then: Callable[[], Any]) -> None:
        self.node = node
        self.number = number
        self.timer: Timer | None = None
        self._then = then

    def take(self, answer: Answer) -> None:
        self._end()

    def fail(self, status: int, reason: str) -> None:
        self._end()

    def _end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._then()


class EventOrder:
    """The events of this node that wait for others, and the nodes that wait for this one."""

    def __init__(self, exchange: Exchange, events: EventQueues, scheduler: Scheduler) -> None:
        self._exchange = exchange
        self._events = events
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        #: {the number of events that are being told: [(a node that waits, the number of its ask)]}
        self._waiting: dict[int, list[tuple[str, int]]] = {}
        exchange.on_item(GetTold, self._take)

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when nobody waits."""
        return {"waiting for events": self._waiting}

    # Events of this node ---------------------------------------------------------------------

    def begin(self, username: str) -> int:
        """Return a number for events that are posted next; :meth:`end` is called behind them."""
        return self._exchange.cluster.begin_telling(username)

    def mark(self, username: str) -> int:
        """Return a number for all events of a user that this node still tells; 0: for none."""
        if not self._events.has(username):
            return 0
        number = self.begin(username)
        never = Condition()
        never.holds = False
        self._events.post(username, SiteEvent("", None, never, partial(self.end, number)))
        self._scheduler.spawn(self._events.drain, username)
        return number

    def end(self, number: int) -> None:
        """Take note that events have been told. Never blocks."""
        with self._lock:
            self._exchange.cluster.end_telling(number)
            waiting = self._waiting.pop(number, ())
        for node, ask in waiting:
            self._exchange.foreign.answer_visit(node, ask, Response(200, "told"))

    def _take(self, node: str, item: GetTold) -> None:
        self._exchange.foreign.visits.add((node, item.ask))
        with self._lock:
            if self._exchange.cluster.is_telling(item.number):
                self._waiting.setdefault(item.number, []).append((node, item.ask))
                return
        self._exchange.foreign.answer_visit(node, item.ask, Response(200, "told"))

    # Events of others --------------------------------------------------------------------------

    def hold(self, username: str, telling: Telling | None) -> None:
        """Have the events of a user that are posted from now on wait for those of another node."""
        if not self._must_wait(telling):
            return
        gate = Condition()
        self._events.post(username, SiteEvent("", None, gate))

        def open_gate() -> None:
            gate.holds = False  # there is no such event
            self._scheduler.spawn(self._events.drain, username)

        self.wait(telling, open_gate)

    def wait(self, telling: Telling | None, then: Callable[[], Any]) -> None:
        """Call ``then()`` when events of another node have been told. Never blocks."""
        if telling is None or not self._must_wait(telling):
            then()
            return
        exchange, number = self._exchange, self._exchange.next_number()
        ask = _AskForEnd(telling.node, number, then)
        ask.timer = call_later_if_alive(self._scheduler, PATIENCE, self._give_up, ask)
        exchange.put(number, ask)
        exchange.cluster.send(telling.node, GetTold(number, telling.number))

    def _must_wait(self, telling: Telling | None) -> bool:
        if telling is None:
            return False
        return not (self._exchange.is_own(telling.node) or self._exchange.is_gone(telling.node))

    def _give_up(self, ask: _AskForEnd) -> None:
        if self._exchange.asks.get(ask.number) is ask:
            self._exchange.cancel(ask.number)
            ask.fail(408, "request timeout")
