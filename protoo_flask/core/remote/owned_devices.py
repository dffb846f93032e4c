"""The devices that this node owns, and the cluster's knowledge of them.

The lock of the directory guards the table: the caller holds it where the table changes.
"""

from __future__ import annotations

from ..cluster.places import Claim
from ..cluster.protocol import Cluster
from ..peers.peer import Peer
from ..scheduling import Scheduler
from .ownership import Ownership


class OwnedDevices:
    """``{(username, uuid): Ownership}``"""

    def __init__(self, cluster: Cluster, scheduler: Scheduler) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._table: dict[tuple[str, str], Ownership] = {}

    def __len__(self) -> int:
        return len(self._table)

    def get(self, username: str, uuid: str) -> Ownership | None:
        """Return what this node knows of its claim of a device."""
        return self._table.get((username, uuid))

    def of(self, peer: Peer) -> Ownership | None:
        """Return what this node knows of its claim of a peer."""
        return self._table.get((peer.username, peer.uuid))

    def get_token(self, peer: Peer) -> int:
        """Return the token of this node's latest claim of a peer; 0 without one."""
        owned = self.of(peer)
        return 0 if owned is None else owned.token

    def are_elsewhere(self, username: str) -> bool:
        """Whether a user was last known to have devices at other nodes."""
        places = self._cluster.look(username) or ()
        return any(place.node != self._cluster.node for place in places)

    # Changes ---------------------------------------------------------------------------------

    def put(self, username: str, uuid: str, claim: Claim | None) -> Ownership:
        """Own a device from now on.

        :param claim: ``None``: the directory is away, and there is none.
        """
        owned = self._table[username, uuid] = Ownership(claim, self._scheduler.now())
        return owned

    def bring(self, username: str, uuid: str) -> Ownership:
        """Return what is known of a device; without anything, own it without a claim."""
        return self.get(username, uuid) or self.put(username, uuid, None)

    def pop(self, username: str, uuid: str) -> Ownership | None:
        """Own a device no longer; returns what was known."""
        return self._table.pop((username, uuid), None)

    def bury_all(self) -> None:
        """Take note that others may have told that all peers of this node are offline."""
        for owned in self._table.values():
            owned.was_buried = True

    # The cluster's knowledge -------------------------------------------------------------------

    def mark(self, peer: Peer, online: bool, data: bytes | None = None) -> None:
        """Have the cluster know whether a peer is online, and its data.

        :param data: ``None``: the same as before.
        """
        owned = self.of(peer)
        if owned is not None and owned.token:
            self._cluster.mark(peer.username, peer.uuid, owned.token, online, data)

    def give_back(self, username: str, uuid: str, token: int) -> None:
        """Have the cluster know that another node has a device: nothing changes there."""
        if token:
            self._cluster.release(username, uuid, token, lambda outcome: None)
