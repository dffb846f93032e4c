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

from functools import partial
from typing import Any, Protocol, Sequence

from ..close_codes import POLICY_VIOLATION
from ..cluster.items import (
    Cancel,
    Close,
    Done,
    Engage,
    Estate,
    Flush,
    Flushed,
    HandOver,
    Heir,
    Inherited,
    Tell,
)
from ..cluster.places import Place, Telling
from ..peers.peer import Peer
from ..scheduling import Event
from ..wire.dialect import Dialect
from .estate_items import (
    MAX_ESTATE,
    read_answers,
    read_requests,
    read_waiting,
    write_answers,
    write_halves,
    write_requests,
    write_waiting,
)
from .exchange import KINDS, Exchange
from .forwarded_ask import ForwardedAsk, OwnAsk
from .handler_answers import HandlerAnswers
from .moves import Moves

#: Seconds that a new owner waits for an estate. A client waits for the answer to its handshake.
PATIENCE = 1.0

#: Seconds in which messages are passed on that have been sent to a former owner, and how many
#: devices are remembered for it.
FORWARDING_TIME = 5.0
MAX_FORWARDED = 10_000

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


class Holder(Protocol):
    """The peers of this node, as estates see them; see :class:`.ClusterDirectory`."""

    def get_local(self, username: str, uuid: str) -> Peer | None:
        """Return a peer of this node."""

    def find_local(self) -> list[Peer]:
        """Return all peers of this node."""

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return peers of all nodes. May block."""

    def is_leaving(self, username: str, uuid: str) -> bool:
        """Whether this node has just taken a device off."""

    def has_told(self, username: str, uuid: str, token: int) -> bool:
        """Whether the site was told that the peer of a claim is offline, but not the directory."""

    def is_arriving(self, username: str, uuid: str) -> bool:
        """Whether a handshake of a device is in progress here."""

    def remove(self, peer: Peer, code: int, reason: str) -> bool:
        """Take a peer off."""

    def get_token(self, peer: Peer) -> int:
        """Return the token of this node's latest claim of a peer."""

    @property
    def order(self) -> Any:
        """The order of events among nodes; see :class:`.EventOrder`."""

    @property
    def homes(self) -> Any:
        """The homes, with the engagements of peers; see :class:`.ClusterHomes`."""

    @property
    def remote_peers(self) -> Any:
        """The peers of other nodes; see :class:`.RemotePeers`."""


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

    def __init__(self, exchange: Exchange, holder: Holder, moves: Moves, scheduler: Any) -> None:
        self._exchange = exchange
        self._holder = holder
        self._moves = moves
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._expected: dict[tuple[str, str], Expected] = {}
        #: Of devices that this node does not know.
        self._early: dict[tuple[str, str], tuple[str, HandOver]] = {}
        #: {device: (the node that it has been handed over to, until when)}, oldest first.
        self._moved: dict[tuple[str, str], tuple[str, float]] = {}
        #: {device: what has come for it during its handshake}
        self._kept: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        exchange.pass_on = self.pass_on
        exchange.keep_early = self.keep_early
        exchange.pass_close_on = self.pass_close_on
        exchange.on_item(Estate, self._take_estate)
        exchange.on_item(Done, self._take_done)
        self._answers = HandlerAnswers(exchange, holder, scheduler)
        exchange.on_item(Inherited, self._take_inherited)
        exchange.on_item(Flush, self._take_flush)
        exchange.on_loss(HandOver, self._lose_hand_over)
        exchange.on_loss(Estate, self._lose_estate)
        exchange.on_loss(Inherited, self._lose_inherited)

    @property
    def tables(self) -> dict[str, Any]:
        """What is kept for a while, for tests: ``{name: table}``."""
        return {"expected": self._expected, "early": self._early, "kept": self._kept}

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
            # It is here again: two nodes must not pass items on to each other.
            self._moved.pop(device, None)
        self.deliver_early(*device)
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
                self._disown(estate)
            return
        peer = expected.peer
        self._hold_events(node, estate)
        if not estate.is_known:
            unknown = TOLD if estate.is_told else UNKNOWN
            self._conclude(expected, HERE if expected.was_here else unknown)
        elif self._holder.get_local(*device) is not peer:
            # The site has disconnected it meanwhile.
            self._disown(estate)
            self._conclude(expected, ELSEWHERE)
        else:
            self._take_in(node, peer, estate, expected.was_here)
            self._conclude(expected, HERE)

    def _inherit(self, node: str, estate: Estate, heir: Heir) -> bool:
        """Take in a peer that is away; ``False`` when its device is here already."""
        device = estate.username, estate.uuid
        peer = self._moves.inherit(*device, estate.token, heir)
        if peer is None:
            return False
        self._hold_events(node, estate)
        self._take_in(node, peer, estate, False)
        self._moves.begin_waiting(peer, heir.seconds_left)
        early = self._early.pop(device, None)
        if early is not None:
            self.hand_over(*early)
        return True

    def _hold_events(self, node: str, estate: Estate) -> None:
        """Have the events of a user wait for those that the former owner still tells."""
        if estate.telling:
            self._holder.order.hold(estate.username, Telling(node, estate.telling))

    def _take_in(self, node: str, peer: Peer, estate: Estate, was_here: bool) -> None:
        halves: list[ForwardedAsk] = []
        askers: dict[str, list[int]] = {}
        for item in estate.halves:
            half = self._make_half(peer, item)
            if half is not None:
                halves.append(half)
                askers.setdefault(half.asker, []).append(half.ask)
        ids = {half.id for half in halves}
        waiting = read_waiting(estate, ids.__contains__)
        if was_here:
            self._append(peer, halves, waiting)
        else:
            peer.outbound.inherit(halves, waiting)
        peer.requests.inherit(read_answers(estate), read_requests(estate))
        self._answers.end_lost([peer])
        self._holder.homes.bring_engagements(peer, estate.engagements)
        self._holder.homes.unpack(peer, estate.services)
        for asker, asks in askers.items():
            # The former owner knows it: these come after its estate.
            if asker != node and not self._exchange.is_own(asker):
                self._send(asker, Inherited(asks))

    def _make_half(self, peer: Peer, item: Any) -> ForwardedAsk | None:
        """Return the owner's half of a request; ``None`` when it has ended meanwhile."""
        exchange = self._exchange
        sender, kind = item.sender, KINDS.get(item.kind, item.kind)
        arguments = (exchange, item.asker, item.ask, item.id, peer, item.payload, sender, kind)
        if exchange.is_own(item.asker):
            ask: Any = exchange.asks.get(item.ask)
            if ask is None:
                return None
            ask.node = self._node
            half: ForwardedAsk = OwnAsk(ask.transaction, *arguments)
        elif exchange.is_gone(item.asker):
            return None
        else:
            half = ForwardedAsk(*arguments)
        half.engagement = item.engagement
        half.set_account()
        exchange.halves[half.asker, half.ask] = half
        return half

    def _append(self, peer: Peer, halves: list[ForwardedAsk], waiting: Any) -> None:
        """Send what has come to another node while the peer was here."""
        by_id = {half.id: half for half in halves}
        for payload, id in waiting:
            if id is None:
                peer.outbound.transmit(payload)
            else:
                half = by_id[id]
                peer.outbound.forward(half, half.kind)

    def _disown(self, estate: Estate) -> None:
        """Answer the requests of an estate that nobody takes."""
        for half in estate.halves:
            self._exchange.end_half(half.asker, half.ask, 410, "peer offline")

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
            self._send_estate(node, self._hand_over(expected.peer, node, item))
            self._conclude(expected, ELSEWHERE)
            return
        peer = self._get(device, item.token)
        if peer is not None:
            self._send_estate(node, self._hand_over(peer, node, item))
        elif self._may_be_given(device):
            # It may have been given to this node just now.
            self._early[device] = node, item
            self._scheduler.call_later(EARLINESS, self._refuse_early, device, item)
        else:
            self._refuse(node, device, item)

    def _refuse(self, node: str, device: tuple[str, str], item: HandOver) -> None:
        is_told = self._holder.has_told(*device, item.token)
        self._send_estate(node, Estate(*device, item.token, False, is_told=is_told))

    def _send_estate(self, node: str, estate: Estate) -> None:
        """Send an estate, with what the site has not been told yet."""
        estate.telling = self._holder.order.mark(estate.username)
        self._send(node, estate)

    def _may_be_given(self, device: tuple[str, str]) -> bool:
        holder = self._holder
        return (
            holder.get_local(*device) is None
            and not holder.is_leaving(*device)
            and self._find_new_owner(*device) is None
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
            estate = self._export(peer, node, item.token, item.new_token, True)
            if estate is not None:
                return estate
        self._moves.end(peer)
        return Estate(*device, item.token, False)

    def _export(
        self, peer: Peer, node: str, token: int, new_token: int, retires: bool
    ) -> Estate | None:
        device = peer.username, peer.uuid
        bequest = self._moves.move_out(peer, node, new_token, MAX_ESTATE, retires)
        if bequest is None:
            return None
        answers, requests = peer.requests.leave(partial(self._answers.send, peer))
        askers: dict[str, list[int]] = {}
        for half in bequest.halves:
            if isinstance(half, ForwardedAsk):
                askers.setdefault(half.asker, []).append(half.ask)
                self._exchange.halves.pop((half.asker, half.ask), None)
                self._exchange.moved.append((half.asker, half.ask))
                if isinstance(half, OwnAsk):
                    self._exchange.follow(half.ask, node)
        self._note_move(device, node)
        for asker, asks in askers.items():
            # Before this node leaves: the new owner tells it, too, but may be heard later.
            if asker != node and not self._exchange.is_own(asker):
                self._send(asker, Inherited(asks, node))
        return Estate(
            *device,
            token,
            True,
            write_waiting(bequest),
            write_halves(bequest, self._node),
            write_answers(answers),
            write_requests(requests, self._node),
            self._holder.homes.take_engagements(peer),
            None,
            self._holder.homes.pack(peer),
        )

    # Leaving the cluster ---------------------------------------------------------------------

    def give_all(self, peers: Sequence[Peer], nodes: Sequence[str]) -> None:
        """Have other nodes wait for peers that are away. Blocks, for :data:`PATIENCE` at most.

        Other nodes may claim these devices meanwhile: they are handed over as ever.
        """
        cluster, pending, done = self._exchange.cluster, set(), self._scheduler.event()
        for index, peer in enumerate(peers):
            found = self._moves.write_heir(peer)
            if found is None:
                continue
            token, heir = found
            pending.add(peer)
            node = nodes[index % len(nodes)]

            def give(
                is_given: bool,
                peer: Peer = peer,
                node: str = node,
                token: int = token,
                heir: Heir = heir,
            ) -> None:
                if is_given:
                    self._give(peer, node, token, heir)
                pending.discard(peer)
                if not pending:
                    done.set()

            cluster.give(peer.username, peer.uuid, token, node, give)
        if pending:
            done.wait(PATIENCE)

    def _give(self, peer: Peer, node: str, token: int, heir: Heir) -> None:
        """Send the estate of a peer to the node that owns the peer by now."""
        if self._holder.get_local(peer.username, peer.uuid) is not peer:
            return
        estate = self._export(peer, node, token, token, False)
        if estate is None:
            self._holder.remove(peer, POLICY_VIOLATION, "too much waits for it")
            return
        estate.heir = heir
        self._send_estate(node, estate)

    def _lose_estate(self, node: str, estate: Estate) -> None:
        """Answer the requests in an estate that has not arrived."""
        self._disown(estate)

    def _lose_hand_over(self, node: str, item: HandOver) -> None:
        device = item.username, item.uuid
        expected = self._expected.get(device)
        if expected is not None and expected.former == (node, item.token):
            self._give_up(device, expected)

    # After the move ----------------------------------------------------------------------------

    def _note_move(self, device: tuple[str, str], node: str) -> None:
        now = self._scheduler.now()
        self._moved.pop(device, None)
        self._moved[device] = node, now + FORWARDING_TIME
        while self._moved:
            oldest = next(iter(self._moved))
            if len(self._moved) <= MAX_FORWARDED and self._moved[oldest][1] > now:
                return
            del self._moved[oldest]

    def _find_new_owner(self, username: str, uuid: str) -> str | None:
        """Return the node that a peer has just been handed over to."""
        node, until = self._moved.get((username, uuid), ("", 0.0))
        return node if node and self._scheduler.now() < until else None

    def pass_on(self, item: Tell | Engage, username: str, uuid: str) -> bool:
        """Pass an item on that was sent to the former owner of a peer."""
        node = self._find_new_owner(username, uuid)
        if node is None:
            return False
        self._send(node, item)
        return True

    def keep_early(self, node: str, item: Any, username: str, uuid: str) -> bool:
        """Keep an item for a device whose handshake is in progress; ``False`` if there is none.

        The directory says already that it is here, and others have read that.
        """
        device = username, uuid
        if self._holder.get_local(*device) is not None or not self._holder.is_arriving(*device):
            return False
        kept = self._kept.setdefault(device, [])
        if len(kept) < MAX_HELD:
            kept.append((node, item))
        return True

    def deliver_early(self, username: str, uuid: str) -> None:
        """Take what was kept during a handshake."""
        for node, item in self._kept.pop((username, uuid), ()):
            self._exchange.receive(node, item)

    def _take_flush(self, node: str, item: Flush) -> None:
        """Pass a Flush on the way that the messages before it have gone, or answer it."""
        device, sender = (item.username, item.uuid), item.sender or node
        if self.keep_early(node, item, *device):
            return
        expected = self._expected.get(device)
        next_owner: str | None = None
        if expected is not None:
            # What was passed on to the former owner comes back with the estate. A Flush that has
            # been passed on is behind that already.
            next_owner = None if item.sender else expected.former[0]
        elif self._holder.get_local(*device) is None:
            next_owner = self._find_new_owner(*device)
        if next_owner is None or self._exchange.is_own(next_owner):
            self._send(sender, Flushed(item.number))
        else:
            self._send(next_owner, Flush(*device, item.number, sender))

    def pass_close_on(self, sender: str, item: Close) -> None:
        """Have the links of devices closed that have been handed over.

        The site has closed them, and the item has come here, or to the new owner, while they moved.

        :param sender: of the item; it has done so already.
        """
        devices = [(item.username, item.uuid)]
        if item.uuid is None:
            devices = [device for device in list(self._moved) if device[0] == item.username]
        for username, uuid in devices:
            assert uuid is not None
            if self._holder.get_local(username, uuid) is None:
                node = self._find_new_owner(username, uuid)
                if node is not None and node != sender:
                    close = Close(username, uuid, item.code, item.reason, born=item.born)
                    self._send(node, close)

    def _take_done(self, node: str, item: Done) -> None:
        device = item.username, item.uuid
        with self._lock:
            expected = self._expected.get(device)
            if expected is not None and not expected.was_here:
                if len(expected.held) < MAX_HELD:
                    expected.held.append((node, item))
                return
        self._answers.take(node, item, self._find_new_owner(*device))

    def _take_inherited(self, node: str, item: Inherited) -> None:
        if item.owner:
            for number in item.asks:
                # Not if it has moved on since, as its later owner has told.
                ask = self._exchange.asks.get(number)
                if ask is not None and ask.node == node and not self._exchange.is_gone(item.owner):
                    ask.node = item.owner
            return
        for number in item.asks:
            if not self._exchange.follow(number, node):
                self._send(node, Cancel(number))

    def _lose_inherited(self, node: str, item: Inherited) -> None:
        if item.owner:
            return  # the new owner hears of the end of the asker, too
        for number in item.asks:
            self._exchange.receive(node, Cancel(number))

    def node_gone(self, node: str) -> None:
        """Take note that a node is dead: there is no estate, and its handlers answer no more."""
        for device, expected in list(self._expected.items()):
            if expected.former[0] == node:
                self._give_up(device, expected)
        self._answers.node_gone(node)

    def fenced(self) -> None:
        """Take note that others have taken this node for dead."""
        self._answers.fenced()
