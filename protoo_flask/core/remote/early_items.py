"""Early items: those for a device whose handshake is in progress at this node.

The directory says already that the device is here, and others have read that.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..peers.peer import Peer
from .exchange import Exchange

#: Items that are kept for one device.
MAX_EARLY = 1000


class Arriving(Protocol):
    """The devices that are here, or about to be; see :class:`.ClusterDirectory`."""

    def get_local(self, username: str, uuid: str) -> Peer | None:
        """Return a peer of this node."""

    def is_arriving(self, username: str, uuid: str) -> bool:
        """Whether a handshake of a device is in progress here."""


class EarlyItems:
    """``{device: [(node, item)]}``"""

    def __init__(self, exchange: Exchange, devices: Arriving) -> None:
        self._exchange = exchange
        self._devices = devices
        self._kept: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        exchange.keep_early = self.keep

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, node: str, item: Any, username: str, uuid: str) -> bool:
        """Keep an item for a device whose handshake is in progress; ``False`` if there is none."""
        device = username, uuid
        if self._devices.get_local(*device) is not None or not self._devices.is_arriving(*device):
            return False
        kept = self._kept.setdefault(device, [])
        if len(kept) < MAX_EARLY:
            kept.append((node, item))
        return True

    def deliver(self, username: str, uuid: str) -> None:
        """Take what was kept during a handshake."""
        for node, item in self._kept.pop((username, uuid), ()):
            self._exchange.receive(node, item)
