"""Estates: what a device finds again when it connects to another node than before.

The new owner, whose claim has been ``TAKEN`` from a former owner, asks for the estate before its
link is attached. Each side decides by the tokens of the claims:

=====================  ==============================  =========================================
the new owner          event                           then
=====================  ==============================  =========================================
expects an estate      it comes                        taken in; the peer is the same one
                       there is none, or too much      a new peer
                       would have to be kept
                       the former owner is gone,       a new peer
                       or silent for :data:`PATIENCE`
                       HandOver of the former owner:   it keeps the peer, and is given the
                       the device is back there        messages that have come here meanwhile
                       HandOver of a third node: the   kept until the estate is there, and then
                       device has connected there      obeyed
                       Done, for a handler elsewhere   kept until the estate is there
expects nothing        an estate: it comes too late    its requests are answered 410
expects nothing        an estate, as its owner leaves  the peer is one of this node, and away
expects nothing        HandOver, before that estate    kept for :data:`EARLINESS`
lets the device in     Tell, Ask, Flush                kept until there is a peer
=====================  ==============================  =========================================

=====================  ==============================  =========================================
the former owner       event                           then
=====================  ==============================  =========================================
has the peer           HandOver with its token         the link is retired (3000), or the timer
                                                       of the absence stopped; everything is sent
                       HandOver with another token     there is no estate
has taken it off       HandOver                        there is no estate
leaves the cluster     the device is away              given to another node; the estate is sent
has handed it over     a handler answers               Done to the new owner
                       Tell, Engage, Done, Close,      passed on to the new owner
                       Flush
=====================  ==============================  =========================================

While an estate is expected, the peer is already one of this node, without a link. So messages
that come here wait in its mailbox, and the estate, which is older, is put before them.

Handlers go on where they run. Their answers come by ``Done``, also when the peer has moved on
meanwhile. Requests of the client that were handled at the former owner, and those that it sends
to the new one, have no order among each other.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..cluster.items import Done, Estate, Flush, Flushed, HandOver, Heir
from ..cluster.places import Place
from ..peers.peer import Peer
from ..scheduling import Event, Scheduler
from ..wire.dialect import Dialect
from .early_items import Arriving, EarlyItems
from .estate_transfer import EstateTransfer
from .exchange import Exchange
from .forwarding import Forwarding
from .handler_answers import HandlerAnswers, PeerFinder
from .moves import Moves
from .releases import Releases

#: Seconds that a new owner waits for an estate. A client waits for the answer to its handshake.
PATIENCE = 1.0

#: Seconds in which the estate may come of a device that another node has given to this one. A
#: client whose peer has just gone offline waits for as long.
EARLINESS = 0.2

#: Items that are kept while an estate is expected.
MAX_HELD = 1000

#: Outcomes of :meth:`Estates.fetch`.
HERE = "here"
UNKNOWN = "unknown"
TOLD = "unknown, and told to be offline"
ELSEWHERE = "elsewhere"


class Holder(PeerFinder, Arriving, Protocol):
    """The peers of this node, as estates see them; see :class:`.ClusterDirectory`."""

    def get_token(self, peer: Peer) -> int:
        """Return the token of this node's latest claim of a peer."""


class Expected:
    """A device that has connected to this node, and whose estate has been asked for.

    :ivar peer: already one of this node.
    :ivar token: of this node's claim.
    :ivar former: the node that had it, and the token there.
    :ivar was_here: whether this node had the peer all the time: then the estate has what came
        to the other node meanwhile.
    :ivar outcome: ``None`` while it is not known.
    """

    __slots__ = ("event", "former", "held", "outcome", "peer", "token", "was_here")

    def __init__(
        self, peer: Peer, token: int, former: tuple[str, int], was_here: bool, event: Event
    ) -> None:
        self.peer = peer
        self.token = token
        self.former = former
        self.was_here = was_here
        self.event = event
        self.held: list[tuple[str, Any]] = []
        self.outcome: str | None = None


