"""Moves: a peer becomes one of another node, or one of this node. The site is told nothing.

==============================  ==============================================================
move                            reason
==============================  ==============================================================
:meth:`Moves.expect`            its device has connected here; its estate is asked for
:meth:`Moves.inherit`           its node leaves the cluster, and has given it to this node
:meth:`Moves.move_out`          its device has connected elsewhere, or this node leaves
:meth:`Moves.let_go`            the same, and all that it had stays behind
:meth:`Moves.drop`,             it is not moved: another node tells that it is offline, or the
:meth:`Moves.end`               device is a new peer
==============================  ==============================================================
"""

from __future__ import annotations

from typing import Any

from ..close_codes import ONLINE_ELSEWHERE
from ..cluster.items import Heir
from ..cluster.places import TAKEN, Claim, Place
from ..link import Context
from ..peers.directory import Identity
from ..peers.local_directory import LocalDirectory
from ..peers.peer import CONNECTED, DISCONNECTED, OFFLINE, Peer
from ..runtime import Runtime
from ..transactions.outbound import Bequest
from ..wire.dialect import PROTOO, Dialect
from .awaited_gifts import AwaitedGifts
from .context import PeerContexts
from .following import Following
from .owned_devices import OwnedDevices
from .ownership import Ownership
from .remote_peers import RemotePeers
from .texts import describe_peer_data, parse_peer_data


