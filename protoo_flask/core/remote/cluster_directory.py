"""The directory of a cluster: the peers of this node, as one of many, and those of the others.

The peers of this node go through the table of :mod:`..peers.local_directory`. Before a device
connects, it is claimed, and when it has gone, it is released. The outcome of either says what the
site is told: in the whole cluster, each event is told once.

============================  =================================================================
outcome                       events at this node
============================  =================================================================
claim: new                    "online"; the first device: "user_online"
claim: taken from another     none if the device was connected, "reconnect" if it was away
release: was mine             "offline"; the last device: "user_offline"
release: was not mine         none: another node has taken the device
a burial                      "offline", maybe "user_offline", at the node that has released it
the directory is away         as in one process, with what was last known of the user
============================  =================================================================

Only :meth:`ClusterDirectory.find`, :meth:`~ClusterDirectory.get`, ``check_space``, ``let_in`` and
``disconnect`` block, and nobody holds a lock while calling them.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from functools import partial
from typing import Any, Callable, Mapping

from ..arrivals import Arrival, TurnedAway
from ..close_codes import GOING_AWAY, ONLINE_ELSEWHERE, POLICY_VIOLATION
from ..cluster.items import HandOver, Heir
from ..cluster.places import FULL, NEW, TAKEN, Claim, Place, Release, Telling
from ..cluster.protocol import SETTLING, UP, ClaimRefused, Cluster, ClusterAway
from ..errors import ProtooError, UsageError
from ..events import Condition, EventQueues, SiteEvent
from ..link import Context, Link
from ..peers.directory import Identity, NotClaimed, TooManyEvents, TooManyPeers
from ..peers.homes import HomeService
from ..peers.local_directory import Departure, LocalDirectory
from ..peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Peer
from ..runtime import Runtime
from ..scheduling import Event
from ..transactions.mailbox import Mailbox
from ..transactions.outbound import Bequest
from ..wire.dialect import PROTOO, Dialect
from .context import Contexts, KeptContext, RemoteContext
from .estates import ELSEWHERE, HERE, MAX_FORWARDED, PATIENCE, TOLD, UNKNOWN, Estates
from .event_order import EventOrder
from .exchange import Exchange
from .following import Following
from .handshake_queues import HandshakeQueues
from .homes import ClusterHomes
from .ownership import Ownership
from .remote_peers import RemotePeers
from .texts import parse_peer_data, serialize_peer_data

#: Seconds for an estate of a node that leaves. It is sent as soon as the directory names the heir.
GIFT_TIME = 5.0

#: Later than every birth: of a device that the directory does not know yet.
_UNKNOWN = 1 << 62


class _Stale(ProtooError):
    """The claim of a handshake has been released meanwhile: the device is claimed anew."""


class _Reservation:
    """The claim of a handshake in progress.

    :ivar former: the place before, if the device was at another node.
    """

    __slots__ = ("former", "owned")

    def __init__(self, owned: Ownership | None = None) -> None:
        self.owned = owned
        self.former: Place | None = None


class ClusterDirectory(LocalDirectory):
    """The peers of all nodes.

    :param cluster: the cluster, not joined yet; see :meth:`start`.
    :param describe_context: returns the handshake of the contexts of a local peer, as bytes.
    :param restore_context: makes contexts of these; of empty bytes, contexts without a handshake.
        May block, and raise.
    :param services: the middlewares whose calls or rooms have homes, by their names.
    :param owner: becomes ``req.app`` of the requests that other nodes forward.
    """

    def __init__(
        self,
        runtime: Runtime,
        events: EventQueues,
        cluster: Cluster,
        *,
        describe_context: Callable[[Any], bytes],
        restore_context: Callable[[bytes], Context],
        services: Mapping[str, HomeService] | None = None,
        owner: Any = None,
    ) -> None:
        super().__init__(runtime, events)
        # Random: the ids of its requests are not those of other nodes.
        runtime.ids = itertools.count(runtime.first_id() - 1)
        self.cluster = cluster
        self._contexts = Contexts(describe_context, restore_context)
        #: {(username, uuid): what this node has claimed}
        self._owned: dict[tuple[str, str], Ownership] = {}
        #: {(username, uuid): how many releases have no outcome yet}
        self._leaving: dict[tuple[str, str], int] = {}
        #: {(username, uuid): when it was first seen that a node which leaves has given it to this
        #: one}, until it is here. An estate is lost at most when a node dies as it leaves.
        self._gifts: dict[tuple[str, str], float] = {}
        #: {(username, uuid): the token of a claim}, of peers that are offline. The directory was
        #: away then, and may still have them; the latest of them.
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        #: Set when these have their outcomes, as this node leaves.
        self._all_released: Event | None = None
        #: The users about whom the directory is being asked because somebody has looked.
        self._looking: set[str] = set()
        #: Peers that this node has claimed, and that are still remote ones.
        self._awaited: dict[tuple[str, str], Peer] = {}
        self._handshakes = HandshakeQueues(runtime.scheduler)
        self.exchange = Exchange(cluster, runtime, self)
        self.remote_peers = RemotePeers(
            runtime, self, self.exchange, self._make_context, self._lock, self._moved
        )
        self.following = Following(cluster, runtime, self.remote_peers)
        self.homes = ClusterHomes(
            self.exchange, runtime, self, {} if services is None else services, owner
        )
        self.order = EventOrder(self.exchange, events, runtime.scheduler)
        self.estates = Estates(self.exchange, self, runtime.scheduler)
        self.exchange.on_item(HandOver, self._take_hand_over)

    @property
    def host(self) -> Exchange:
        """What the cluster calls."""
        return self.exchange

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when every peer has gone: for tests, and for metrics."""
        return {
            "users": self._users,
            "departed": self._departed,
            "owned": self._owned,
            "leaving": self._leaving,
            "followed": self.following,
            "handshakes": self._handshakes,
            **self.order.tables,
            **self.homes.tables,
        }

    def start(self) -> None:
        self.cluster.start(self.exchange)

    def close_links(self, code: int, reason: str) -> None:
        if not self._can_give:
            super().close_links(code, reason)
            return
        for peer in LocalDirectory.find(self):
            self._let_wait(peer, code, reason)

    @property
    def _can_give(self) -> bool:
        """Whether other nodes can wait for the peers of this one."""
        if not self._runtime.time_limits.grace_period or self.cluster.status != UP:
            return False
        return bool(self.cluster.others())

    def _let_wait(self, peer: Peer, code: int, reason: str) -> None:
        """Close the link of a peer, which may come back to another node."""
        with self._lock:
            link = peer.outbound.link
            if link is None or peer.outbound.node is not None:
                return
            # What it has not sent goes along.
            link.retire(code, reason)
            if not self._wait_for(peer, self._runtime.time_limits.grace_period):
                self._take_off(peer, "leave")
        self._runtime.scheduler.spawn(self.tell, peer)

    def close(self) -> None:
        if self._can_give:
            self.close_links(GOING_AWAY, "shutting down")
            self.estates.give_all(LocalDirectory.find(self), self.cluster.others())
            self._take_off_rest()
        self.cluster.close()

    def _take_off_rest(self) -> None:
        """Take the peers off that no other node has taken in time, and tell so. Blocks."""
        # Without an event, others would see them come online once more.
        rest = LocalDirectory.find(self)
        if not rest:
            return
        done = self._all_released = self._runtime.scheduler.event()
        for peer in rest:
            self.remove(peer, GOING_AWAY, "shutting down")
        done.wait(PATIENCE)

    # Finding -------------------------------------------------------------------------

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        return self._find_at(self._find_places(username), username, uuid)

    def find_for_certain(self, username: str) -> list[Peer] | None:
        """Return all peers of a user; ``None`` when the directory cannot tell. May block."""
        if self.cluster.status != UP:
            return None
        places = self.cluster.look(username)
        if places is None:
            try:
                places = self.cluster.find(username)
            except ClusterAway:
                return None
        if any(self._is_awaited(place) for place in places):
            return None
        return self._find_at(places, username, None)

    def _is_awaited(self, place: Place) -> bool:
        """Whether a node that leaves has given a peer to this one, and its estate is on its way.

        Such a peer is not gone: its device may be back at any node.
        """
        device = place.username, place.uuid
        if place.node != self.cluster.node or self.get_local(*device) is not None:
            return False
        scheduler = self._runtime.scheduler
        with self._lock:
            if device in self._owned or device in self._leaving:
                return False  # it was here, and its release is on its way
            since = self._gifts.get(device)
            if since is None:
                since = self._gifts[device] = scheduler.now()
                scheduler.call_later(GIFT_TIME, self.homes.go_on_watching, place.username)
        return scheduler.now() - since < GIFT_TIME

    def _find_at(self, places: list[Place], username: str | None, uuid: str | None) -> list[Peer]:
        """Return local peers, and those at these places."""
        here = super().find(username, uuid)
        node, users, peer_of = self.cluster.node, self._users, self.remote_peers.of
        found = here + [
            peer_of(place)
            for place in places
            # The owner is the truth: a peer that is here is told of, whatever a place says.
            if place.node != node
            and (uuid is None or place.uuid == uuid)
            and place.uuid not in users.get(place.username, ())
        ]
        if self._awaited:
            found += [
                peer
                for peer in list(self._awaited.values())
                if username in (None, peer.username)
                and uuid in (None, peer.uuid)
                and peer not in found
            ]
        if username is not None and here and len(found) > 1:
            # In the order in which they came online, as in one process.
            order = {place.uuid: place.born for place in places}
            found.sort(key=lambda peer: order.get(peer.uuid, _UNKNOWN))
        return found

    def _find_places(self, username: str | None) -> list[Place]:
        """Return what the directory knows; without it, what was last known."""
        cluster = self.cluster
        places = None if username is None else cluster.look(username)
        if places is None:
            try:
                places = cluster.find(username)
            except ClusterAway:
                places = []
        return places

    def get_incarnation(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return a peer of this node, unless it was born at another time."""
        owned = self._owned.get((username, uuid))
        if owned is not None and born and owned.born and owned.born != born:
            return None  # one that was offline before this one came
        return self.get_local(username, uuid)

    def get(self, username: str, uuid: str) -> Peer | None:
        peer = self.get_local(username, uuid)
        if peer is not None:
            return peer
        found = self.find(username, uuid)
        return found[0] if found else None

    def born(self, peer: Peer) -> int:
        """Return ``Place.born`` of a peer; 0: not known, -1: it is another one by now."""
        if peer.outbound.node is not None:
            place: Place = peer.outbound.place  # type: ignore[attr-defined]
            return place.born
        if not super().lists(peer):
            return -1
        owned = self._owned.get((peer.username, peer.uuid))
        return 0 if owned is None else owned.born

    def doubt(self, username: str) -> str | None:
        cluster = self.cluster
        if cluster.status == UP:
            return None
        if cluster.status == SETTLING:
            return "it is not known yet who is online"
        # Clients read it: where Redis is, and what it says, is for the log only.
        return "users of other servers cannot be reached for now"

    def lists(self, peer: Peer) -> bool:
        if peer.outbound.node is None:
            return super().lists(peer)
        self.refresh(peer)
        return peer.state is not OFFLINE

    def refresh(self, peer: Peer) -> None:
        if peer.state is OFFLINE:
            return
        scheduler = self._runtime.scheduler
        if scheduler.is_foreign():
            # It does not wait for the owner of the state, which may be waiting for it.
            scheduler.hand_over(self._refresh, peer)
        else:
            self._refresh(peer)

    def _refresh(self, peer: Peer) -> None:
        outbound: Any = peer.outbound
        if outbound.node is None:
            return
        places = self.cluster.look(peer.username)
        if places is None:
            # It has changed since somebody has asked. Who looks again is told the truth.
            if peer.username not in self._looking:
                self._looking.add(peer.username)
                self._runtime.scheduler.spawn(self._look_again, peer)
            return
        self._compare(peer, places)

    def _look_again(self, peer: Peer) -> None:
        try:
            places = self.cluster.find(peer.username)
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
                if place is not outbound.place and place.node != self.cluster.node:
                    self.remote_peers.of(place)  # a later incarnation takes it off
                return
        if self.cluster.status == UP:
            self.remote_peers.lose(peer)

    def follow(self, peer: Peer) -> None:
        if peer.outbound.node is not None:
            scheduler = self._runtime.scheduler
            if scheduler.is_foreign():
                scheduler.hand_over(self.following.add, peer)
            else:
                self.following.add(peer)

    def renew(self, peer: Peer, data: Any) -> None:
        text = serialize_peer_data(data)
        with self._lock:
            peer.data = data
            owned = self._owned.get((peer.username, peer.uuid))
            if owned is not None and owned.token:
                self.cluster.mark(peer.username, peer.uuid, owned.token, peer.online, text)

    def describe_context(self, peer: Peer) -> bytes:
        """Return the handshake of a peer of this node, as bytes."""
        context = peer.context
        return (
            context.text if isinstance(context, KeptContext) else self._contexts.describe(context)
        )

    def _make_context(self, peer: Peer, former: Context | None) -> Context:
        return RemoteContext(peer, self._runtime.scheduler, self.exchange, self._contexts, former)

    def _moved(self, peer: Peer, former: str) -> None:
        self.exchange.holds.begin(peer, former)
        self.homes.moved(peer)

    # Coming --------------------------------------------------------------------------

    def check_space(self, identity: Identity) -> None:
        serialize_peer_data(identity.data)
        username, uuid = identity.username, identity.uuid
        if self._events.is_overlong(username) and self.get_local(username, uuid) is None:
            raise TooManyEvents(username, self._events.notice_overlong(username))
        places = self._find_places(username)
        if any(place.uuid == uuid for place in places):
            return
        if len(places) < self._limit(username, uuid) or not all(place.online for place in places):
            return
        raise TooManyPeers(username, self._runtime.limits.peers_per_user)

    def _limit(self, username: str, uuid: str) -> int:
        """Return how many devices a user may have, with those that have left work here."""
        departed = [other for other in self._departed.get(username, ()) if other != uuid]
        return max(1, self._runtime.limits.peers_per_user - len(departed))

    def let_in(
        self,
        arrival: Arrival,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        username, uuid = identity.username, identity.uuid
        arrivals = self._runtime.arrivals
        self._handshakes.enter((username, uuid))
        try:
            # A handshake that is not going to connect must not take the device from others.
            arrivals.check(arrival, username, uuid)
            while True:
                reservation = self._reserve(identity, context, dialect)
                use = partial(
                    self._use, reservation, identity, link, context, dialect, when_reachable
                )
                try:
                    return arrivals.admit(arrival, username, uuid, use)
                except _Stale:
                    continue
                finally:
                    self._give_back(username, uuid, reservation)
        except TurnedAway:
            arrivals.check(arrival, username, uuid)  # the site may have done so meanwhile
            raise
        finally:
            self._handshakes.leave((username, uuid))
            self.estates.deliver_early(username, uuid)

    def is_arriving(self, username: str, uuid: str) -> bool:
        """Whether a handshake of a device is in progress here."""
        return (username, uuid) in self._handshakes

    def _reserve(self, identity: Identity, context: Context, dialect: Dialect) -> _Reservation:
        """Claim a device. Blocks.

        :raises TooManyPeers: when the user has too many devices.
        :raises NotClaimed: when the directory takes none.
        """
        username, uuid, data = identity
        text = serialize_peer_data(data)
        while True:
            self._remove_other(username, uuid, dialect)
            limit = self._limit(username, uuid)
            try:
                claim = self.cluster.claim(username, uuid, text, limit)
            except ClusterAway:
                return _Reservation()
            except ClaimRefused as error:
                raise NotClaimed("no more connections are accepted for now") from error
            if claim.verdict == FULL:
                raise TooManyPeers(username, limit)
            reservation = self._own(username, uuid, claim)
            if claim.gave_way is not None:
                self._tell_gave_way(claim.gave_way)
            former = reservation.former
            if former is None:
                return reservation
            is_told = self.has_told(username, uuid, former.token)
            if self.exchange.is_own(former.node) and (is_told or self.is_leaving(username, uuid)):
                if not self._bury(reservation, is_told):
                    raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")
                continue
            self._await_messages(former)
            peer, was_here = self._expect(identity, former, context, dialect)
            try:
                outcome = self.estates.fetch(peer, claim.token, former, dialect, was_here)
            except BaseException:
                # An exception that ends this greenlet, such as gevent.Timeout.
                self._give_back(username, uuid, reservation)
                raise
            if outcome is UNKNOWN or outcome is TOLD:
                self._drop(peer)
            if outcome is HERE:
                return reservation
            if outcome is ELSEWHERE:
                self._give_back(username, uuid, reservation)
                raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")
            # Nobody knows the peer any more. The device is a new peer, with another "born".
            if not self._bury(reservation, outcome is TOLD):
                raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")

    def _remove_other(self, username: str, uuid: str, dialect: Dialect) -> None:
        """Remove the peer of another client program on this device."""
        peer = self.get_local(username, uuid)
        if peer is not None and peer.outbound.dialect is not dialect:
            self.remove(peer, ONLINE_ELSEWHERE, "online elsewhere")

    def _own(self, username: str, uuid: str, claim: Claim) -> _Reservation:
        """Take note of a claim."""
        key = username, uuid
        with self._lock:
            owned = self._owned.get(key)
            if owned is None or owned.born != claim.born:
                owned = self._owned[key] = Ownership(claim, self._runtime.scheduler.now())
            elif claim.token > owned.token:
                owned.token = claim.token
            owned.claims += 1
            # Others may have taken this node for dead since.
            owned.was_buried = owned.was_buried or claim.node != self.cluster.node
            reservation = _Reservation(owned)
            peer = self.get_local(username, uuid)
            former = claim.former
            if former is not None and (peer is None or not self.exchange.is_own(former.node)):
                # Of this node, too: its release was on its way, and came too late.
                reservation.former = former
            return reservation

    def _bury(self, reservation: _Reservation, is_told: bool) -> bool:
        """Tell that a peer is offline whose former owner knows nothing of it. Blocks.

        :param is_told: whether that was told already.
        :returns: ``False`` when another node has claimed the device since: it tells that.
        """
        former, owned = reservation.former, reservation.owned
        assert former is not None
        assert owned is not None
        username, uuid = former.username, former.uuid
        with self._lock:
            if self._owned.get((username, uuid)) is owned:
                del self._owned[username, uuid]
            done = self._runtime.scheduler.event()
            departure = self._release_claim(username, uuid, owned, then=done.set)
            peer = self.remote_peers.take_out(username, uuid, former.born)
        if peer is None:
            peer = self.remote_peers.of(former)
        if is_told:
            self.following.remove(peer)
            self.remote_peers.lose(peer)
            if departure.then is not None:
                departure.then()
        else:
            self._tell_offline(peer, departure)
        done.wait()
        return departure.if_mine is None or departure.if_mine.holds is not False

    def _use(
        self,
        reservation: _Reservation,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None,
    ) -> Peer:
        """Give a device that was claimed its link; as :meth:`claim`, in the same locks."""
        key = identity[:2]
        with self._lock:
            owned = reservation.owned
            if owned is None:
                # The directory is away. The claim is made up for later.
                owned = self._owned.setdefault(key, Ownership(None, self._runtime.scheduler.now()))
            elif owned.is_taken:
                raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")
            elif self._owned.get(key) is not owned:
                raise _Stale
            peer = self.get_local(*key)
            if peer is None and owned.was_buried:
                # Others have taken this node for dead, and have released the claim.
                del self._owned[key]
                raise _Stale
            if peer is not None and peer.outbound.dialect is not dialect:
                raise _Stale
            owned.began = self._runtime.scheduler.now()
            peer = self.claim(identity, link, context, dialect, when_reachable)
            peer.outbound.may_wait = bool(self._runtime.time_limits.grace_period)
            return peer

    def _await_messages(self, former: Place) -> None:
        """Return when all messages of this node to a device are at its former owner. Blocks.

        This node may have sent them to an earlier owner. As one of its own peers, the device
        would get later ones before.
        """
        device = former.username, former.uuid
        if self.remote_peers.get(*device) is None or self.exchange.is_own(former.node):
            return
        peer = self.remote_peers.of(former)
        if device in self.exchange.holds.held:
            self._awaited[device] = peer
            try:
                self.exchange.holds.wait(*device)
            finally:
                del self._awaited[device]

    def _expect(
        self, identity: Identity, former: Place, context: Context, dialect: Dialect
    ) -> tuple[Peer, bool]:
        """Return the peer of a device whose estate is asked for; one of this node from now on.

        :returns: and whether it was so all the time.
        """
        with self._lock:
            peer = self.get_local(former.username, former.uuid)
            if peer is not None:
                return peer, True
            peer = self._adopt(identity, former, dialect)
            # Until the link is attached, code of the site may run for it already.
            peer.context = context
            return peer, False

    def _adopt(self, identity: Identity, former: Place, dialect: Dialect) -> Peer:
        """List a peer of another node as one of this, without an event."""
        workload = self._take_departed(identity)
        peer = self.remote_peers.take_out(former.username, former.uuid, former.born)
        if peer is None:
            peer = Peer(identity, self._runtime, self, dialect, workload)
        else:
            peer.become_local(dialect, workload or peer.workload)
            peer.was_removed = False
        # Without a grace period, too: until the link is attached.
        peer.outbound.may_wait = True
        peer.state = CONNECTED if former.online else DISCONNECTED
        self._users.setdefault(peer.username, {})[peer.uuid] = peer
        self.following.remove(peer)
        return peer

    def _give_back(self, username: str, uuid: str, reservation: _Reservation) -> None:
        """End a reservation: a claim that nobody uses is released."""
        owned, key = reservation.owned, (username, uuid)
        if owned is None:
            return
        with self._lock:
            owned.claims -= 1
            if owned.claims:
                return
            peer = self.get_local(username, uuid)
            if self._owned.get(key) is not owned:
                pass
            elif peer is None:
                del self._owned[key]
                self._forget_claim(*key, owned.token)
            elif peer.outbound.link is None and peer not in self._timers:
                # It was taken over from another node for nothing.
                self._begin_absence(peer)
            following, owned.next = owned.next, None
        if following is not None:
            self._take_hand_over(*following)

    def _begin_absence(self, peer: Peer) -> None:
        """Wait for a peer that has come from another node, and has no link here."""
        grace_period = self._runtime.time_limits.grace_period
        if grace_period and peer.state is DISCONNECTED:
            self.begin_waiting(peer, grace_period)
            return
        if not (grace_period and self._wait_for(peer, grace_period)):
            self._take_off(peer, "leave")
        self._runtime.scheduler.spawn(self.tell, peer)

    def _check_devices(self, identity: Identity) -> None:
        owned = self._owned.get(identity[:2])
        if owned is None or not owned.token:
            super()._check_devices(identity)

    def _make_space(self, username: str) -> None:
        if self.cluster.status != UP:
            super()._make_space(username)

    def _list(self, peer: Peer) -> None:
        owned = self._owned.get((peer.username, peer.uuid))
        if owned is not None:
            self.order.hold(peer.username, owned.telling)
            owned.telling = None
        super()._list(peer)

    def _is_first(self, peer: Peer, count: int) -> bool:
        owned = self._owned.get((peer.username, peer.uuid))
        if owned is not None and owned.is_first is not None:
            return owned.is_first
        return count == 1 and not self._has_devices_elsewhere(peer.username)

    def _has_devices_elsewhere(self, username: str) -> bool:
        """Whether a user was last known to have devices at other nodes."""
        places = self.cluster.look(username) or ()
        return any(place.node != self.cluster.node for place in places)

    def _tell_gave_way(self, place: Place) -> None:
        """Have the owner of a device know that it was taken off, to make room."""
        item = HandOver(place.username, place.uuid, place.token, gave_way=True)
        if place.node == self.cluster.node:
            self._take_hand_over(place.node, item)
        else:
            self.cluster.send(place.node, item)

    # Going ---------------------------------------------------------------------------

    def _wait_for(self, peer: Peer, seconds: float) -> bool:
        if not super()._wait_for(peer, seconds):
            return False
        owned = self._owned.get((peer.username, peer.uuid))
        if owned is not None and owned.token:
            self.cluster.mark(peer.username, peer.uuid, owned.token, False)
        return True

    def _start_timer(self, peer: Peer, mailbox: Mailbox, seconds: float) -> None:
        super()._start_timer(peer, mailbox, seconds)
        owned = self._owned.get((peer.username, peer.uuid))
        if owned is not None:
            owned.expires = self._runtime.scheduler.now() + seconds

    def _release(self, peer: Peer, is_last_here: bool) -> Departure:
        key = peer.username, peer.uuid
        self.homes.forget(peer)
        owned = self._owned.pop(key, None)
        if owned is not None and owned.gave_way:
            self._forget_claim(*key, owned.token)
            return Departure(may_be_last=False)
        if owned is None or not owned.token:
            return Departure(is_last_here and not self._has_devices_elsewhere(peer.username))
        return self._release_claim(*key, owned, is_last_here)

    def _forget_claim(self, username: str, uuid: str, token: int) -> None:
        """Have the cluster know that another node has a device: nothing changes there."""
        if token:
            self.cluster.release(username, uuid, token, lambda outcome: None)

    def _release_claim(
        self,
        username: str,
        uuid: str,
        owned: Ownership,
        is_last_here: bool = False,
        then: Callable[[], None] | None = None,
    ) -> Departure:
        if_mine, if_last = Condition(), Condition()
        key, number = (username, uuid), self.order.begin(username)
        with self._lock:
            self._leaving[key] = self._leaving.get(key, 0) + 1

        def allow(is_last: bool) -> None:
            if_mine.holds, if_last.holds = True, is_last
            self._runtime.scheduler.spawn(self._events.drain, username)

        def take(outcome: Release | None) -> None:
            with self._lock:
                self._leaving[key] -= 1
                if not self._leaving[key]:
                    del self._leaving[key]
            if outcome is None:
                self._told[key] = owned.token
                if len(self._told) > MAX_FORWARDED:
                    self._told.popitem(last=False)
                if_mine.holds = True
                if_last.holds = is_last_here and not self._has_devices_elsewhere(username)
            elif outcome.was_mine:
                self.order.wait(outcome.telling, partial(allow, outcome.is_last))
            else:
                if_mine.holds = if_last.holds = False
            if then is not None:
                then()
            # Not here: listeners may block, and outcomes of other users are behind this one.
            self._runtime.scheduler.spawn(self._events.drain, username)
            if self._all_released is not None and not self._leaving:
                self._all_released.set()

        self.cluster.release(username, uuid, owned.token, take, number)
        return Departure(True, if_mine, if_last, partial(self.order.end, number))

    def _tell_offline(self, peer: Peer, departure: Departure) -> None:
        """Tell the site that a peer is offline which is not one of this node any more."""
        self.following.remove(peer)
        self.remote_peers.lose(peer)
        username = peer.username
        events = [SiteEvent("peer_offline", peer, departure.if_mine)]
        if departure.may_be_last:
            events.append(SiteEvent("user_offline", username, departure.if_last))
        events[-1] = events[-1]._replace(then=departure.then)
        self._events.post(username, *events)
        self._runtime.scheduler.spawn(self._events.drain, username)

    def remove(self, peer: Peer, code: int, reason: str, only: Link | None = None) -> bool:
        if peer.outbound.node is None:
            return super().remove(peer, code, reason, only)
        return only is None and self.exchange.close(peer, code, reason)

    def turn_away(self, username: str, uuid: str | None, code: int, reason: str) -> None:
        super().turn_away(username, uuid, code, reason)
        self.exchange.close_elsewhere(username, uuid, code, reason)

    def disconnect(self, username: str, uuid: str | None, code: int, reason: str) -> int:
        elsewhere = sum(not peer.is_local for peer in self.find(username, uuid))
        return super().disconnect(username, uuid, code, reason) + elsewhere

    def _take_hand_over(self, node: str, item: HandOver) -> None:
        """Give up a peer: its device has connected to another node, or gave way."""
        key = item.username, item.uuid
        with self._lock:
            owned, peer = self._owned.get(key), self.get_local(*key)
            is_mine = owned is not None and owned.token == item.token
            if is_mine and item.gave_way:
                assert owned is not None
                owned.gave_way = True
            elif is_mine and peer is None:
                # A handshake is in progress. The peer is told of first, and then given up.
                assert owned is not None
                owned.next = (node, item)
                self.exchange.holds.stop_waiting(*key)
                return
        if not item.gave_way:
            self.estates.hand_over(node, item)
        elif is_mine and peer is not None:
            self.remove(peer, POLICY_VIOLATION, "gave way to another device")

    def is_leaving(self, username: str, uuid: str) -> bool:
        """Whether this node has just taken a device off."""
        return (username, uuid) in self._leaving

    def has_told(self, username: str, uuid: str, token: int) -> bool:
        """Whether the site was told that the peer of a claim is offline, but not the directory."""
        return self._told.get((username, uuid)) == token

    def get_token(self, peer: Peer) -> int:
        """Return the token of this node's latest claim of a peer; 0 without one."""
        owned = self._owned.get((peer.username, peer.uuid))
        return 0 if owned is None else owned.token

    def move_out(
        self, peer: Peer, node: str, token: int, room: int, retires: bool
    ) -> Bequest | None:
        """Have a peer of this node belong to another one. The site is told nothing.

        :param token: of the claim of that node; that of this node, if it has given it away.
        :param retires: whether the device has connected there: its link is retired.
        :returns: as :meth:`.Outbound.leave`.
        """
        key = peer.username, peer.uuid
        with self._lock:
            former, owned = peer.outbound, self._owned.get(key)
            born = 0 if owned is None else owned.born
            is_given = owned is not None and owned.token == token
            place = Place(*key, node, token, born, not is_given, 0.0, self._data_of(peer))
            outbound = self.remote_peers.make_outbound(peer, place)
            if retires:
                self._retire_link(peer)
            bequest = former.leave(outbound, room)
            if bequest is None:
                return None
            self._unlist(peer)
            self.remote_peers.add(peer, place, peer.context, outbound)
        if owned is not None and not is_given:
            self._forget_claim(*key, owned.token)
        if peer.has_listeners:
            self.following.add(peer)
        return bequest

    # Peers that other nodes give away, as they leave the cluster ----------------------------

    def write_heir(self, peer: Peer) -> tuple[int, Heir] | None:
        """Return what another node has to know that waits for a peer which is away.

        :returns: with the token; ``None`` when the peer is not to be given away.
        """
        with self._lock:
            owned, timer = self._owned.get((peer.username, peer.uuid)), self._timers.get(peer)
            if owned is None or not owned.token or timer is None:
                return None
            dialect = peer.outbound.dialect
            if dialect is not PROTOO:
                return None  # another node knows no dialect by its name
            seconds = max(0.0, owned.expires - self._runtime.scheduler.now())
            data, context = self._data_of(peer), self.describe_context(peer)
            return owned.token, Heir(owned.born, data, context, seconds)

    def inherit(self, username: str, uuid: str, token: int, heir: Heir) -> Peer | None:
        """Take a peer in whose node leaves the cluster; :meth:`begin_waiting` comes next.

        :returns: ``None`` when its device is here already.
        """
        key = username, uuid
        with self._lock:
            if key in self._owned or self.get_local(*key) is not None:
                return None
            claim = Claim(TAKEN, token, heir.born)
            self._owned[key] = Ownership(claim, self._runtime.scheduler.now())
            place = Place(*key, self.cluster.node, token, heir.born, False, 0.0, heir.data)
            identity = Identity(*key, parse_peer_data(heir.data))
            peer = self._adopt(identity, place, PROTOO)
            peer.data = identity.data
            scheduler = self._runtime.scheduler
            peer.context = KeptContext(peer, scheduler, self._contexts, heir.context)
            self._gifts.pop(key, None)
        self.cluster.take(*key, token, heir.born)
        return peer

    def begin_waiting(self, peer: Peer, seconds: float) -> None:
        """Wait for a peer that was taken in."""
        with self._lock:
            mailbox = peer.outbound.detach()
            if mailbox is not None:
                self._start_timer(peer, mailbox, seconds)
                self.homes.go_on_watching(peer.username)
                return
            self._take_off(peer, "expire")
        self._runtime.scheduler.spawn(self.tell, peer)

    def end(self, peer: Peer) -> None:
        """Take a peer off without an event: another node tells that it is offline."""
        with self._lock:
            self._retire_link(peer)
            owned = self._drop(peer)
        if owned is not None:
            self._forget_claim(peer.username, peer.uuid, owned.token)

    def _retire_link(self, peer: Peer) -> None:
        """Retire the link of a peer whose device has connected to another node.

        Under the lock of the move: the client may answer at once, and the thread of the link must
        not take its end for a departure.
        """
        link = peer.outbound.link
        if link is not None:
            link.retire(ONLINE_ELSEWHERE, "online elsewhere")

    def _drop(self, peer: Peer) -> Ownership | None:
        """Take a peer off without an event; returns what this node has claimed."""
        with self._lock:
            if self.get_local(peer.username, peer.uuid) is not peer:
                return None
            peer.outbound.close()
            peer.requests.forget_all()
            owned = self._owned.get((peer.username, peer.uuid))
            self._unlist(peer)
            self.homes.forget(peer)
            peer.state = OFFLINE
        self.homes.pack(peer)  # nothing moves along
        peer.outbound.finish_all(410, "peer offline")
        return owned

    def _unlist(self, peer: Peer) -> None:
        key = peer.username, peer.uuid
        owned = self._owned.pop(key, None)
        if owned is not None:
            owned.is_taken = True
        self._stop_timer(peer)
        if peer.workload.depart(partial(self._forget_departed, *key)):
            self._departed.setdefault(peer.username, {})[peer.uuid] = peer.workload
        if peer.workload.is_held:
            self._runtime.scheduler.spawn(peer.workload.release)
        devices = self._users[peer.username]
        del devices[peer.uuid]
        if not devices:
            del self._users[peer.username]

    def let_go(self, peer: Peer, node: str) -> None:
        """Turn a peer of this node into one of another, which has its device now.

        Its link is retired with 3000. The site is told nothing.
        """
        key = peer.username, peer.uuid
        with self._lock:
            owned = self._owned.get(key)
            link = peer.outbound.link
            peer.outbound.close()
            peer.requests.forget_all()
            self._unlist(peer)
            token, born = (owned.token, owned.born) if owned is not None else (0, 0)
            self._forget_claim(*key, token)
            place = Place(*key, node, token, born, True, 0.0, self._data_of(peer))
            self.remote_peers.add(peer, place, peer.context)
        self.homes.pack(peer)  # nothing moves along
        if link is not None:
            link.retire(ONLINE_ELSEWHERE, "online elsewhere")
        if peer.has_listeners:
            self.following.add(peer)

    # What the cluster tells; see ClusterHost ---------------------------------------------

    def node_gone(self, node: str) -> None:
        self.homes.node_gone(node)
        self.estates.node_gone(node)

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        peer = self.remote_peers.of(place)
        then = partial(self.order.end, telling) if telling else None
        self.order.hold(place.username, before)
        self._tell_offline(peer, Departure(is_last, then=then))

    def fenced(self, former: str) -> None:
        with self._lock:
            for owned in self._owned.values():
                owned.was_buried = True
        self.homes.fenced(former)
        self.estates.fenced()

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        now = self._runtime.scheduler.now()
        claims = []
        with self._lock:
            for peer in LocalDirectory.find(self):
                owned = self._owned.get((peer.username, peer.uuid))
                age = 0.0 if owned is None else now - owned.began
                claims.append(
                    (peer.username, peer.uuid, self._data_of(peer), age, peer.state is CONNECTED)
                )
        return claims

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        with self._lock:
            peer = self.get_local(username, uuid)
            if peer is None or claim is None:
                is_known = False
            else:
                key = username, uuid
                owned = self._owned.setdefault(key, Ownership(None, self._runtime.scheduler.now()))
                is_known = not (owned.was_buried and claim.verdict == NEW)
                owned.token, owned.born, owned.was_buried = claim.token, claim.born, False
        if peer is None:
            if claim is not None:
                # It has left while it was being claimed.
                self.cluster.release(username, uuid, claim.token, lambda outcome: None)
        elif claim is None:
            self.let_go(peer, "")
        elif not is_known:
            self.order.hold(username, claim.telling)
            self._events.post(username, SiteEvent("peer_online", peer))
            if claim.is_first:
                self._events.post(username, SiteEvent("user_online", username))
            self._runtime.scheduler.spawn(self._events.drain, username)

    def status_changed(self) -> None:
        self.homes.status_changed()

    def _data_of(self, peer: Peer) -> bytes:
        try:
            return serialize_peer_data(peer.data)
        except UsageError:
            return b""  # the site has put something else there
