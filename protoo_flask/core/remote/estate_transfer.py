"""The transfer of an estate: everything that a peer has here becomes an item, and the reverse.

The requests of an estate have askers, which await their answers from the node of the peer. Both
owners tell them by ``Inherited`` where it is now.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..cluster.items import Cancel, Estate, Inherited
from ..cluster.places import Telling
from ..peers.peer import CONNECTED, DISCONNECTED, Peer
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
from .event_order import EventOrder
from .exchange import KINDS, Exchange
from .forwarded_ask import ForwardedAsk, OwnAsk
from .forwarding import Forwarding
from .handler_answers import HandlerAnswers
from .homes import ClusterHomes
from .moves import Moves


class EstateTransfer:
    """Gives estates up, and takes them in."""

    def __init__(
        self,
        exchange: Exchange,
        moves: Moves,
        homes: ClusterHomes,
        order: EventOrder,
        answers: HandlerAnswers,
        forwarding: Forwarding,
    ) -> None:
        self._exchange = exchange
        self._moves = moves
        self._homes = homes
        self._order = order
        self._answers = answers
        self._forwarding = forwarding
        exchange.on_item(Inherited, self._take_inherited)
        exchange.on_loss(Inherited, self._lose_inherited)
        exchange.on_loss(Estate, self._lose_estate)

    def _send(self, node: str, item: Any) -> None:
        self._exchange.cluster.send(node, item)

    # Giving up -------------------------------------------------------------------------------

    def export(
        self, peer: Peer, node: str, token: int, new_token: int, retires: bool
    ) -> Estate | None:
        """Give a peer up to another node; ``None`` when that is too much: then it stays.

        :param token: of the claim of this node.
        :param new_token: and ``retires``: see :meth:`.Moves.move_out`.
        """
        device = peer.username, peer.uuid
        is_away = peer.state is DISCONNECTED
        bequest = self._moves.move_out(peer, node, new_token, MAX_ESTATE, retires)
        if bequest is None:
            return None
        answers, requests = peer.requests.leave(partial(self._answers.send, peer))
        askers: dict[str, list[int]] = {}
        for half in bequest.halves:
            if isinstance(half, ForwardedAsk):
                askers.setdefault(half.asker, []).append(half.ask)
                self._exchange.foreign.note_move(half)
                if isinstance(half, OwnAsk):
                    self._exchange.follow(half.ask, node)
        self._forwarding.note_move(device, node)
        for asker, asks in askers.items():
            # Before this node leaves: the new owner tells it, too, but may be heard later.
            if asker != node and not self._exchange.is_own(asker):
                self._send(asker, Inherited(asks, node))
        return Estate(
            *device,
            token,
            True,
            write_waiting(bequest),
            write_halves(bequest, self._exchange.cluster.node),
            write_answers(answers),
            write_requests(requests, self._exchange.cluster.node),
            self._homes.take_engagements(peer),
            None,
            self._homes.pack(peer),
            is_away=is_away,
        )

    def send(self, node: str, estate: Estate) -> None:
        """Send an estate, with what the site has not been told yet."""
        estate.telling = self._order.mark(estate.username)
        self._send(node, estate)

    def _lose_estate(self, node: str, estate: Estate) -> None:
        """Answer the requests in an estate that has not arrived."""
        self.disown(estate)

    # Taking in -------------------------------------------------------------------------------

    def hold_events(self, node: str, estate: Estate) -> None:
        """Have the events of a user wait for those that the former owner still tells."""
        if estate.telling:
            self._order.hold(estate.username, Telling(node, estate.telling))

    def take_in(self, node: str, peer: Peer, estate: Estate, was_here: bool) -> None:
        """Give a peer of this node what it had at another one.

        :param was_here: whether this node had the peer all the time.
        """
        if not was_here and peer.link is None:
            # The former owner knows better than the directory, which may hear of it later: after a
            # "disconnect", the site has to be told "reconnect".
            peer.state = DISCONNECTED if estate.is_away else CONNECTED
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
        self._homes.bring_engagements(peer, estate.engagements)
        self._homes.unpack(peer, estate.services)
        for asker, asks in askers.items():
            # The former owner knows it: these come after its estate.
            if asker != node and not self._exchange.is_own(asker):
                self._send(asker, Inherited(asks))

    def _make_half(self, peer: Peer, item: Any) -> ForwardedAsk | None:
        """Return the owner's half of a request; ``None`` when it has ended meanwhile."""
        exchange = self._exchange
        sender, kind = item.sender, KINDS.get(item.kind, item.kind)
        arguments = (
            exchange.foreign,
            item.asker,
            item.ask,
            item.id,
            peer,
            item.payload,
            sender,
            kind,
        )
        if exchange.is_own(item.asker):
            ask: Any = exchange.asks.get(item.ask)
            if ask is None:
                return None
            ask.node = self._exchange.cluster.node
            half: ForwardedAsk = OwnAsk(ask.transaction, *arguments)
        elif exchange.is_gone(item.asker):
            return None
        else:
            half = ForwardedAsk(*arguments)
        half.engagement = item.engagement
        half.set_account()
        exchange.foreign.add(half)
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

    def disown(self, estate: Estate) -> None:
        """Answer the requests of an estate that nobody takes."""
        for half in estate.halves:
            self._exchange.foreign.end_half(half.asker, half.ask, 410, "peer offline")

    # The askers ----------------------------------------------------------------------------

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