class Estates:
    """The estates that this node gives up and takes in."""

    def __init__(
        self,
        exchange: Exchange,
        holder: Holder,
        moves: Moves,
        releases: Releases,
        transfer: EstateTransfer,
        answers: HandlerAnswers,
        forwarding: Forwarding,
        scheduler: Scheduler,
    ) -> None:
        self._exchange = exchange
        self._holder = holder
        self._moves = moves
        self._releases = releases
        self._transfer = transfer
        self._answers = answers
        self._forwarding = forwarding
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._expected: dict[tuple[str, str], Expected] = {}
        #: Of devices that this node does not know.
        self._early: dict[tuple[str, str], tuple[str, HandOver]] = {}
        self.early_items = EarlyItems(exchange, holder)
        exchange.on_item(Estate, self._take_estate)
        exchange.on_item(Done, self._take_done)
        exchange.on_item(Flush, self._take_flush)
        exchange.on_loss(HandOver, self._lose_hand_over)

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty after a while, for tests: ``{name: table}``."""
        return {"expected": self._expected, "early": self._early, "kept": self.early_items}

    @property
    def _node(self) -> str:
        return self._exchange.cluster.node

    def _send(self, node: str, item: Any) -> None:
        self._exchange.cluster.send(node, item)

    # The new owner -------------------------------------------------------------------------

    def fetch(self, peer: Peer, token: int, former: Place, dialect: Dialect, was_here: bool) -> str:
        """Ask for the estate of a peer that is one of this node by now. Blocks.

        :param token: of this node's claim.
        :param former: where the peer was.
            This node: the device was given to it, and the estate is on its way.
        :param was_here: see :class:`Expected`.
        :returns: ``HERE``: the estate is there. ``UNKNOWN``: there is none; the peer is a new one.
            ``TOLD``: and the site knows that the one before is offline.
            ``ELSEWHERE``: another node has claimed the device meanwhile.
        """
        device = peer.username, peer.uuid
        expected = Expected(
            peer, token, (former.node, former.token), was_here, self._scheduler.event()
        )
        with self._lock:
            self._expected[device] = expected
            self._forwarding.note_return(device)
        self.early_items.deliver(*device)
        if not self._exchange.is_own(former.node):
            self._send(former.node, HandOver(*device, former.token, token, dialect.subprotocol))
        try:
            is_there = not self._exchange.is_gone(former.node) and expected.event.wait(PATIENCE)
        except BaseException:
            # An exception that ends this greenlet, such as gevent.Timeout.
            self._give_up(device, expected)
            raise
        if not is_there:
            self._give_up(device, expected)
            # Another thread may be concluding it.
            expected.event.wait()
        outcome = expected.outcome
        assert outcome is not None
        if outcome is HERE and self._holder.get_local(*device) is not peer:
            return ELSEWHERE  # it has been handed over since
        return outcome

    def _give_up(self, device: tuple[str, str], expected: Expected) -> None:
        """Expect an estate no longer."""
        with self._lock:
            if self._expected.get(device) is not expected:
                return
            del self._expected[device]
        self._conclude(expected, HERE if expected.was_here else UNKNOWN)

    def _conclude(self, expected: Expected, outcome: str) -> None:
        expected.outcome = outcome
        held, expected.held = expected.held, []
        for node, item in held:
            if outcome is HERE:
                self._exchange.receive(node, item)
            elif isinstance(item, HandOver):
                self._send(node, Estate(item.username, item.uuid, item.token, False))
            elif outcome is ELSEWHERE:
                self._take_done(node, item)
        expected.event.set()

    def _take_estate(self, node: str, estate: Estate) -> None:
        device = estate.username, estate.uuid
        with self._lock:
            expected = self._expected.get(device)
            sender = node if estate.heir is None else self._node
            if expected is None or expected.former != (sender, estate.token):
                expected = None
            else:
                del self._expected[device]
        if expected is None:
            if estate.heir is None or not self._inherit(node, estate, estate.heir):
                self._transfer.disown(estate)
            return
        peer = expected.peer
        self._transfer.hold_events(node, estate)
        if not estate.is_known:
            unknown = TOLD if estate.is_told else UNKNOWN
            self._conclude(expected, HERE if expected.was_here else unknown)
        elif self._holder.get_local(*device) is not peer:
            # The site has disconnected it meanwhile.
            self._transfer.disown(estate)
            self._conclude(expected, ELSEWHERE)
        else:
            self._transfer.take_in(node, peer, estate, expected.was_here)
            self._conclude(expected, HERE)

    def _inherit(self, node: str, estate: Estate, heir: Heir) -> bool:
        """Take in a peer that is away; ``False`` when its device is here already."""
        device = estate.username, estate.uuid
        peer = self._moves.inherit(*device, estate.token, heir)
        if peer is None:
            return False
        self._transfer.hold_events(node, estate)
        self._transfer.take_in(node, peer, estate, False)
        self._moves.begin_waiting(peer, heir.seconds_left)
        early = self._early.pop(device, None)
        if early is not None:
            self.hand_over(*early)
        return True

    # The former owner ------------------------------------------------------------------------

    def hand_over(self, node: str, item: HandOver) -> None:
        """Give up the peer of a device that another node has claimed, or say that it is unknown."""
        device = item.username, item.uuid
        with self._lock:
            expected = self._expected.get(device)
            if expected is not None:
                if expected.token != item.token:
                    expected = None
                elif expected.former[0] != node:
                    if len(expected.held) < MAX_HELD:
                        expected.held.append((node, item))
                    return
                else:
                    del self._expected[device]
        if expected is not None:
            # The device is back at the node that has the peer.
            self._transfer.send(node, self._hand_over(expected.peer, node, item))
            self._conclude(expected, ELSEWHERE)
            return
        peer = self._get(device, item.token)
        if peer is not None:
            self._transfer.send(node, self._hand_over(peer, node, item))
        elif self._may_be_given(device):
            # It may have been given to this node just now.
            self._early[device] = node, item
            self._scheduler.call_later(EARLINESS, self._refuse_early, device, item)
        else:
            self._refuse(node, device, item)

    def _refuse(self, node: str, device: tuple[str, str], item: HandOver) -> None:
        is_told = self._releases.has_told(*device, item.token)
        self._transfer.send(node, Estate(*device, item.token, False, is_told=is_told))

    def _may_be_given(self, device: tuple[str, str]) -> bool:
        holder = self._holder
        return (
            holder.get_local(*device) is None
            and not self._releases.is_leaving(*device)
            and self._forwarding.find_new_owner(*device) is None
            and len(self._early) < MAX_HELD
        )

    def _refuse_early(self, device: tuple[str, str], item: HandOver) -> None:
        early = self._early.get(device)
        if early is not None and early[1] is item:
            del self._early[device]
            self._refuse(early[0], device, item)

    def _get(self, device: tuple[str, str], token: int) -> Peer | None:
        """Return a peer of this node that it has claimed with this token."""
        if device in self._expected:
            return None
        peer = self._holder.get_local(*device)
        if peer is None or self._holder.get_token(peer) != token:
            return None
        return peer

    def _hand_over(self, peer: Peer, node: str, item: HandOver) -> Estate:
        """Give up a peer; it is offline when it cannot be handed over."""
        device = peer.username, peer.uuid
        if peer.outbound.dialect.subprotocol == item.dialect:
            estate = self._transfer.export(peer, node, item.token, item.new_token, True)
            if estate is not None:
                return estate
        self._moves.end(peer)
        return Estate(*device, item.token, False)

    def _lose_hand_over(self, node: str, item: HandOver) -> None:
        device = item.username, item.uuid
        expected = self._expected.get(device)
        if expected is not None and expected.former == (node, item.token):
            self._give_up(device, expected)

    def _take_flush(self, node: str, item: Flush) -> None:
        """Pass a Flush on the way that the messages before it have gone, or answer it."""
        device, sender = (item.username, item.uuid), item.sender or node
        if self.early_items.keep(node, item, *device):
            return
        expected = self._expected.get(device)
        next_owner: str | None = None
        if expected is not None:
            # Messages that were passed on to the former owner come back with the estate. A Flush
            # that has been passed on is behind that already.
            next_owner = None if item.sender else expected.former[0]
        elif self._holder.get_local(*device) is None:
            next_owner = self._forwarding.find_new_owner(*device)
        if next_owner is None or self._exchange.is_own(next_owner):
            self._send(sender, Flushed(item.number))
        else:
            self._send(next_owner, Flush(*device, item.number, sender))

    def _take_done(self, node: str, item: Done) -> None:
        device = item.username, item.uuid
        with self._lock:
            expected = self._expected.get(device)
            if expected is not None and not expected.was_here:
                if len(expected.held) < MAX_HELD:
                    expected.held.append((node, item))
                return
        self._answers.take(node, item, self._forwarding.find_new_owner(*device))

    def node_gone(self, node: str) -> None:
        """Take note that a node is dead: there is no estate, and its handlers answer no more."""
        for device, expected in list(self._expected.items()):
            if expected.former[0] == node:
                self._give_up(device, expected)
        self._answers.node_gone(node)

    def fenced(self) -> None:
        """Take note that others have taken this node for dead."""
        self._answers.fenced()
