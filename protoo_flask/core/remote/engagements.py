"""Engagements: which peers are in which calls and rooms, as their owners and homes know it.

==============  ===========================================================================
table           content
==============  ===========================================================================
``_engaged``    of a local peer, ``{service: {key: home}}``: the calls and rooms that it is in
``_guests``     ``{peer: {(service, key)}}``: the peers that are in something at home here
==============  ===========================================================================

The home is right, and tells the owner of each peer (``Engage``). A guest may move to another node.
Its new owner learns of its engagements by the estate; and once more from its homes, as soon as they
see the move. When items may have been lost, owner and home compare (:mod:`.comparison`).
"""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence
from weakref import WeakKeyDictionary

from ..cluster.items import Engage, Engaged
from ..cluster.protocol import AWAY
from ..peers.peer import Peer
from ..scheduling import Scheduler
from .exchange import Exchange


class Owners(Protocol):
    """The peers of this node and others; see :class:`.ClusterDirectory`."""

    def get_incarnation(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return the peer of a device of this node, unless it was born at another time."""

    def born(self, peer: Peer) -> int:
        """Return ``Place.born`` of a peer; 0: not known, -1: it is another one by now."""


class Engagements:
    """The two tables, and the items between owners and homes.

    :param lose_home: ``lose_home(peer, service, key)``: tells a local peer that a home is gone.
    """

    def __init__(
        self,
        exchange: Exchange,
        scheduler: Scheduler,
        owners: Owners,
        lose_home: Callable[[Peer, str, str], Any],
    ) -> None:
        self._exchange = exchange
        self._owners = owners
        self._lose_home = lose_home
        self._lock = scheduler.lock()
        self._engaged: WeakKeyDictionary[Peer, dict[str, dict[str, str]]] = WeakKeyDictionary()
        self._guests: WeakKeyDictionary[Peer, set[tuple[str, str]]] = WeakKeyDictionary()
        exchange.on_item(Engage, self._take)
        exchange.comparison.find_engaged = self.find_at
        exchange.comparison.compare_engaged = self.compare

    @property
    def tables(self) -> dict[str, Any]:
        """The tables, which are empty when every peer has gone."""
        return {"engagements": self._engaged, "guests": self._guests}

    # Of what is at home here --------------------------------------------------------------

    def engage(self, peer: Peer, service: str, key: str) -> None:
        """See ``Homes.engage``."""
        with self._lock:
            self._guests.setdefault(peer, set()).add((service, key))
        self._tell_owner(peer, service, key, True)

    def disengage(self, peer: Peer, service: str, key: str) -> None:
        """See ``Homes.disengage``."""
        with self._lock:
            keys = self._guests.get(peer, set())
            keys.discard((service, key))
            if not keys:
                self._guests.pop(peer, None)
        self._tell_owner(peer, service, key, False)

    def tell_new_owner(self, peer: Peer) -> None:
        """Tell the new owner of a peer what it is in."""
        with self._lock:
            keys = list(self._guests.get(peer, ()))
        for service, key in keys:
            self._tell_owner(peer, service, key, True)

    def _tell_owner(self, peer: Peer, service: str, key: str, is_in: bool) -> None:
        node, cluster = peer.outbound.node, self._exchange.cluster
        if node is None:
            self.note(peer, service, key, cluster.node, is_in)
        elif cluster.status != AWAY and not self._exchange.is_gone(node):
            born = self._owners.born(peer)
            item = Engage(peer.username, peer.uuid, service, key, is_in, born=born)
            cluster.send(node, item)

    def find_guests(self) -> list[tuple[Peer, str, str]]:
        """Return ``(peer, service, key)`` of everything at home here."""
        with self._lock:
            return [
                (peer, service, key)
                for peer, keys in list(self._guests.items())
                for service, key in keys
            ]

    def compare(self, node: str, engaged: Sequence[Engaged]) -> None:
        """Tell an owner where what it knows of its peers is wrong.

        :param engaged: in what its peers are here, as it believes.
        """
        guests = self.find_guests()
        known = {(peer.username, peer.uuid, service, key) for peer, service, key in guests}
        believed = {found[:4] for found in engaged}
        for username, uuid, service, key, born in engaged:
            if (username, uuid, service, key) not in known:
                item = Engage(username, uuid, service, key, False, born=born)
                self._exchange.cluster.send(node, item)
        for peer, service, key in guests:
            missing = (peer.username, peer.uuid, service, key) not in believed
            if missing and peer.outbound.node == node:
                self._tell_owner(peer, service, key, True)

    # Of local peers -----------------------------------------------------------------------

    def _take(self, node: str, item: Engage) -> None:
        peer = self._owners.get_incarnation(item.username, item.uuid, item.born)
        if peer is not None:
            home = node if item.home is None else item.home
            if item.is_in:
                self._bring(peer, item.service, item.key, home)
            else:
                self.note(peer, item.service, item.key, home, False)
                self._exchange.forget_news(peer, item.service, item.key)
        elif self._exchange.pass_on is not None:
            item.home = node if item.home is None else item.home
            self._exchange.pass_on(item, item.username, item.uuid)

    def note(self, peer: Peer, service: str, key: str, home: str, is_in: bool) -> None:
        """Take note of an engagement of a local peer, or of its end."""
        with self._lock:
            services = self._engaged.setdefault(peer, {})
            homes = services.setdefault(service, {})
            if is_in:
                homes[key] = home
            else:
                homes.pop(key, None)
            if not homes:
                del services[service]
            if not services:
                del self._engaged[peer]

    def of(self, peer: Peer, service: str) -> dict[str, str]:
        """Return ``{key: home}`` of a local peer."""
        with self._lock:
            return dict(self._engaged.get(peer, {}).get(service, {}))

    def list_engaged(self) -> list[Peer]:
        """Return the local peers that are in something."""
        with self._lock:
            return list(self._engaged)

    def find_at(self, node: str) -> list[Engaged]:
        """Return in what local peers are at home at a node."""
        return [
            Engaged(peer.username, peer.uuid, service, key, self._owners.born(peer))
            for peer, service, key in self.find_homed_at(node)
        ]

    def find_homed_at(self, node: str) -> list[tuple[Peer, str, str]]:
        """Return ``(peer, service, key)`` of local peers in something at home at a node."""
        with self._lock:
            return [
                (peer, service, key)
                for peer, services in list(self._engaged.items())
                for service, homes in services.items()
                for key, home in homes.items()
                if home == node
            ]

    def take(self, peer: Peer) -> list[tuple[str, str, str]]:
        """Return ``(service, key, home)`` of a peer that leaves this node, and forget it."""
        with self._lock:
            services = self._engaged.pop(peer, {})
        return [
            (service, key, home)
            for service, homes in services.items()
            for key, home in homes.items()
        ]

    def bring(self, peer: Peer, found: Sequence[tuple[str, str, str]]) -> None:
        """Take note of those of a peer that has moved here."""
        for service, key, home in found:
            self._bring(peer, service, key, home)

    def _bring(self, peer: Peer, service: str, key: str, home: str) -> None:
        """Take note of what comes by another node: the home may have died meanwhile."""
        if self._exchange.is_gone(home):
            self._lose_home(peer, service, key)
        else:
            self.note(peer, service, key, home, True)
