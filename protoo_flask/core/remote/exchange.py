"""The exchange: what this node asks others, what others ask it, and the items in between.

The questions of this node that are not answered are in ``asks``, ``{number: ask}``. Those of other
nodes are in :mod:`.foreign_requests`.

All methods that a :class:`~..cluster.protocol.Cluster` calls come one after the other, and must
not block: whatever may block has a greenlet or thread of its own.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Any, Callable, Protocol, Sequence

from ..arrivals import Arrivals
from ..cluster.items import (
    Answer,
    Ask,
    Cancel,
    Close,
    Engagement,
    Flush,
    Flushed,
    GetContext,
    GetTold,
    Moved,
    Sync,
    Tell,
    ToHome,
)
from ..cluster.places import Claim, Place, Telling
from ..cluster.protocol import AWAY, EVERY_NODE, Cluster
from ..peers.peer import OFFLINE, Peer
from ..response import Response
from ..runtime import Runtime
from ..transactions.client import OF_CORE, OF_SITE, RELAYED, URGENT
from ..wire.messages import MAX_ID
from .asks import AskForText, AskOfPeer, PendingAsk
from .comparison import Comparison
from .foreign_requests import ForeignRequests
from .forwarded_ask import ForwardedAsk
from .holds import Holds
from .missed_tells import MissedTells
from .probes import Probes
from .texts import insert_id, translate

#: Nodes that are remembered as gone: the latest.
MAX_GONE = 1000

#: The kinds of transactions by their names on the wire. The core compares identities.
KINDS = {kind: kind for kind in (OF_SITE, OF_CORE, URGENT, RELAYED)}

_UNREACHABLE = "its server cannot be reached"
_UNREACHABLE_NOW = f"{_UNREACHABLE} for now"

Receiver = Callable[[str, Any], None]


class Residents(Protocol):
    """The peers of this node, as the exchange sees them; see :class:`.ClusterDirectory`."""

    def get_local(self, username: str, uuid: str) -> Peer | None:
        """Return a peer of this node."""

    def get_incarnation(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return a peer of this node, unless it was born at another time."""

    def born(self, peer: Peer) -> int:
        """Return ``Place.born`` of a peer; 0: not known, -1: it is another one by now."""

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return peers of all nodes. May block."""

    def remove_all(self, username: str | None, uuid: str | None, code: int, reason: str) -> int:
        """Remove peers of this node."""

    def describe_context(self, peer: Peer) -> bytes:
        """Return the handshake of a peer of this node, as bytes."""

    def node_gone(self, node: str) -> None: ...

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None: ...

    def fenced(self, former: str) -> None: ...

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]: ...

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None: ...

    def status_changed(self) -> None: ...


class Exchange:
    """The items of one node; a :class:`~..cluster.protocol.ClusterHost`."""

    def __init__(self, cluster: Cluster, runtime: Runtime, residents: Residents) -> None:
        self.cluster = cluster
        self._runtime = runtime
        self._arrivals: Arrivals = runtime.arrivals
        self._residents = residents
        self.asks: dict[int, PendingAsk] = {}
        self.foreign = ForeignRequests(self.send_answer)
        self._missed = MissedTells(runtime.scheduler)
        self.holds = Holds(cluster, runtime.scheduler, self.next_number, self._send_held)
        #: The ids of this node, now and before.
        self._own: set[str] = {cluster.node}
        self._gone: deque[str] = deque(maxlen=MAX_GONE)
        self._is_away = False
        self.comparison = Comparison(cluster, runtime.scheduler, self.asks, self.foreign)
        self.probes = Probes(cluster, runtime.scheduler, self.asks, self._end_unheard)
        self._receivers: dict[type, Receiver] = {
            Ask: self._take_ask,
            Answer: self._take_answer,
            Cancel: self._take_cancel,
            Moved: self._take_moved,
            Tell: self._take_tell,
            Close: self._take_close,
            Flushed: self._take_flushed,
            GetContext: self._take_get_context,
            Sync: self.comparison.take,
        }
        #: Of items that did not arrive.
        self._losers: dict[type, Receiver] = {Flush: self._lose_flush}

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when nothing is open: for tests, and for metrics."""
        return {
            "asks": self.asks,
            "halves": self.foreign.halves,
            "visits": self.foreign.visits,
            "missed news": self._missed,
            "held": self.holds.held,
        }

    def on_item(self, kind: type, function: Receiver) -> None:
        """Have ``function(node, item)`` called with items of one kind; it must not block."""
        self._receivers[kind] = function

    # Asking --------------------------------------------------------------------------------

    def is_own(self, node: str) -> bool:
        """Whether an id is that of this node, now or before."""
        return node in self._own

    def is_gone(self, node: str) -> bool:
        """Whether a node is known to be dead."""
        return node in self._gone

    def next_number(self) -> int:
        """Return a number for the next ask, or an id on the wire."""
        assert self._runtime.ids is not None
        return next(self._runtime.ids) % MAX_ID + 1

    def find_hindrance(self, peer: Peer) -> tuple[int, str] | None:
        """Return status and reason of a response that says why a peer cannot be reached."""
        if peer.state is OFFLINE:
            return 410, "peer offline"
        cluster = self.cluster
        if cluster.status == AWAY:
            return 503, _UNREACHABLE_NOW  # the reason is in the log; clients read this
        if self._gone and peer.outbound.node in self._gone:
            return 503, f"{_UNREACHABLE}: it has gone"
        return None

    def ask(self, transaction: Any, node: str, kind: str, engagement: Engagement | None) -> None:
        """Send the request of a transaction to the owner of its peer."""
        number = transaction.id
        self.asks[number] = AskOfPeer(transaction, node, kind, engagement)
        if not self.probes.is_on:
            self.probes.begin()
        peer, sender = transaction.peer, transaction.sender
        item = Ask(
            number,
            peer.username,
            peer.uuid,
            transaction.payload,
            None if sender is None else sender["username"],
            kind,
            engagement,
            peer.outbound.place.born,
        )
        if not self.holds.held or not self.holds.keep(peer, item):
            self.cluster.send(node, item)

    def put(self, number: int, ask: PendingAsk) -> None:
        """Wait for the answers to an ask that the caller sends next."""
        self.asks[number] = ask
        self.probes.begin()

    def expect(self, transaction: Any, node: str) -> None:
        """Wait for the answers to a request that is in an estate for this node."""
        ask = AskOfPeer(transaction, node, OF_CORE, None)
        ask.has_moved = True
        self.asks[transaction.id] = ask

    def follow(self, number: int, node: str) -> bool:
        """Wait for the answers to an ask from another node; ``False`` when it has ended."""
        ask = self.asks.get(number)
        if ask is None:
            return False
        ask.node = node
        return True

    def cancel(self, number: int) -> None:
        """Say that nobody waits for the answer any more."""
        ask = self.asks.pop(number, None)
        if ask is not None and self.cluster.status != AWAY:
            self.cluster.send(ask.node, Cancel(number))

    def forget(self, number: int) -> PendingAsk | None:
        """Forget an ask, without a word."""
        return self.asks.pop(number, None)

    def tell(
        self,
        node: str,
        peers: Sequence[Peer],
        payload: bytes,
        sender: str | None,
        news: tuple[str, str] | None,
    ) -> None:
        """Send a notification to peers of a node."""
        if self.holds.held:
            peers = [p for p in peers if not self._hold_tell(p, payload, sender, news)]
            if not peers:
                return
        to = [(peer.username, peer.uuid) for peer in peers]
        born = [self._residents.born(peer) for peer in peers]
        self.cluster.send(node, Tell(to, payload, sender, news, born))

    def _hold_tell(
        self, peer: Peer, payload: bytes, sender: str | None, news: tuple[str, str] | None
    ) -> bool:
        to, born = [(peer.username, peer.uuid)], [self._residents.born(peer)]
        return self.holds.keep(peer, Tell(to, payload, sender, news, born))

    def _send_held(self, peer: Peer, items: Sequence[Any]) -> None:
        """Send what was held, to where the peer is now."""
        node, own = peer.outbound.node, self.cluster.node
        for item in items:
            ask = self.asks.get(item.ask) if isinstance(item, Ask) else None
            if ask is not None and node is None:
                self._runtime.scheduler.spawn(self._ask_anew, item.ask, ask)
            elif ask is not None or not isinstance(item, Ask):
                if ask is not None and node is not None:
                    ask.node = node
                self.cluster.send(own if node is None else node, item)

    def _take_flushed(self, node: str, item: Flushed) -> None:
        self.holds.end(item.number)

    def _lose_flush(self, node: str, item: Flush) -> None:
        """Take note that a former owner passes nothing on: it has gone."""
        if item.sender:
            self.cluster.send(item.sender, Flushed(item.number))
        else:
            self.holds.end(item.number)

    def close(self, peer: Peer, code: int, reason: str) -> bool:
        """Have the owner of a peer close its link; ``False`` if it is not there."""
        node = peer.outbound.node
        if node is None or self.find_hindrance(peer) is not None:
            return False
        born = self._residents.born(peer)
        item = Close(peer.username, peer.uuid, code, reason, born=born)
        if not self.holds.held or not self.holds.keep(peer, item):
            self.cluster.send(node, item)
        return True

    def close_elsewhere(self, username: str, uuid: str | None, code: int, reason: str) -> None:
        """Have all other nodes close the links of a user, and turn handshakes away."""
        self.cluster.send(EVERY_NODE, Close(username, uuid, code, reason, True))

    def fetch_context(self, peer: Peer, then: Callable[[bytes], Any]) -> None:
        """Call ``then(handshake)`` with the bytes of the peer's owner; empty without any."""
        node = peer.outbound.node
        if node is None or self.find_hindrance(peer) is not None:
            then(b"")
            return
        number = self.next_number()
        self.asks[number] = AskForText(node, then)
        self.cluster.send(node, GetContext(number, peer.username, peer.uuid))

    # Answers to this node --------------------------------------------------------------------

    def _take_answer(self, node: str, answer: Answer) -> None:
        if answer.status < 200:
            ask = self.asks.get(answer.ask)
        else:
            ask = self.asks.pop(answer.ask, None)
        if ask is not None:  # else it has ended here
            # The peer may have moved, and its requests with it.
            ask.node = node
            ask.take(answer)

    def _take_moved(self, node: str, item: Moved) -> None:
        ask = self.asks.get(item.ask)
        if isinstance(ask, AskOfPeer) and not ask.has_moved:
            ask.has_moved = True
            self._runtime.scheduler.spawn(self._ask_anew, item.ask, ask)
        else:
            self._fail(item.ask, 410, "peer offline")

    def _ask_anew(self, number: int, ask: AskOfPeer) -> None:
        """Look where the peer of an ask is now, and ask there."""
        transaction, former = ask.transaction, ask.node
        peer = transaction.peer
        found = self._residents.find(peer.username, peer.uuid)
        if self.asks.get(number) is not ask:
            return  # it has ended meanwhile
        if peer not in found:
            self._fail(number, 410, "peer offline")
            return
        node = peer.outbound.node
        if node is not None:
            self.ask(transaction, node, ask.kind, ask.engagement)
            # Of a peer that goes on moving, each of its nodes is asked; no node twice in turn.
            self.asks[number].has_moved = node == former  # type: ignore[attr-defined]
            return
        del self.asks[number]
        transaction._owner.hand_on(transaction)
        transaction._owner = peer.outbound
        transaction.payload = insert_id(transaction.payload, number, peer.outbound.dialect)
        peer.outbound.forward(transaction, ask.kind)

    def _fail(self, number: int, status: int, reason: str) -> None:
        ask = self.asks.pop(number, None)
        if ask is not None:
            ask.fail(status, reason)

    # Requests of other nodes -------------------------------------------------------------------

    def _take_ask(self, node: str, item: Ask) -> None:
        peer = self._residents.get_incarnation(item.username, item.uuid, item.born)
        if peer is None:
            if self._keep(node, item, item.username, item.uuid):
                return
            self.cluster.send(node, Moved(item.ask))
            return
        outbound = peer.outbound
        id = self.next_number()
        payload = insert_id(item.payload, id, outbound.dialect)
        sender = None if item.sender is None else {"username": item.sender}
        kind = KINDS.get(item.kind, OF_CORE)
        half = ForwardedAsk(
            self.foreign, node, item.ask, id, peer, payload, sender, kind, item.engagement
        )
        if item.engagement is not None:
            response = self._check_arrival(peer, item.engagement)
            if response is not None:
                self.foreign.answer(half, response)
                return
        self.foreign.add(half)
        outbound.forward(half, kind)

    #: Passes an item on whose peer has just moved to another node.
    pass_on: Callable[[Any, str, str], Any] | None = None

    #: Keeps an item for a device that is just connecting; see :meth:`.Estates.keep_early`.
    keep_early: Callable[[str, Any, str, str], bool] | None = None

    def _keep(self, node: str, item: Any, username: str, uuid: str) -> bool:
        return self.keep_early is not None and self.keep_early(node, item, username, uuid)

    #: Looks at a request that belongs to a call or room; see ``HomeService.check_arrival``.
    check_arrival: Callable[[Peer, Engagement], Response | None] | None = None

    def _check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        return None if self.check_arrival is None else self.check_arrival(peer, engagement)

    def send_answer(self, node: str, answer: Answer) -> None:
        """Send an answer to a node, which may be this one by now."""
        if node in self._own:
            self._take_answer(node, answer)
        else:
            self.cluster.send(node, answer)

    def _take_cancel(self, node: str, item: Cancel) -> None:
        self.foreign.cancel(node, item.ask)

    def _take_tell(self, node: str, item: Tell) -> None:
        sender = None if item.sender is None else {"username": item.sender}
        for (username, uuid), born in zip(item.to, item.born or repeat(0)):
            peer = self._residents.get_incarnation(username, uuid, born)
            if peer is None:
                one = Tell([(username, uuid)], item.payload, item.sender, item.news, [born])
                # The device may be on its way back here: then, too, nothing is passed on.
                if not self._keep(node, one, username, uuid) and self.pass_on is not None:
                    self.pass_on(one, username, uuid)
                continue
            outbound = peer.outbound
            payload = translate(item.payload, outbound.dialect)
            if item.news is not None:
                self._missed.forget(peer, item.news)
            if not outbound.transmit(payload, sender) and item.news is not None:
                self._missed.put(peer, item.news, payload, sender)

    def forget_news(self, peer: Peer, service: str, key: str) -> None:
        """Tell a local peer no news any more of something that it has left."""
        self._missed.forget_all(peer, service, key)

    def _take_close(self, node: str, item: Close) -> None:
        if item.turns_away:
            self._arrivals.turn_away(item.username, item.uuid, item.code, item.reason)
        uuid, born = item.uuid, item.born
        if uuid is None or self._residents.get_incarnation(item.username, uuid, born) is not None:
            self._residents.remove_all(item.username, uuid, item.code, item.reason)
        if self.pass_close_on is not None:
            self.pass_close_on(node, item)

    #: Has devices closed that have just moved to another node; see :meth:`.Estates.pass_close_on`.
    pass_close_on: Callable[[str, Close], Any] | None = None

    def _take_get_context(self, node: str, item: GetContext) -> None:
        peer = self._residents.get_local(item.username, item.uuid)
        text = b"" if peer is None else self._residents.describe_context(peer)
        self.cluster.send(node, Answer(item.ask, 200, "", text))

    # Losses ------------------------------------------------------------------------------------

    def _end_asks(self, node: str | None, reason: str) -> None:
        """End the asks of a node, or all, with a local 503."""
        ended = [number for number, ask in self.asks.items() if node in (None, ask.node)]
        for number in ended:
            self._fail(number, 503, reason)

    # The host of a cluster -------------------------------------------------------------------

    def receive(self, node: str, item: Any) -> None:
        receiver = self._receivers.get(type(item))
        if receiver is not None:  # else it is of a newer version
            receiver(node, item)

    def lost(self, node: str, items: Sequence[Any]) -> None:
        is_away = self.cluster.status == AWAY
        reason = _UNREACHABLE_NOW if is_away else f"{_UNREACHABLE}: it has gone"
        for item in items:
            if isinstance(item, (Ask, ToHome, GetContext, GetTold)):
                self._fail(item.ask, 503, reason)
            elif type(item) in self._losers:
                self._losers[type(item)](node, item)

    def on_loss(self, kind: type, function: Receiver) -> None:
        """Have ``function(node, item)`` called with items that did not arrive."""
        self._losers[kind] = function

    def probed(self, node: str, is_heard: bool) -> None:
        self.probes.take(node, is_heard)

    def _end_unheard(self, node: str) -> None:
        self._end_asks(node, f"{_UNREACHABLE}: it has gone")

    def may_have_lost(self, node: str) -> None:
        self.comparison.begin(node)

    def node_gone(self, node: str) -> None:
        self._gone.append(node)
        self.comparison.forget(node)
        self.probes.forget(node)
        self.holds.node_gone(node)
        self._end_asks(node, f"{_UNREACHABLE}: it has gone")
        self.foreign.drop(node)
        self._residents.node_gone(node)

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        self._residents.buried(place, is_last, telling, before)

    def fenced(self, former: str) -> None:
        self._own.add(self.cluster.node)
        # The others have forgotten both.
        self._end_asks(None, f"{_UNREACHABLE}: this one was taken for dead")
        self.foreign.drop(None)
        self._residents.fenced(former)

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        return self._residents.claims()

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        self._residents.claimed(username, uuid, claim)

    def status_changed(self) -> None:
        self._own.add(self.cluster.node)
        self._residents.status_changed()
        was_away, self._is_away = self._is_away, self.cluster.status == AWAY
        if was_away and not self._is_away:
            # Items that were to be sent meanwhile are lost: comparisons, too.
            for node in self.cluster.others():
                self.comparison.begin(node)
