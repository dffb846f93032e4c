"""Forwarding: items for peers that have just been handed over are passed on to their new owners."""

from __future__ import annotations

from ..cluster.items import Close, Engage, Tell
from ..peers.local_directory import LocalDirectory
from ..scheduling import Scheduler
from .exchange import Exchange

#: Seconds in which messages are passed on that have been sent to a former owner, and how many
#: devices are remembered for it.
FORWARDING_TIME = 5.0
MAX_FORWARDED = 10_000


class Forwarding:
    """The devices that this node has handed over a moment ago."""

    def __init__(self, exchange: Exchange, peers: LocalDirectory, scheduler: Scheduler) -> None:
        self._exchange = exchange
        self._peers = peers
        self._scheduler = scheduler
        #: {device: (the node that it has been handed over to, until when)}, oldest first.
        self._moved: dict[tuple[str, str], tuple[str, float]] = {}
        exchange.pass_on = self.pass_on
        exchange.pass_close_on = self.pass_close_on

    def note_move(self, device: tuple[str, str], node: str) -> None:
        """Take note that a device has been handed over to a node."""
        now = self._scheduler.now()
        self._moved.pop(device, None)
        self._moved[device] = node, now + FORWARDING_TIME
        while self._moved:
            oldest = next(iter(self._moved))
            if len(self._moved) <= MAX_FORWARDED and self._moved[oldest][1] > now:
                return
            del self._moved[oldest]

    def note_return(self, device: tuple[str, str]) -> None:
        """Take note that a device is here again: two nodes must not pass items on to each other."""
        self._moved.pop(device, None)

    def find_new_owner(self, username: str, uuid: str) -> str | None:
        """Return the node that a peer has just been handed over to."""
        node, until = self._moved.get((username, uuid), ("", 0.0))
        return node if node and self._scheduler.now() < until else None

    def pass_on(self, item: Tell | Engage, username: str, uuid: str) -> bool:
        """Pass an item on that was sent to the former owner of a peer."""
        node = self.find_new_owner(username, uuid)
        if node is None:
            return False
        self._exchange.cluster.send(node, item)
        return True

    def pass_close_on(self, sender: str, item: Close) -> None:
        """Have the links of devices closed that have been handed over.

        The site has closed them, and the item has come here, or to the new owner, while they moved.

        :param sender: of the item; it has done so already.
        """
        devices = [(item.username, item.uuid)]
        if item.uuid is None:
            devices = [device for device in list(self._moved) if device[0] == item.username]
        for username, uuid in devices:
            assert uuid is not None
            if self._peers.get_local(username, uuid) is None:
                node = self.find_new_owner(username, uuid)
                if node is not None and node != sender:
                    close = Close(username, uuid, item.code, item.reason, born=item.born)
                    self._exchange.cluster.send(node, close)
