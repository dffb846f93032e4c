"""The search for peers at all nodes: those of this node, and those that the directory names.

It may block, unless it says otherwise. Without the directory, it finds the peers last known.
"""

from __future__ import annotations

from typing import Any

from ..cluster.places import Place
from ..cluster.protocol import UP, Cluster, ClusterAway
from ..peers.local_directory import LocalDirectory
from ..peers.peer import OFFLINE, Peer
from ..scheduling import Scheduler
from .awaited_gifts import AwaitedGifts
from .remote_peers import RemotePeers

#: Later than every birth: of a device that the directory does not know yet.
_UNKNOWN = 1 << 62


class PeerSearch:
    """Finds the peers of all nodes.

    :ivar awaited: ``{(username, uuid): peer}`` that this node has claimed, and that are still
        remote ones.
    """

    def __init__(
        self,
        peers: LocalDirectory,
        cluster: Cluster,
        scheduler: Scheduler,
        remote_peers: RemotePeers,
        gifts: AwaitedGifts,
    ) -> None:
        self._peers = peers
        self._cluster = cluster
        self._scheduler = scheduler
        self._remote_peers = remote_peers
        self._gifts = gifts
        self.awaited: dict[tuple[str, str], Peer] = {}
        #: The users about whom the directory is being asked because somebody has looked.
        self._looking: set[str] = set()

    def find(self, username: str | None, uuid: str | None) -> list[Peer]:
        """Return the peers of a user, of a device, of both, or all of them."""
        return self._find_at(self.find_places(username), username, uuid)

    def find_for_certain(self, username: str) -> list[Peer] | None:
        """Return all peers of a user; ``None`` when the directory cannot tell."""
        cluster = self._cluster
        if cluster.status != UP:
            return None
        places = cluster.look(username)
        if places is None:
            try:
                places = cluster.find(username)
            except ClusterAway:
                return None
        for place in places:
            if place.node == cluster.node and self._gifts.is_awaited(username, place.uuid):
                return None
        return self._find_at(places, username, None)

    def find_places(self, username: str | None) -> list[Place]:
        """Return what the directory knows of a user, or of all; or what was last known."""
        cluster = self._cluster
        places = None if username is None else cluster.look(username)
        if places is None:
            try:
                places = cluster.find(username)
            except ClusterAway:
                places = []
        return places

    def _find_at(self, places: list[Place], username: str | None, uuid: str | None) -> list[Peer]:
        """Return local peers, and those at these places."""
        here = self._peers.find_local(username, uuid)
        node, get_local, peer_of = self._cluster.node, self._peers.get_local, self._remote_peers.of
        found = here + [
            peer_of(place)
            for place in places
            # The owner is the truth: a peer that is here is told of, whatever a place says.
            if place.node != node
            and (uuid is None or place.uuid == uuid)
            and get_local(place.username, place.uuid) is None
        ]
        if self.awaited:
            found += [
                peer
                for peer in list(self.awaited.values())
                if username in (None, peer.username)
                and uuid in (None, peer.uuid)
                and peer not in found
            ]
        if username is not None and here and len(found) > 1:
            # In the order in which they came online, as in one process.
            order = {place.uuid: place.born for place in places}
            found.sort(key=lambda peer: order.get(peer.uuid, _UNKNOWN))
        return found

    # Peers of other nodes that are known ----------------------------------------------------

    def refresh(self, peer: Peer) -> None:
        """Take note of what is known about a peer. Never blocks."""
        if peer.state is OFFLINE:
            return
        if self._scheduler.is_foreign():
            # It does not wait for the owner of the state, which may be waiting for it.
            self._scheduler.hand_over(self._refresh, peer)
        else:
            self._refresh(peer)

    def _refresh(self, peer: Peer) -> None:
        outbound: Any = peer.outbound
        if outbound.node is None:
            return
        places = self._cluster.look(peer.username)
        if places is None:
            # It has changed since the last question. The next look gets the truth.
            if peer.username not in self._looking:
                self._looking.add(peer.username)
                self._scheduler.spawn(self._look_again, peer)
            return
        self._compare(peer, places)

    def _look_again(self, peer: Peer) -> None:
        try:
            places = self._cluster.find(peer.username)
        except ClusterAway:
            return
        finally:
            self._looking.discard(peer.username)
        self._compare(peer, places)

    def _compare(self, peer: Peer, places: list[Place]) -> None:
        """Take note of what the directory says of a peer of another node."""
        outbound: Any = peer.outbound
        if outbound.node is None:
            return
        for place in places:
            if place.uuid == peer.uuid:
                if place is not outbound.place and place.node != self._cluster.node:
                    self._remote_peers.of(place)  # a later incarnation takes it off
                return
        if self._cluster.status == UP:
            self._remote_peers.lose(peer)
