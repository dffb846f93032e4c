"""Peers of other nodes, as this one knows them: one ``Peer`` for each device, weakly held.

The state of a peer is updated from its place in the directory when code looks at it. Another
``born`` is another peer: the one before is offline.
"""

from __future__ import annotations

from typing import Any, Callable
from weakref import WeakValueDictionary

from ..cluster.places import Place
from ..link import Context
from ..peers.directory import Directory, Identity
from ..peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Peer
from ..runtime import Runtime
from ..wire.dialect import PROTOO
from .outbound import Carrier, RemoteOutbound, SharedRemoteOutbound
from .texts import parse_peer_data

#: Peers that are held although nobody else does. Each takes some 2500 bytes, and 4 us to be made.
MAX_HELD = 1000

#: Makes the contexts of a peer elsewhere, from those that it had here.
MakeContext = Callable[[Peer, "Context | None"], Context]


class RemotePeers:
    """The peers of other nodes.

    :param lock: held while a peer is made or changed.
    :param moved: called as ``moved(peer, node)`` when a peer is at another node than before, with
        that one; must not block.
    """

    def __init__(
        self,
        runtime: Runtime,
        directory: Directory[Peer],
        carrier: Carrier,
        make_context: MakeContext,
        lock: Any,
        moved: Callable[[Peer, str], None],
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._carrier = carrier
        self._make_context = make_context
        self._lock = lock
        self._moved = moved
        self._peers: WeakValueDictionary[tuple[str, str], Peer] = WeakValueDictionary()
        #: Those that were made last. Most messages go to a peer that has got one a moment ago.
        self._recent: dict[tuple[str, str], Peer] = {}

    def of(self, place: Place) -> Peer:
        """Return the peer of a place, in the state that the place says."""
        peer = self._recent.get(place[:2])
        if peer is not None and peer.outbound.place is place:  # type: ignore[attr-defined]
            return peer
        # A foreign thread must not make a second peer for the device.
        return self._runtime.scheduler.call(self._bring, place)

    def _bring(self, place: Place) -> Peer:
        with self._lock:
            peer = self.known(place)
            if peer is None:
                peer = self._make(place)
            else:
                self._update(peer, place)
            return peer

    def known(self, place: Place) -> Peer | None:
        """Return the peer of a place, if there is one; a peer before it goes offline."""
        peer = self._peers.get(place[:2])
        if peer is None:
            return None
        if peer.outbound.place.born == place.born:  # type: ignore[attr-defined]
            return peer
        self.lose(peer)
        return None

    def _make(self, place: Place) -> Peer:
        identity = Identity(place.username, place.uuid, parse_peer_data(place.data))
        peer = Peer(identity, self._runtime, self._directory, PROTOO)
        self.add(peer, place)
        return peer

    def make_outbound(self, peer: Peer, place: Place) -> RemoteOutbound:
        """Return the way to a peer at another node."""
        kind = SharedRemoteOutbound if self._runtime.scheduler.preempts else RemoteOutbound
        return kind(peer, self._runtime, self._carrier, place)

    def add(
        self,
        peer: Peer,
        place: Place,
        former: Context | None = None,
        outbound: RemoteOutbound | None = None,
    ) -> None:
        """Have a peer belong to another node.

        :param former: its contexts, if it was here.
        :param outbound: the way to it, if that is made already.
        """
        if outbound is None:
            outbound = self.make_outbound(peer, place)
        peer.become_remote(outbound, self._make_context(peer, former))
        peer.state = CONNECTED if place.online else DISCONNECTED
        key = place[:2]
        self._peers[key] = self._recent[key] = peer
        if len(self._recent) > MAX_HELD:
            del self._recent[next(iter(self._recent))]

    def _update(self, peer: Peer, place: Place) -> None:
        outbound: Any = peer.outbound
        known: Place = outbound.place
        if known.token > place.token:
            return  # older news
        outbound.place = place
        peer.state = CONNECTED if place.online else DISCONNECTED
        if known.data != place.data:
            peer.data = parse_peer_data(place.data)
        if known.node != place.node:
            outbound.node = place.node
            self._moved(peer, known.node)

    def take_out(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return a peer that becomes one of this node, and forget it here."""
        peer = self._peers.pop((username, uuid), None)
        self._recent.pop((username, uuid), None)
        if peer is None:
            return None
        if peer.outbound.place.born != born:  # type: ignore[attr-defined]
            peer.state = OFFLINE
            return None
        return peer

    def lose(self, peer: Peer) -> None:
        """Take note that a peer is offline."""
        peer.state = OFFLINE
        key = peer.username, peer.uuid
        if self._peers.get(key) is peer:
            # Another thread may do so, too.
            self._peers.pop(key, None)
            self._recent.pop(key, None)

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return the peer of a device, if it is known."""
        return self._peers.get((username, uuid))
