"""Estates: what a device leaves behind at the node that it was connected to before."""

from __future__ import annotations

from typing import Any, Protocol

from ..cluster.items import Estate, HandOver
from ..cluster.places import Place
from ..peers.peer import Peer
from .exchange import Exchange


class Holder(Protocol):
    """The peers of this node; see :class:`.cluster_directory.ClusterDirectory`."""

    def hand_over(self, node: str, item: HandOver) -> None:
        """Give up a peer, or refuse."""

    def let_go(self, peer: Peer, node: str) -> None:
        """Turn a peer of this node into one of another."""


class Estates:
    """Asks other nodes for estates, and gives those of this one.

    :param holder: the peers of this node.
    """

    def __init__(self, exchange: Exchange, holder: Holder) -> None:
        self._exchange = exchange
        self._holder = holder
        exchange.on_item(HandOver, holder.hand_over)

    # At the new owner -----------------------------------------------------------------------

    def fetch(self, former: Place) -> Estate | None:
        """Have the former owner give up a device, and return its estate. Blocks.

        :returns: ``None`` when the former owner does not answer in time.
        """
        if self._exchange.is_own(former.node):
            return None
        self._exchange.cluster.send(
            former.node, HandOver(former.username, former.uuid, former.token)
        )
        return Estate(former.username, former.uuid, former.token, is_known=True)

    def adopt(self, peer: Peer, estate: Any) -> None:
        """Give a peer what it has left behind; its table entry is made, it has no link yet."""

    # At the former owner --------------------------------------------------------------------

    def hand_over(self, node: str, item: HandOver, peer: Peer) -> None:
        """Give up a peer: send its estate to the node that has its device now."""
        outbound = peer.outbound
        self._holder.let_go(peer, node)
        outbound.finish_all(503, "the peer has moved to another server")

    def refuse(self, node: str, item: HandOver) -> None:
        """Say that nothing is known of a device."""

    def node_gone(self, node: str) -> None:
        """Take note that a node sends no estates any more."""
