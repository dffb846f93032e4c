"""Following: the functions that ``peer.on()`` was given, for peers of other nodes.

The events of such a peer are told to the site elsewhere. Here, its place in the directory is
watched, and the functions are called when it changes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..cluster.places import Place, User
from ..cluster.protocol import Cluster, Watcher
from ..events import EventQueues, SiteEvent
from ..peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Peer
from ..runtime import Runtime
from .remote_peers import RemotePeers

#: {(state before, state now): the event}
EVENTS = {
    (CONNECTED, DISCONNECTED): "peer_disconnect",
    (DISCONNECTED, CONNECTED): "peer_reconnect",
    (CONNECTED, OFFLINE): "peer_offline",
    (DISCONNECTED, OFFLINE): "peer_offline",
}


class Following:
    """The peers of other nodes that have listeners of their own."""

    def __init__(self, cluster: Cluster, runtime: Runtime, peers: RemotePeers) -> None:
        self._cluster = cluster
        self._runtime = runtime
        self._peers = peers
        self._lock = runtime.scheduler.lock()
        #: {username: {peer: the state that its functions know}}. They keep the peers alive.
        self._followed: dict[str, dict[Peer, str]] = {}
        self._watchers: dict[str, Watcher] = {}
        self._events = EventQueues(self._tell, runtime.scheduler.lock())

    def __len__(self) -> int:
        return len(self._followed)

    def add(self, peer: Peer) -> None:
        """Follow a peer; a second time does no harm."""
        if peer.state is OFFLINE:
            return
        with self._lock:
            self._followed.setdefault(peer.username, {}).setdefault(peer, peer.state)
            if peer.username in self._watchers:
                return
            watcher = self._watchers[peer.username] = partial(self._look, peer.username)
        self._cluster.watch(peer.username, watcher)

    def remove(self, peer: Peer) -> None:
        """Follow a peer no longer: it is one of this node, or its last event is told here."""
        username = peer.username
        with self._lock:
            peers = self._followed.get(username)
            if peers is None or peers.pop(peer, None) is None or peers:
                return
            del self._followed[username]
            watcher = self._watchers.pop(username)
        self._cluster.unwatch(username, watcher)

    def lose(self, peer: Peer) -> None:
        """Take note that a peer is offline, and that its last event is told here, or was."""
        self.remove(peer)
        self._peers.lose(peer)

    def _look(self, username: str, user: User) -> None:
        """Compare the places of a user with what was told."""
        self._compare(username, {place.uuid: place for place in user.places})

    def _compare(self, username: str, places: dict[str, Place]) -> None:
        for peer, known in list(self._followed.get(username, {}).items()):
            if peer.outbound.node is None:
                continue
            place = places.get(peer.uuid)
            outbound: Any = peer.outbound
            if place is not None and place.born == outbound.place.born:
                self._peers.of(place)
            else:
                self._peers.lose(peer)
            self._note(peer, known)

    def _note(self, peer: Peer, known: str) -> None:
        name = EVENTS.get((known, peer.state))
        if name is None:
            return
        with self._lock:
            peers = self._followed.get(peer.username, {})
            if peers.get(peer) is not known:
                return
            peers[peer] = peer.state
        self._events.post(peer.username, SiteEvent(name, peer))
        if peer.state is OFFLINE:
            self.remove(peer)
        self._runtime.scheduler.spawn(self._events.drain, peer.username)

    def _tell(self, event: SiteEvent) -> None:
        peer: Peer = event.subject
        listeners = peer.listeners(event.name)
        if event.name == "peer_offline":
            peer.forget_listeners()
        for function in listeners:
            self._runtime.call_back(peer, function, peer)
