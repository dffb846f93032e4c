"""Parting gifts: as this node leaves the cluster, others are given its peers that are away."""

from __future__ import annotations

from typing import Sequence

from ..close_codes import POLICY_VIOLATION
from ..cluster.items import Heir
from ..cluster.protocol import Cluster
from ..peers.local_directory import LocalDirectory
from ..peers.peer import Peer
from ..scheduling import Scheduler
from .estate_transfer import EstateTransfer
from .moves import Moves

#: Seconds that a node which leaves waits until the directory has named the heirs.
PATIENCE = 1.0


class PartingGifts:
    """Gives the peers of this node to others."""

    def __init__(
        self,
        peers: LocalDirectory,
        cluster: Cluster,
        scheduler: Scheduler,
        moves: Moves,
        transfer: EstateTransfer,
    ) -> None:
        self._peers = peers
        self._cluster = cluster
        self._scheduler = scheduler
        self._moves = moves
        self._transfer = transfer

    def give_all(self, peers: Sequence[Peer], nodes: Sequence[str]) -> None:
        """Have other nodes wait for peers that are away. Blocks, for :data:`PATIENCE` at most.

        Other nodes may claim these devices meanwhile: they are handed over as ever.
        """
        pending, done = set(), self._scheduler.event()
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

            self._cluster.give(peer.username, peer.uuid, token, node, give)
        if pending:
            done.wait(PATIENCE)

    def _give(self, peer: Peer, node: str, token: int, heir: Heir) -> None:
        """Send the estate of a peer to the node that owns the peer by now."""
        if self._peers.get_local(peer.username, peer.uuid) is not peer:
            return
        estate = self._transfer.export(peer, node, token, token, False)
        if estate is None:
            self._peers.remove(peer, POLICY_VIOLATION, "too much waits for it")
            return
        estate.heir = heir
        self._transfer.send(node, estate)
