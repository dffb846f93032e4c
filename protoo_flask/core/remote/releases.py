"""Releases: devices of this node that have gone, until the cluster says what that means.

========================  =====================================================================
outcome of a release      then
========================  =====================================================================
was mine                  "offline" is told, and for the last device of the user "user_offline"
was not mine              nothing is told: another node has taken the device
none: the directory is    told by what was last known. The directory may have the device still:
away                      a claim of it finds out that it was told
========================  =====================================================================
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any, Callable

from ..cluster.places import Place, Release
from ..cluster.protocol import Cluster
from ..events import Condition, EventQueues, SiteEvent
from ..peers.local_directory import Departure
from ..peers.peer import Peer
from ..scheduling import Event, Scheduler
from .event_order import EventOrder
from .following import Following
from .owned_devices import OwnedDevices
from .ownership import Ownership
from .remote_peers import RemotePeers

#: Devices of which is remembered that they were told to be offline, but not to the directory.
MAX_TOLD = 10_000


class Releases:
    """The devices that this node releases, and the events that follow.

    :param lock: of the directory.
    """

    def __init__(
        self,
        cluster: Cluster,
        scheduler: Scheduler,
        events: EventQueues,
        owned: OwnedDevices,
        order: EventOrder,
        following: Following,
        remote_peers: RemotePeers,
        lock: Any,
    ) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._events = events
        self._owned = owned
        self._order = order
        self._following = following
        self._remote_peers = remote_peers
        self._lock = lock
        #: {(username, uuid): how many releases have no outcome yet}
        self.leaving: dict[tuple[str, str], int] = {}
        #: {(username, uuid): the token of a claim}, of peers that are offline. The directory was
        #: away then, and may still have them; the latest of them.
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        #: Set when these have their outcomes, as this node leaves.
        self._all_released: Event | None = None

    def is_leaving(self, username: str, uuid: str) -> bool:
        """Whether this node has just taken a device off."""
        return (username, uuid) in self.leaving

    def has_told(self, username: str, uuid: str, token: int) -> bool:
        """Whether the site was told that the peer of a claim is offline, but not the directory."""
        return self._told.get((username, uuid)) == token

    def expect_all(self) -> Event:
        """Return an event that is set when the releases from now on have their outcomes."""
        self._all_released = self._scheduler.event()
        return self._all_released

    def release_peer(self, peer: Peer, is_last_here: bool) -> Departure:
        """Release the device of a peer that has gone.

        :param is_last_here: whether its user has no other device at this node.
        """
        device = peer.username, peer.uuid
        owned = self._owned.pop(*device)
        if owned is not None and owned.gave_way:
            self._owned.give_back(*device, owned.token)
            return Departure(may_be_last=False)
        if owned is None or not owned.token:
            return Departure(is_last_here and not self._owned.are_elsewhere(peer.username))
        return self.release(*device, owned, is_last_here)

    def release(
        self,
        username: str,
        uuid: str,
        owned: Ownership,
        is_last_here: bool = False,
        then: Callable[[], None] | None = None,
    ) -> Departure:
        """Release a claim; its outcome decides about the events.

        :param then: called when there is an outcome.
        """
        if_mine, if_last = Condition(), Condition()
        device, number = (username, uuid), self._order.begin(username)
        with self._lock:
            self.leaving[device] = self.leaving.get(device, 0) + 1

        def allow(is_last: bool) -> None:
            if_mine.holds, if_last.holds = True, is_last
            self._scheduler.spawn(self._events.drain, username)

        def take(outcome: Release | None) -> None:
            with self._lock:
                self.leaving[device] -= 1
                if not self.leaving[device]:
                    del self.leaving[device]
            if outcome is None:
                self._note_told(device, owned.token)
                if_mine.holds = True
                if_last.holds = is_last_here and not self._owned.are_elsewhere(username)
            elif outcome.was_mine:
                self._order.wait(outcome.telling, partial(allow, outcome.is_last))
            else:
                if_mine.holds = if_last.holds = False
            if then is not None:
                then()
            # Not here: listeners may block, and outcomes of other users are behind this one.
            self._scheduler.spawn(self._events.drain, username)
            if self._all_released is not None and not self.leaving:
                self._all_released.set()

        self._cluster.release(username, uuid, owned.token, take, number)
        return Departure(True, if_mine, if_last, partial(self._order.end, number))

    def _note_told(self, device: tuple[str, str], token: int) -> None:
        self._told[device] = token
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    def tell_offline(self, peer: Peer, departure: Departure) -> None:
        """Tell the site that a peer is offline which is not one of this node any more."""
        self._following.lose(peer)
        username = peer.username
        events = [SiteEvent("peer_offline", peer, departure.if_mine)]
        if departure.may_be_last:
            events.append(SiteEvent("user_offline", username, departure.if_last))
        events[-1] = events[-1]._replace(then=departure.then)
        self._events.post(username, *events)
        self._scheduler.spawn(self._events.drain, username)

    def bury(self, former: Place, owned: Ownership, is_told: bool) -> bool:
        """Tell that a peer is offline whose former owner knows nothing of it. Blocks.

        :param owned: this node's claim of the device, which is released for that.
        :param is_told: whether that was told already.
        :returns: ``False`` when another node has claimed the device since: that node tells it.
        """
        username, uuid = former.username, former.uuid
        with self._lock:
            if self._owned.get(username, uuid) is owned:
                self._owned.pop(username, uuid)
            done = self._scheduler.event()
            departure = self.release(username, uuid, owned, then=done.set)
            peer = self._remote_peers.take_out(username, uuid, former.born)
        if peer is None:
            peer = self._remote_peers.of(former)
        if is_told:
            self._following.lose(peer)
            if departure.then is not None:
                departure.then()
        else:
            self.tell_offline(peer, departure)
        done.wait()
        return departure.if_mine is None or departure.if_mine.holds is not False
