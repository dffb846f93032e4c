"""Holds: messages to a peer that has moved wait for those that its former node passes on.

A message to the former node may be on its way while the peer moves. That node passes it on, and a
later one, sent to the new node at once, would overtake it. So a sender that sees the move sends a
``Flush`` the way of its earlier messages, and holds the later ones until it is answered.

=======  ======================================  ===========================================
a peer   event                                   next state, and action
=======  ======================================  ===========================================
free     it is seen at another node than before  held; a Flush to the former node
held     a message to it                         held; kept
held     Flushed                                 free; what was kept is sent
held     :data:`HOLD_TIME` is over, too much is  free; what was kept is sent
         kept, the former node has gone
held     it moves once more                      held; the Flush follows it
=======  ======================================  ===========================================
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..cluster.items import Flush
from ..cluster.protocol import Cluster
from ..peers.peer import Peer
from ..scheduling import Event, Scheduler, Timer, call_later_if_alive

#: Seconds that messages are held at most. The answer takes two ways through the cluster.
HOLD_TIME = 1.0

#: Messages to one peer that are held.
MAX_KEPT = 1000


class Hold:
    """A peer whose messages are held.

    :ivar number: of the Flush.
    :ivar former: the node that the Flush was sent to.
    :ivar released: set when they are held no more.
    """

    __slots__ = ("__weakref__", "former", "items", "number", "peer", "released", "timer")

    def __init__(self, peer: Peer, number: int, former: str, released: Event) -> None:
        self.peer = peer
        self.number = number
        self.former = former
        self.released = released
        self.items: list[Any] = []
        self.timer: Timer | None = None


class Holds:
    """The peers whose messages are held, ``{(username, uuid): hold}``.

    :param next_number: returns a number for the next Flush.
    :param send: called as ``send(peer, items)`` with what was held; must not block.
    :ivar held: the table; a look whether it is empty needs no lock.
    """

    def __init__(
        self,
        cluster: Cluster,
        scheduler: Scheduler,
        next_number: Callable[[], int],
        send: Callable[[Peer, Sequence[Any]], Any],
    ) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._next_number = next_number
        self._send = send
        self._lock = scheduler.lock()
        self.held: dict[tuple[str, str], Hold] = {}
        self._by_number: dict[int, Hold] = {}

    def begin(self, peer: Peer, former: str) -> None:
        """Hold the messages to a peer that was at another node before. Never blocks."""
        device = peer.username, peer.uuid
        with self._lock:
            known = self.held.get(device)
            if known is not None and known.peer is peer:
                return
            hold = Hold(peer, self._next_number(), former, self._scheduler.event())
            self.held[device] = self._by_number[hold.number] = hold
            hold.timer = call_later_if_alive(self._scheduler, HOLD_TIME, self._release, hold)
            self._cluster.send(former, Flush(*device, hold.number))
        if known is not None:
            self._release(known)

    def keep(self, peer: Peer, item: Any) -> bool:
        """Keep a message to a peer; ``False`` when it is to be sent at once."""
        with self._lock:
            hold = self.held.get((peer.username, peer.uuid))
            if hold is None or hold.peer is not peer:
                return False
            hold.items.append(item)
            if len(hold.items) < MAX_KEPT:
                return True
        self._release(hold)
        return True

    def wait(self, username: str, uuid: str) -> None:
        """Return when messages to a device are not held. Blocks, :data:`HOLD_TIME` at most."""
        hold = self.held.get((username, uuid))
        if hold is not None:
            hold.released.wait(HOLD_TIME)

    def stop_waiting(self, username: str, uuid: str) -> None:
        """End :meth:`wait` at once: another node has connected the device, and waits for it."""
        hold = self.held.get((username, uuid))
        if hold is not None:
            hold.released.set()

    def end(self, number: int) -> None:
        """Take note that a Flush has arrived behind all that was sent before it."""
        hold = self._by_number.get(number)
        if hold is not None:
            self._release(hold)

    def node_gone(self, node: str) -> None:
        """Take note that a node passes nothing on any more."""
        for hold in list(self.held.values()):
            if hold.former == node:
                self._release(hold)

    def _release(self, hold: Hold) -> None:
        device = hold.peer.username, hold.peer.uuid
        with self._lock:
            if self._by_number.pop(hold.number, None) is None:
                return
            if hold.timer is not None:
                hold.timer.cancel()
            # Others find it held until all has been sent: nothing overtakes it.
            self._send(hold.peer, hold.items)
            if self.held.get(device) is hold:
                del self.held[device]
        hold.released.set()
