"""Takeovers: a device that another node had has connected here.

=============================  =============================================================
the former owner               then
=============================  =============================================================
sends the estate               the peer is the same one, and is here
knows nothing of the device    the peer before is offline, which this node tells; the device is
                               claimed anew
is this node, which has just   the same. The release was on its way, and came too late
released the device
=============================  =============================================================
"""

from __future__ import annotations

from ..cluster.places import Place
from ..link import Context
from ..peers.directory import Identity
from ..wire.dialect import Dialect
from .estates import ELSEWHERE, TOLD, UNKNOWN, Estates
from .exchange import Exchange
from .moves import Moves
from .ownership import Ownership
from .peer_search import PeerSearch
from .releases import Releases
from .remote_peers import RemotePeers


class Takeovers:
    """Has peers of other nodes become peers of this one."""

    def __init__(
        self,
        exchange: Exchange,
        releases: Releases,
        search: PeerSearch,
        remote_peers: RemotePeers,
        moves: Moves,
        estates: Estates,
    ) -> None:
        self._exchange = exchange
        self._releases = releases
        self._search = search
        self._remote_peers = remote_peers
        self._moves = moves
        self._estates = estates

    def take_over(
        self,
        identity: Identity,
        former: Place,
        owned: Ownership,
        token: int,
        context: Context,
        dialect: Dialect,
    ) -> str:
        """Have the peer of a former owner be one of this node. Blocks.

        :param token: of the claim of this node.
        :returns: ``HERE``: it is. ``UNKNOWN``: the device is to be claimed anew.
            ``ELSEWHERE``: another node has claimed the device since.
        """
        device = former.username, former.uuid
        is_told = self._releases.has_told(*device, former.token)
        if self._exchange.is_own(former.node) and (is_told or self._releases.is_leaving(*device)):
            return self._bury(former, owned, is_told)
        self._await_messages(former)
        peer, was_here = self._moves.expect(identity, former, context, dialect)
        outcome = self._estates.fetch(peer, token, former, dialect, was_here)
        if outcome is UNKNOWN or outcome is TOLD:
            # Nobody knows the peer any more. The device is a new peer, with another "born".
            self._moves.drop(peer)
            return self._bury(former, owned, outcome is TOLD)
        return outcome

    def _await_messages(self, former: Place) -> None:
        """Return when all messages of this node to a device are at its former owner. Blocks.

        This node may have sent them to an earlier owner. As one of its own peers, the device
        would get later ones before.
        """
        device, holds = (former.username, former.uuid), self._exchange.holds
        if self._remote_peers.get(*device) is None or self._exchange.is_own(former.node):
            return
        peer = self._remote_peers.of(former)
        if device in holds.held:
            self._search.awaited[device] = peer
            try:
                holds.wait(*device)
            finally:
                del self._search.awaited[device]

    def _bury(self, former: Place, owned: Ownership, is_told: bool) -> str:
        return UNKNOWN if self._releases.bury(former, owned, is_told) else ELSEWHERE
