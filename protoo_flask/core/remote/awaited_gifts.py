"""Gifts that are awaited: peers that a node which leaves has given to this one.

The directory names this node as the owner from the gift on. The peer comes a moment later, with
its estate.
"""

from __future__ import annotations

from typing import Any, Callable

from ..peers.local_directory import LocalDirectory
from ..scheduling import Scheduler
from .owned_devices import OwnedDevices
from .releases import Releases

#: Seconds for an estate of a node that leaves. It is sent as soon as the directory names the heir.
GIFT_TIME = 5.0


class AwaitedGifts:
    """The devices that were seen to be given to this node, and are not here yet.

    :param lock: of the directory.
    :param has_expired: called as ``has_expired(username)`` when a gift is awaited no longer.
    """

    def __init__(
        self,
        peers: LocalDirectory,
        scheduler: Scheduler,
        owned: OwnedDevices,
        releases: Releases,
        lock: Any,
        has_expired: Callable[[str], Any],
    ) -> None:
        self._peers = peers
        self._scheduler = scheduler
        self._owned = owned
        self._releases = releases
        self._lock = lock
        self._has_expired = has_expired
        #: {(username, uuid): when it was first seen}. An estate is lost at most when a node dies
        #: as it leaves.
        self._since: dict[tuple[str, str], float] = {}

    def is_awaited(self, username: str, uuid: str) -> bool:
        """Whether the estate of a device that the directory says is here is on its way.

        Such a peer is not gone: its device may be back at any node.
        """
        device = username, uuid
        if self._peers.get_local(*device) is not None:
            return False
        with self._lock:
            if self._owned.get(*device) is not None or self._releases.is_leaving(*device):
                return False  # it was here, and its release is on its way
            since = self._since.get(device)
            if since is None:
                since = self._since[device] = self._scheduler.now()
                self._scheduler.call_later(GIFT_TIME, self._has_expired, username)
        return self._scheduler.now() - since < GIFT_TIME

    def take(self, username: str, uuid: str) -> None:
        """Take note that a gift has come."""
        self._since.pop((username, uuid), None)
