"""The registry: which peers are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .errors import ProtooError
from .events import Event, EventQueues
from .peers import ONLINE_ELSEWHERE, Identity, Link, Peer

if TYPE_CHECKING:
    from .response import Response
    from .scheduling import Scheduler
    from .transactions import OnResponse


class TooManyPeers(ProtooError):
    """The user has as many devices connected as ``PROTOO_MAX_PEERS_PER_USER`` allows."""

    def __init__(self, username: str, limit: int) -> None:
        super().__init__(
            f"{username} is connected from {limit} devices already, which is the limit"
        )


class Registry:
    """Which peers are there: ``{username: {uuid: Peer}}``.

    :param events: where arrivals and departures are told.
    :param call_back: runs an application's function for a response, errors reported.
    :param first_id: gives the first id of the requests to a new peer.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        events: EventQueues,
        call_back: Callable[[Peer, OnResponse, Response], None],
        first_id: Callable[[], int],
        request_timeout: float,
        max_peers_per_user: int,
    ) -> None:
        self.scheduler = scheduler
        self.call_back = call_back
        self.first_id = first_id
        self.request_timeout = request_timeout
        self._max_peers_per_user = max_peers_per_user
        self._events = events
        self._lock = scheduler.lock()
        self._users: dict[str, dict[str, Peer]] = {}

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, of a device, of both, or all of them."""
        if username is None:
            devices = [dict(devices) for devices in list(self._users.values())]
        else:
            devices = [dict(self._users.get(username, ()))]
        if uuid is None:
            return [peer for peers in devices for peer in peers.values()]
        return [peers[uuid] for peers in devices if uuid in peers]

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return one peer, or ``None``."""
        return self._users.get(username, {}).get(uuid)

    def check_room(self, identity: Identity) -> None:
        """Check that this device may join those of its user.

        :raises TooManyPeers: when it may not. A device that is there already may always.
        """
        devices = self._users.get(identity.username, {})
        if identity.uuid not in devices and len(devices) >= self._max_peers_per_user:
            raise TooManyPeers(identity.username, self._max_peers_per_user)

    def connect(
        self,
        identity: Identity,
        link: Link,
        context: Any = None,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        """Give a peer its link: a new peer, or one that this link takes over.

        :param when_reachable: called when others find the peer, before the site is told.

        :raises TooManyPeers: as :meth:`check_room`.
        """
        with self._lock:
            peer = self.get(identity.username, identity.uuid)
            if peer is not None:
                old_link, peer.link, peer.data = peer.link, link, identity.data
                peer.context = context
            else:
                self.check_room(identity)
                old_link = None
                peer = Peer(identity, self)
                peer.link, peer.context = link, context
                devices = self._users.setdefault(identity.username, {})
                devices[identity.uuid] = peer
                self._events.post(peer.username, Event("peer_online", peer))
                if len(devices) == 1:
                    self._events.post(peer.username, Event("user_online", peer.username))
        if when_reachable is not None:
            when_reachable()
        if old_link is not None:
            old_link.close(ONLINE_ELSEWHERE, "online elsewhere")
            for payload in peer.transactions.payloads():
                link.send(payload)
        try:
            self._events.drain(peer.username)
        except BaseException:
            # What ended this greenlet ended it before anybody serves the link.
            self.disconnect(peer, link)
            raise
        return peer

    def disconnect(self, peer: Peer, link: Link) -> None:
        """Take note that a link is gone; nothing happens when another took over."""
        if peer.link is link and self._take_off(peer):
            self._tell_departure(peer)

    def remove(self, peer: Peer, code: int, reason: str) -> bool:
        """Close a peer's link; ``False`` when the peer was gone already."""
        link = peer.link
        if not self._take_off(peer):
            return False
        # The link comes first: what the site does about a departure may block, and
        # whoever has been disconnected must not be served meanwhile.
        if link is not None:
            link.close(code, reason)
        # In a greenlet of its own: this one may be in the middle of a view, whose Flask
        # contexts and database session are nobody else's.
        self.scheduler.spawn(self._tell_departure, peer)
        return True

    def _take_off(self, peer: Peer) -> bool:
        with self._lock:
            devices = self._users.get(peer.username, {})
            if devices.get(peer.uuid) is not peer:
                return False
            del devices[peer.uuid]
            peer.link = None
            self._events.post(peer.username, Event("peer_offline", peer))
            if not devices:
                del self._users[peer.username]
                self._events.post(peer.username, Event("user_offline", peer.username))
        return True

    def _tell_departure(self, peer: Peer) -> None:
        peer.transactions.finish_all(410, "peer offline")
        self._events.drain(peer.username)
