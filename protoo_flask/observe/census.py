"""A census: the gauges of one app, read from what there is when somebody looks.

Nothing is counted for it while messages pass. Reading takes two or three microseconds for each
peer.
"""

from __future__ import annotations

from ..core.application import Application
from ..core.cluster.protocol import AWAY, SETTLING, UP, Cluster
from ..core.peers.peer import CONNECTED
from ..features.calls.calls import Calls
from ..features.rooms.rooms import Rooms
from .tally import Key
from .users import Users

PEERS = "protoo_peers"

#: Of these, every process has a value, also before its first client.
_ALWAYS: tuple[Key, ...] = (
    (PEERS, ("connected",)),
    (PEERS, ("away",)),
    ("protoo_users", ()),
    ("protoo_requests_open", ()),
    ("protoo_transactions_open", ()),
    ("protoo_outbox_bytes", ()),
    ("protoo_mailbox_bytes", ()),
    ("protoo_calls", ()),
    ("protoo_rooms", ()),
)


class Census:
    """Reads the gauges of one app."""

    def __init__(self) -> None:
        self._users = Users()

    def take(self, application: Application | None) -> dict[Key, float]:
        """Return the gauges; zeros without an application. Never blocks."""
        gauges: dict[Key, float] = dict.fromkeys(_ALWAYS, 0)
        if application is not None:
            self._count_peers(application, gauges)
            _count_services(application, gauges)
            cluster = application.directory.cluster
            if cluster is not None:
                _look_at_cluster(cluster, gauges)
        return gauges

    def _count_peers(self, application: Application, gauges: dict[Key, float]) -> None:
        usernames = set()
        connected = away = requests = transactions = waiting = kept = 0
        for peer in application.directory.find_local():
            outbound = peer.outbound
            if outbound.node is not None:
                continue  # it has moved to another node just now
            usernames.add(peer.username)
            if peer.state is CONNECTED:
                connected += 1
            else:
                away += 1
            requests += len(peer.requests)
            transactions += len(outbound)
            link, mailbox = outbound.link, outbound.mailbox
            if link is not None and link.outbox.is_blocked:
                waiting += link.outbox.size
            if mailbox is not None:
                kept += mailbox.size
        gauges[PEERS, ("connected",)] = connected
        gauges[PEERS, ("away",)] = away
        gauges["protoo_requests_open", ()] = requests
        gauges["protoo_transactions_open", ()] = transactions
        gauges["protoo_outbox_bytes", ()] = waiting
        gauges["protoo_mailbox_bytes", ()] = kept
        gauges["protoo_users", ()] = self._users.count(application, usernames)


def _count_services(application: Application, gauges: dict[Key, float]) -> None:
    for service in application.runtime.services:
        if isinstance(service, Calls):
            gauges["protoo_calls", ()] += len(service)
        elif isinstance(service, Rooms):
            gauges["protoo_rooms", ()] += len(service)


def _look_at_cluster(cluster: Cluster, gauges: dict[Key, float]) -> None:
    for status in (UP, SETTLING, AWAY):
        gauges["protoo_cluster_workers", (status,)] = int(cluster.status == status)
    gauges["protoo_cluster_nodes", ()] = 1 + len(cluster.others())
