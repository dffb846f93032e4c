"""Answers of handlers: the way from the node where a handler runs to that which has the peer now.

A peer may move while handlers of its requests run. They go on, and their responses follow the peer
by ``Done``. The client waits without a time limit, so none of them may be lost for ever:

=======================  ==============================  =====================================
the node is              event                           then
=======================  ==============================  =====================================
that of the handler      it answers                      sent to the owner, and remembered
                         that did not arrive, or the     the owner is looked for anew
                         owner as known is dead
                         an owner compares               remembered: sent once more;
                                                         not known any more: 503
that of the peer         a response                      sent to the client
                         another node has died, or       it compares with all nodes that handle
                         frames may have been lost       requests of its peers
                         the node of the handler is      the request is answered 503
                         dead, or this one was taken
                         for dead
another one              a response                      passed on to the owner
=======================  ==============================  =====================================

A response that comes twice does no harm: the second one finds no request.
"""

from __future__ import annotations

from typing import Any, Iterable, Protocol, Sequence

from ..cluster.items import AwaitedRequest, Done
from ..peers.peer import Peer
from ..transactions.inquiry import Inquiry
from ..wire.dialect import PROTOO
from .exchange import Exchange
from .recent_answers import RecentAnswers

#: The 503 to requests whose handlers answer no more.
SERVER_LOST = "server lost"
ANSWER_LOST = "the answer was lost between servers"


class PeerFinder(Protocol):
    """The peers of this node; see :class:`.ClusterDirectory`."""

    def get_local(self, username: str, uuid: str) -> Peer | None:
        """Return a peer of this node."""

    def find_local(self) -> list[Peer]:
        """Return all peers of this node."""

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return peers of all nodes. May block."""

    @property
    def remote_peers(self) -> Any:
        """The peers of other nodes; see :class:`.RemotePeers`."""


class HandlerAnswers:
    """The answers of handlers for peers that have moved, and those to peers that have come."""

    def __init__(self, exchange: Exchange, finder: PeerFinder, scheduler: Any) -> None:
        self._exchange = exchange
        self._finder = finder
        self._scheduler = scheduler
        #: Final ones that were sent.
        self._recent: RecentAnswers[tuple[str, str, int, int], Done] = RecentAnswers()
        exchange.on_loss(Done, self._lose)
        exchange.comparison.find_awaited = self.find_awaited
        exchange.comparison.compare_awaited = self.compare

    def _send(self, node: str, item: Done) -> None:
        self._exchange.cluster.send(node, item)

    # Where the handler runs ----------------------------------------------------------------

    def send(self, peer: Peer, request: Inquiry, status: int, payload: bytes) -> None:
        """Send a response of a handler of this node to the owner of its peer."""
        assert request.id is not None
        item = Done(peer.username, peer.uuid, request.id, request.fingerprint, status, payload)
        if status >= 200:
            key = item.username, item.uuid, item.id, item.fingerprint
            self._recent.add(key, item, len(item.payload))
        # The device may be back here, or on its way back.
        node = peer.outbound.node or self._exchange.cluster.node
        if self._exchange.is_gone(node):
            self._scheduler.spawn(self._bring, item)
        else:
            self._send(node, item)

    def _lose(self, node: str, item: Done) -> None:
        """Look for the peer of a response that has not arrived: it may have moved on."""
        self._scheduler.spawn(self._bring, item, node)

    def _bring(self, item: Done, without: str | None = None) -> None:
        """Look where a peer is now, and have it answered there. May block.

        :param without: a node that it is certainly not sent to.
        """
        for peer in self._finder.find(item.username, item.uuid):
            node = peer.outbound.node
            if node is None:
                self._answer(peer, item)
            elif node != without and not self._exchange.is_gone(node):
                self._send(node, item)

    def compare(self, node: str, awaited: Sequence[AwaitedRequest]) -> None:
        """Repeat answers that another node awaits, or say that they are not known."""
        for request in awaited:
            username, uuid, id, fingerprint = request
            if self._finder.get_local(username, uuid) is not None:
                continue  # it is here again, or on its way: its estate tells
            peer = self._finder.remote_peers.get(username, uuid)
            if peer is not None and peer.requests.has_left(id, fingerprint):
                continue
            item = self._recent.get((username, uuid, id, fingerprint))
            if item is None:
                payload = PROTOO.serialize_response(503, ANSWER_LOST, id, {})
                item = Done(username, uuid, id, fingerprint, 503, payload)
            self._send(node, item)

    # Where the peer is -----------------------------------------------------------------------

    def take(self, node: str, item: Done, owner: str | None) -> None:
        """Take a response.

        :param owner: the node that the peer has just been handed over to, if it was here.
        """
        peer = self._finder.get_local(item.username, item.uuid)
        if peer is not None:
            self._answer(peer, item)
            return
        if owner is None:
            known = self._finder.remote_peers.get(item.username, item.uuid)
            owner = None if known is None else known.outbound.node
        if owner is None or owner == node or self._exchange.is_gone(owner):
            self._scheduler.spawn(self._bring, item)
        else:
            self._send(owner, item)

    def _answer(self, peer: Peer, item: Done) -> None:
        peer.requests.respond_for(item.id, item.fingerprint, item.status, item.payload)

    def find_awaited(self, node: str) -> list[AwaitedRequest]:
        """Return the requests of local peers that handlers of a node answer."""
        return [
            AwaitedRequest(peer.username, peer.uuid, request.id, request.fingerprint)
            for peer in self._finder.find_local()
            for request in peer.requests.handled_elsewhere()
            if request.node == node and request.id is not None
        ]

    def end_lost(self, peers: Iterable[Peer]) -> None:
        """Answer the requests of local peers whose handlers are at nodes that are dead."""
        for peer in peers:
            for node in {request.node for request in peer.requests.handled_elsewhere()}:
                if self._exchange.is_gone(node):
                    peer.requests.end_for(node, 503, SERVER_LOST)

    def node_gone(self, node: str) -> None:
        """Take note that a node is dead: it handles nothing, and passes nothing on any more."""
        peers = self._finder.find_local()
        self.end_lost(peers)
        others = {request.node for peer in peers for request in peer.requests.handled_elsewhere()}
        for other in others:
            self._exchange.may_have_lost(other)

    def fenced(self) -> None:
        """Take note that others have taken this node for dead: none of them finds it any more."""
        for peer in self._finder.find_local():
            for node in {request.node for request in peer.requests.handled_elsewhere()}:
                peer.requests.end_for(node, 503, SERVER_LOST)
