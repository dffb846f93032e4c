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

This module joins the parts: the search (:mod:`.peer_search`), the claims of handshakes
(:mod:`.handshake_claims`), what this node owns (:mod:`.owned_devices`), moves (:mod:`.moves`) and
releases (:mod:`.releases`).

Only :meth:`ClusterDirectory.find`, :meth:`~ClusterDirectory.get`, ``check_space``, ``let_in`` and
``disconnect`` block, and nobody holds a lock while calling them.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, Callable, Mapping

from ..arrivals import Arrival
from ..close_codes import GOING_AWAY
from ..cluster.places import NEW, Claim, Place, Telling
from ..cluster.protocol import SETTLING, UP, Cluster
from ..events import EventQueues, SiteEvent
from ..link import Context, Link
from ..peers.directory import Identity, TooManyEvents, TooManyPeers
from ..peers.homes import HomeService
from ..peers.local_directory import Departure, LocalDirectory
from ..peers.peer import CONNECTED, OFFLINE, Peer
from ..runtime import Runtime
from ..transactions.mailbox import Mailbox
from ..wire.dialect import Dialect
from .awaited_gifts import AwaitedGifts
from .context import Contexts, PeerContexts
from .estate_transfer import EstateTransfer
from .estates import PATIENCE, Estates
from .event_order import EventOrder
from .exchange import Exchange
from .following import Following
from .forwarding import Forwarding
from .handler_answers import HandlerAnswers
from .handshake_claims import HandshakeClaims
from .homes import ClusterHomes
from .moves import Moves
from .owned_devices import OwnedDevices
from .parting_gifts import PartingGifts
from .peer_search import PeerSearch
from .releases import Releases
from .remote_peers import RemotePeers
from .takeovers import Takeovers
from .texts import describe_peer_data, serialize_peer_data


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
        scheduler, lock = runtime.scheduler, self._lock
        # Random: the ids of its requests are not those of other nodes.
        runtime.ids = itertools.count(runtime.first_id() - 1)
        runtime.spend = cluster.spend
        self.cluster = cluster
        self.owned = OwnedDevices(cluster, scheduler)
        self.exchange = Exchange(cluster, runtime, self)
        framework = Contexts(describe_context, restore_context)
        self.contexts = PeerContexts(scheduler, self.exchange, framework)
        self.remote_peers = RemotePeers(
            runtime, self, self.exchange, self.contexts.make, lock, self._moved
        )
        self.following = Following(cluster, runtime, self.remote_peers)
        self.homes = ClusterHomes(
            self.exchange, runtime, self, {} if services is None else services, owner
        )
        self.order = EventOrder(self.exchange, events, scheduler)
        self.releases = Releases(
            cluster,
            scheduler,
            events,
            self.owned,
            self.order,
            self.following,
            self.remote_peers,
            lock,
        )
        gifts = AwaitedGifts(
            self, scheduler, self.owned, self.releases, lock, self.homes.go_on_watching
        )
        self.search = PeerSearch(self, cluster, scheduler, self.remote_peers, gifts)
        self.moves = Moves(
            self,
            runtime,
            self.owned,
            self.remote_peers,
            self.following,
            self.contexts,
            gifts,
            lock,
        )
        answers = HandlerAnswers(self.exchange, self, scheduler)
        forwarding = Forwarding(self.exchange, self, scheduler)
        transfer = EstateTransfer(
            self.exchange, self.moves, self.homes, self.order, answers, forwarding
        )
        self.estates = Estates(
            self.exchange,
            self,
            self.moves,
            self.releases,
            transfer,
            answers,
            forwarding,
            scheduler,
        )
        self.parting_gifts = PartingGifts(self, cluster, scheduler, self.moves, transfer)
        takeovers = Takeovers(
            self.exchange,
            self.releases,
            self.search,
            self.remote_peers,
            self.moves,
            self.estates,
        )
        self.handshakes = HandshakeClaims(
            self, runtime, self.exchange, self.owned, self.moves, self.estates, takeovers, lock
        )

    @property
    def host(self) -> Exchange:
        """The object that the cluster calls."""
        return self.exchange

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when every peer has gone: for tests, and for metrics."""
        return {
            "users": self._users,
            "departed": self._departed,
            "owned": self.owned,
            "leaving": self.releases.leaving,
            "followed": self.following,
            "handshakes": self.handshakes.queues,
            **self.order.tables,
            **self.homes.tables,
        }

    def start(self) -> None:
        self.cluster.start(self.exchange)

    # Finding -------------------------------------------------------------------------

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        return self.search.find(username, uuid)

    def find_for_certain(self, username: str) -> list[Peer] | None:
        """Return all peers of a user; ``None`` when the directory cannot tell. May block."""
        return self.search.find_for_certain(username)

    def get_incarnation(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return a peer of this node, unless it was born at another time."""
        owned = self.owned.get(username, uuid)
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
        owned = self.owned.of(peer)
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
        self.search.refresh(peer)
        return peer.state is not OFFLINE

    def refresh(self, peer: Peer) -> None:
        self.search.refresh(peer)

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
            self.owned.mark(peer, peer.online, text)

    def describe_context(self, peer: Peer) -> bytes:
        """Return the handshake of a peer of this node, as bytes."""
        return self.contexts.describe(peer)

    def _moved(self, peer: Peer, former: str) -> None:
        self.exchange.holds.begin(peer, former)
        self.homes.moved(peer)

    # Coming --------------------------------------------------------------------------

    def check_space(self, identity: Identity) -> None:
        serialize_peer_data(identity.data)
        username, uuid = identity.username, identity.uuid
        if self._events.is_overlong(username) and self.get_local(username, uuid) is None:
            raise TooManyEvents(username, self._events.notice_overlong(username))
        places = self.search.find_places(username)
        if any(place.uuid == uuid for place in places):
            return
        if len(places) < self.get_limit(username, uuid) or not all(
            place.online for place in places
        ):
            return
        raise TooManyPeers(username, self._runtime.limits.peers_per_user)

    def get_limit(self, username: str, uuid: str) -> int:
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
        connect = partial(self.claim, identity, link, context, dialect, when_reachable)
        return self.handshakes.let_in(arrival, identity, context, dialect, connect)

    def is_arriving(self, username: str, uuid: str) -> bool:
        """Whether a handshake of a device is in progress here."""
        return (username, uuid) in self.handshakes.queues

    # The table of peers, as the cluster decides ---------------------------------------------

    def _check_devices(self, identity: Identity) -> None:
        owned = self.owned.get(identity.username, identity.uuid)
        if owned is None or not owned.token:
            super()._check_devices(identity)

    def _make_space(self, username: str) -> None:
        if self.cluster.status != UP:
            super()._make_space(username)

    def _list(self, peer: Peer) -> None:
        owned = self.owned.of(peer)
        if owned is not None:
            self.order.hold(peer.username, owned.telling)
            owned.telling = None
        super()._list(peer)

    def _is_first(self, peer: Peer, count: int) -> bool:
        owned = self.owned.of(peer)
        if owned is not None and owned.is_first is not None:
            return owned.is_first
        return count == 1 and not self.owned.are_elsewhere(peer.username)

    def wait_for(self, peer: Peer, seconds: float) -> bool:
        if not super().wait_for(peer, seconds):
            return False
        self.owned.mark(peer, False)
        return True

    def start_timer(self, peer: Peer, mailbox: Mailbox, seconds: float) -> None:
        super().start_timer(peer, mailbox, seconds)
        owned = self.owned.of(peer)
        if owned is not None:
            owned.expires = self._runtime.scheduler.now() + seconds

    def _release(self, peer: Peer, is_last_here: bool) -> Departure:
        self.homes.forget(peer)
        return self.releases.release_peer(peer, is_last_here)

    # Going ---------------------------------------------------------------------------

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

    def get_token(self, peer: Peer) -> int:
        """Return the token of this node's latest claim of a peer; 0 without one."""
        return self.owned.get_token(peer)

    # This node leaves the cluster -----------------------------------------------------------

    def close_links(self, code: int, reason: str) -> None:
        if not self.can_give:
            super().close_links(code, reason)
            return
        for peer in self.find_local():
            self.send_away(peer, code, reason)

    @property
    def heirs(self) -> int:
        return len(self.cluster.others()) if self.cluster.status == UP else 0

    @property
    def can_give(self) -> bool:
        return bool(self._runtime.time_limits.grace_period and self.heirs)

    def let_link_go(self, link: Link, code: int, reason: str) -> None:
        if self.can_give:
            link.retire(code, reason)  # the messages that it has not sent go along
        else:
            super().let_link_go(link, code, reason)

    def close(self) -> None:
        if self.can_give:
            self.close_links(GOING_AWAY, "shutting down")
            self.parting_gifts.give_all(self.find_local(), self.cluster.others())
            self._take_off_rest()
        self.cluster.close()

    def _take_off_rest(self) -> None:
        """Take the peers off that no other node has taken in time, and tell so. Blocks."""
        # Without an event, others would see them come online once more.
        rest = self.find_local()
        if not rest:
            return
        done = self.releases.expect_all()
        for peer in rest:
            self.remove(peer, GOING_AWAY, "shutting down")
        done.wait(PATIENCE)

    # Calls of the cluster; see ClusterHost --------------------------------------------

    def node_gone(self, node: str) -> None:
        self.homes.node_gone(node)
        self.estates.node_gone(node)

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        peer = self.remote_peers.of(place)
        then = partial(self.order.end, telling) if telling else None
        self.order.hold(place.username, before)
        self.releases.tell_offline(peer, Departure(is_last, then=then))

    def fenced(self, former: str) -> None:
        with self._lock:
            self.owned.bury_all()
        self.homes.fenced(former)
        self.estates.fenced()

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        now = self._runtime.scheduler.now()
        claims = []
        with self._lock:
            for peer in self.find_local():
                owned = self.owned.of(peer)
                age = 0.0 if owned is None else now - owned.began
                claims.append(
                    (
                        peer.username,
                        peer.uuid,
                        describe_peer_data(peer.data),
                        age,
                        peer.state is CONNECTED,
                    )
                )
        return claims

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        with self._lock:
            peer = self.get_local(username, uuid)
            if peer is None or claim is None:
                is_known = False
            else:
                owned = self.owned.bring(username, uuid)
                is_known = not (owned.was_buried and claim.verdict == NEW)
                owned.token, owned.born, owned.was_buried = claim.token, claim.born, False
        if peer is None:
            if claim is not None:
                # It has left while it was being claimed.
                self.owned.give_back(username, uuid, claim.token)
        elif claim is None:
            self.moves.let_go(peer, "")
        elif not is_known:
            self.order.hold(username, claim.telling)
            self._events.post(username, SiteEvent("peer_online", peer))
            if claim.is_first:
                self._events.post(username, SiteEvent("user_online", username))
            self._runtime.scheduler.spawn(self._events.drain, username)

    def status_changed(self) -> None:
        self.homes.status_changed()