class Moves:
    """The peers of this node that come from others, or go there.

    :param lock: of the directory.
    """

    def __init__(
        self,
        directory: LocalDirectory,
        runtime: Runtime,
        owned: OwnedDevices,
        remote_peers: RemotePeers,
        following: Following,
        contexts: PeerContexts,
        gifts: AwaitedGifts,
        lock: Any,
    ) -> None:
        self._directory = directory
        self._runtime = runtime
        self._owned = owned
        self._remote_peers = remote_peers
        self._following = following
        self._contexts = contexts
        self._gifts = gifts
        self._lock = lock

    # To this node ----------------------------------------------------------------------------

    def expect(
        self, identity: Identity, former: Place, context: Context, dialect: Dialect
    ) -> tuple[Peer, bool]:
        """Return the peer of a device whose estate is asked for; one of this node from now on.

        :returns: and whether it was so all the time.
        """
        with self._lock:
            peer = self._directory.get_local(former.username, former.uuid)
            if peer is not None:
                return peer, True
            peer = self._adopt(identity, former, dialect)
            # Until the link is attached, code of the site may run for it already.
            peer.context = context
            return peer, False

    def _adopt(self, identity: Identity, former: Place, dialect: Dialect) -> Peer:
        """List a peer of another node as one of this."""
        workload = self._directory.take_departed(identity)
        peer = self._remote_peers.take_out(former.username, former.uuid, former.born)
        if peer is None:
            peer = Peer(identity, self._runtime, self._directory, dialect, workload)
        else:
            peer.become_local(dialect, workload or peer.workload)
            peer.was_removed = False
        # Without a grace period, too: until the link is attached.
        peer.outbound.may_wait = True
        peer.state = CONNECTED if former.online else DISCONNECTED
        self._directory.enlist(peer)
        self._following.remove(peer)
        return peer

    def begin_absence(self, peer: Peer) -> None:
        """Wait for a peer that has come from another node, and has no link here."""
        grace_period = self._runtime.time_limits.grace_period
        if grace_period and peer.state is DISCONNECTED:
            self.begin_waiting(peer, grace_period)
            return
        if not (grace_period and self._directory.wait_for(peer, grace_period)):
            self._directory.take_off(peer, "leave")
        self._runtime.scheduler.spawn(self._directory.tell, peer)

    # Peers that other nodes give away, as they leave the cluster ------------------------------

    def write_heir(self, peer: Peer) -> tuple[int, Heir] | None:
        """Return what another node has to know that waits for a peer which is away.

        :returns: with the token; ``None`` when the peer is not to be given away.
        """
        with self._lock:
            owned = self._owned.of(peer)
            if owned is None or not owned.token or not self._directory.is_waited_for(peer):
                return None
            dialect = peer.outbound.dialect
            if dialect is not PROTOO:
                return None  # another node knows no dialect by its name
            seconds = max(0.0, owned.expires - self._runtime.scheduler.now())
            data, context = describe_peer_data(peer.data), self._contexts.describe(peer)
            return owned.token, Heir(owned.born, data, context, seconds)

    def inherit(self, username: str, uuid: str, token: int, heir: Heir) -> Peer | None:
        """Take a peer in whose node leaves the cluster; :meth:`begin_waiting` comes next.

        :returns: ``None`` when its device is here already.
        """
        device, cluster = (username, uuid), self._directory.cluster
        with self._lock:
            if self._owned.get(*device) is not None:
                return None
            if self._directory.get_local(*device) is not None:
                return None
            self._owned.put(*device, Claim(TAKEN, token, heir.born))
            place = Place(*device, cluster.node, token, heir.born, False, 0.0, heir.data)
            identity = Identity(*device, parse_peer_data(heir.data))
            peer = self._adopt(identity, place, PROTOO)
            peer.data = identity.data
            peer.context = self._contexts.keep(peer, heir.context)
            self._gifts.take(*device)
        cluster.take(*device, token, heir.born)
        return peer

    def begin_waiting(self, peer: Peer, seconds: float) -> None:
        """Wait for a peer that was taken in."""
        with self._lock:
            mailbox = peer.outbound.detach()
            if mailbox is not None:
                self._directory.start_timer(peer, mailbox, seconds)
                self._directory.homes.go_on_watching(peer.username)
                return
            self._directory.take_off(peer, "expire")
        self._runtime.scheduler.spawn(self._directory.tell, peer)

    # To another node -------------------------------------------------------------------------

    def move_out(
        self, peer: Peer, node: str, token: int, room: int, retires: bool
    ) -> Bequest | None:
        """Have a peer of this node belong to another one.

        :param token: of the claim of that node; that of this node, if it has given it away.
        :param retires: whether the device has connected there: its link is retired, and its end
            is no departure.
        :returns: as :meth:`.Outbound.leave`; ``None``: nothing has changed.
        """
        device = peer.username, peer.uuid
        with self._lock:
            former, owned = peer.outbound, self._owned.of(peer)
            born = 0 if owned is None else owned.born
            is_given = owned is not None and owned.token == token
            data = describe_peer_data(peer.data)
            place = Place(*device, node, token, born, not is_given, 0.0, data)
            outbound = self._remote_peers.make_outbound(peer, place)
            if retires:
                _retire_link(peer)
            bequest = former.leave(outbound, room)
            if bequest is None:
                return None
            self._unlist(peer)
            self._remote_peers.add(peer, place, peer.context, outbound)
        if owned is not None and not is_given:
            self._owned.give_back(*device, owned.token)
        if peer.has_listeners:
            self._following.add(peer)
        return bequest

    def let_go(self, peer: Peer, node: str) -> None:
        """Turn a peer of this node into one of another, which has its device now.

        Its link is retired with 3000.
        """
        device = peer.username, peer.uuid
        with self._lock:
            owned = self._owned.of(peer)
            link = peer.outbound.link
            self._close(peer)
            token, born = (owned.token, owned.born) if owned is not None else (0, 0)
            self._owned.give_back(*device, token)
            place = Place(*device, node, token, born, True, 0.0, describe_peer_data(peer.data))
            self._remote_peers.add(peer, place, peer.context)
        self._directory.homes.pack(peer)  # nothing moves along
        if link is not None:
            link.retire(ONLINE_ELSEWHERE, "online elsewhere")
        if peer.has_listeners:
            self._following.add(peer)

    # To nowhere ------------------------------------------------------------------------------

    def end(self, peer: Peer) -> None:
        """Retire the link of a peer, and take it off: another node tells that it is offline."""
        with self._lock:
            _retire_link(peer)
            owned = self.drop(peer)
        if owned is not None:
            self._owned.give_back(peer.username, peer.uuid, owned.token)

    def drop(self, peer: Peer) -> Ownership | None:
        """Take a peer off; returns what this node has claimed."""
        with self._lock:
            if self._directory.get_local(peer.username, peer.uuid) is not peer:
                return None
            owned = self._owned.of(peer)
            self._close(peer)
            self._directory.homes.forget(peer)
            peer.state = OFFLINE
        self._directory.homes.pack(peer)  # nothing moves along
        peer.outbound.finish_all(410, "peer offline")
        return owned

    def _close(self, peer: Peer) -> None:
        """Take no more messages for a peer, and list it no more."""
        peer.outbound.close()
        peer.requests.forget_all()
        self._unlist(peer)

    def _unlist(self, peer: Peer) -> None:
        owned = self._owned.pop(peer.username, peer.uuid)
        if owned is not None:
            owned.is_taken = True
        self._directory.unlist(peer)


def _retire_link(peer: Peer) -> None:
    """Retire the link of a peer whose device has connected to another node.

    Under the lock of the move: the client may answer at once, and the thread of the link must
    not take its end for a departure.
    """
    link = peer.outbound.link
    if link is not None:
        link.retire(ONLINE_ELSEWHERE, "online elsewhere")
