"""The claims of handshakes: a device is claimed before its handshake is answered.

=========================  ============================================================
event                      then
=========================  ============================================================
a handshake                waits for its turn among those of the device, and claims it
new                        the handshake connects
taken from another node    the peer is taken over first: :mod:`.takeovers`
the directory is away      the handshake connects without a claim
another node claims it     obeyed when the handshakes of the device are done
the handshake is over      a claim that no peer uses is released
=========================  ============================================================
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Protocol

from ..arrivals import Arrival, TurnedAway
from ..close_codes import ONLINE_ELSEWHERE, POLICY_VIOLATION
from ..cluster.items import HandOver
from ..cluster.places import FULL, Claim, Place
from ..cluster.protocol import ClaimRefused, ClusterAway
from ..errors import ProtooError
from ..link import Context
from ..peers.directory import Identity, NotClaimed, TooManyPeers
from ..peers.peer import Peer
from ..runtime import Runtime
from ..wire.dialect import Dialect
from .estates import ELSEWHERE, HERE, Estates
from .exchange import Exchange
from .handshake_queues import HandshakeQueues
from .moves import Moves
from .owned_devices import OwnedDevices
from .ownership import Ownership
from .takeovers import Takeovers
from .texts import serialize_peer_data


class Claimants(Protocol):
    """The peers of this node, for which devices are claimed; see :class:`.ClusterDirectory`."""

    def get_local(self, username: str, uuid: str) -> Peer | None:
        """Return a peer of this node."""

    def is_waited_for(self, peer: Peer) -> bool:
        """Whether a peer is away, and its grace period has begun."""

    def remove(self, peer: Peer, code: int, reason: str) -> bool:
        """Take a peer off."""

    def get_limit(self, username: str, uuid: str) -> int:
        """Return how many devices a user may have, with those that have left work here."""


class _Stale(ProtooError):
    """The claim of a handshake has been released meanwhile: the device is claimed anew."""


class HandshakeClaims:
    """The claims that the handshakes at this node make.

    :param lock: of the directory.
    :ivar queues: the handshakes that are being let in.
    """

    def __init__(
        self,
        claimants: Claimants,
        runtime: Runtime,
        exchange: Exchange,
        owned: OwnedDevices,
        moves: Moves,
        estates: Estates,
        takeovers: Takeovers,
        lock: Any,
    ) -> None:
        self._claimants = claimants
        self._runtime = runtime
        self._exchange = exchange
        self._owned = owned
        self._moves = moves
        self._estates = estates
        self._takeovers = takeovers
        self._lock = lock
        self.queues = HandshakeQueues(runtime.scheduler)
        exchange.on_item(HandOver, self._take_hand_over)

    def let_in(
        self,
        arrival: Arrival,
        identity: Identity,
        context: Context,
        dialect: Dialect,
        connect: Callable[[], Peer],
    ) -> Peer:
        """Claim the device of a handshake, and connect it. Blocks; see ``Directory.let_in``.

        :param connect: gives the device its link; called in the locks of arrivals and of the
            directory.
        """
        username, uuid = device = identity[:2]
        arrivals = self._runtime.arrivals
        self.queues.enter(device)
        try:
            # A handshake that is not going to connect must not take the device from others.
            arrivals.check(arrival, username, uuid)
            while True:
                owned = self._reserve(identity, context, dialect)
                use = partial(self._use, owned, identity, dialect, connect)
                try:
                    return arrivals.admit(arrival, username, uuid, use)
                except _Stale:
                    continue
                finally:
                    self._give_back(username, uuid, owned)
        except TurnedAway:
            arrivals.check(arrival, username, uuid)  # the site may have done so meanwhile
            raise
        finally:
            self.queues.leave(device)
            self._estates.early_items.deliver(username, uuid)

    def _reserve(self, identity: Identity, context: Context, dialect: Dialect) -> Ownership | None:
        """Claim a device. Blocks.

        :returns: the claim, which :meth:`_give_back` ends; ``None``: the directory is away.
        :raises TooManyPeers: when the user has too many devices.
        :raises NotClaimed: when the directory takes none.
        """
        username, uuid, data = identity
        text = serialize_peer_data(data)
        while True:
            self._remove_other(username, uuid, dialect)
            limit = self._claimants.get_limit(username, uuid)
            try:
                claim = self._exchange.cluster.claim(username, uuid, text, limit)
            except ClusterAway:
                return None
            except ClaimRefused as error:
                raise NotClaimed("no more connections are accepted for now") from error
            if claim.verdict == FULL:
                raise TooManyPeers(username, limit)
            owned, former = self._own(username, uuid, claim)
            if claim.gave_way is not None:
                self._tell_gave_way(claim.gave_way)
            if former is None:
                return owned
            try:
                outcome = self._takeovers.take_over(
                    identity, former, owned, claim.token, context, dialect
                )
            except BaseException:
                # An exception that ends this greenlet, such as gevent.Timeout.
                self._give_back(username, uuid, owned)
                raise
            if outcome is HERE:
                return owned
            if outcome is ELSEWHERE:
                self._give_back(username, uuid, owned)
                raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")

    def _remove_other(self, username: str, uuid: str, dialect: Dialect) -> None:
        """Remove the peer of another client program on this device."""
        peer = self._claimants.get_local(username, uuid)
        if peer is not None and peer.outbound.dialect is not dialect:
            self._claimants.remove(peer, ONLINE_ELSEWHERE, "online elsewhere")

    def _own(self, username: str, uuid: str, claim: Claim) -> tuple[Ownership, Place | None]:
        """Take note of a claim.

        :returns: with the place before, if the device is to be taken over from there.
        """
        with self._lock:
            owned = self._owned.get(username, uuid)
            if owned is None or owned.born != claim.born:
                owned = self._owned.put(username, uuid, claim)
            elif claim.token > owned.token:
                owned.token = claim.token
            owned.claims += 1
            # Others may have taken this node for dead since.
            owned.was_buried = owned.was_buried or claim.node != self._exchange.cluster.node
            peer, former = self._claimants.get_local(username, uuid), claim.former
            if former is not None and peer is not None and self._exchange.is_own(former.node):
                return owned, None
            # Of this node, too: its release was on its way, and came too late.
            return owned, former

    def _use(
        self,
        owned: Ownership | None,
        identity: Identity,
        dialect: Dialect,
        connect: Callable[[], Peer],
    ) -> Peer:
        """Give a device that was claimed its link."""
        device = identity[:2]
        with self._lock:
            if owned is None:
                # The directory is away. The claim is made up for later.
                owned = self._owned.bring(*device)
            elif owned.is_taken:
                raise TurnedAway(ONLINE_ELSEWHERE, "online elsewhere")
            elif self._owned.get(*device) is not owned:
                raise _Stale
            peer = self._claimants.get_local(*device)
            if peer is None and owned.was_buried:
                # Others have taken this node for dead, and have released the claim.
                self._owned.pop(*device)
                raise _Stale
            if peer is not None and peer.outbound.dialect is not dialect:
                raise _Stale
            owned.began = self._runtime.scheduler.now()
            peer = connect()
            peer.outbound.may_wait = bool(self._runtime.time_limits.grace_period)
            return peer

    def _give_back(self, username: str, uuid: str, owned: Ownership | None) -> None:
        """Rely on a claim no longer: one that no handshake and no peer uses is released."""
        if owned is None:
            return
        device = username, uuid
        with self._lock:
            owned.claims -= 1
            if owned.claims:
                return
            peer = self._claimants.get_local(*device)
            if self._owned.get(*device) is not owned:
                pass
            elif peer is None:
                self._owned.pop(*device)
                self._owned.give_back(*device, owned.token)
            elif peer.outbound.link is None and not self._claimants.is_waited_for(peer):
                # It was taken over from another node for nothing.
                self._moves.begin_absence(peer)
            following, owned.next = owned.next, None
        if following is not None:
            self._take_hand_over(*following)

    # Claims of other nodes -------------------------------------------------------------------

    def _take_hand_over(self, node: str, item: HandOver) -> None:
        """Give up a peer: its device has connected to another node, or gave way."""
        device = item.username, item.uuid
        with self._lock:
            owned, peer = self._owned.get(*device), self._claimants.get_local(*device)
            is_mine = owned is not None and owned.token == item.token
            if is_mine and item.gave_way:
                assert owned is not None
                owned.gave_way = True
            elif is_mine and peer is None:
                # A handshake is in progress. The peer is told of first, and then given up.
                assert owned is not None
                owned.next = (node, item)
                self._exchange.holds.stop_waiting(*device)
                return
        if not item.gave_way:
            self._estates.hand_over(node, item)
        elif is_mine and peer is not None:
            self._claimants.remove(peer, POLICY_VIOLATION, "gave way to another device")

    def _tell_gave_way(self, place: Place) -> None:
        """Have the owner of a device know that it was taken off, to make room."""
        item = HandOver(place.username, place.uuid, place.token, gave_way=True)
        cluster = self._exchange.cluster
        if place.node == cluster.node:
            self._take_hand_over(place.node, item)
        else:
            cluster.send(place.node, item)
