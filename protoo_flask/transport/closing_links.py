"""The connections that have left the open state and have not ended, and their bounds.

Such a connection keeps its descriptor until the client has finished the closing handshake, or
for some seconds (:mod:`.closing`). A client that comes and goes, or takes its own device over
again and again, would keep thousands of them, and nobody else could connect. So there may be
only a few, and beyond that the oldest is broken: its Close frame has been written, but nobody
waits for the client's answer.
"""

from __future__ import annotations

from typing import Any, ContextManager, Protocol

#: Closing connections of one device: one that a reload has replaced, and one more.
PER_DEVICE = 2


class Closing(Protocol):
    """A connection that is closing."""

    def break_off(self) -> None:
        """Break the connection now; its end follows."""


class ClosingLinks:
    """The closing connections of one app.

    :param lock: taken last: nothing is called while it is held.
    :param per_user: how many one user may have. When the site disconnects a user, as many as
        the user has devices are closing, so it is at least that.
    :param total: how many there may be.
    """

    def __init__(self, lock: ContextManager[Any], per_user: int, total: int) -> None:
        self._lock = lock
        self._per_user = max(per_user, PER_DEVICE)
        self._total = total
        #: The devices of all of them, the oldest connection first.
        self._devices: dict[Closing, tuple[str, str]] = {}
        #: {username: its connections and their uuids, the oldest first}
        self._users: dict[str, dict[Closing, str]] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def add(self, link: Closing, device: tuple[str, str]) -> list[Closing]:
        """Take note that a connection is closing.

        :returns: those that the caller breaks, because they are too many now.
        """
        username, uuid = device
        with self._lock:
            self._devices[link] = device
            links = self._users.setdefault(username, {})
            links[link] = uuid
            of_device = [other for other, name in links.items() if name == uuid]
            surplus = of_device[:-PER_DEVICE]
            if not surplus and len(links) > self._per_user:
                surplus = [next(iter(links))]
            if not surplus and len(self._devices) > self._total:
                surplus = [next(iter(self._devices))]
            for other in surplus:
                self._remove(other)
            return surplus

    def remove(self, link: Closing) -> None:
        """Take note that a connection has ended; harmless if it is not here."""
        with self._lock:
            self._remove(link)

    def _remove(self, link: Closing) -> None:
        device = self._devices.pop(link, None)
        if device is not None:
            links = self._users[device[0]]
            del links[link]
            if not links:
                del self._users[device[0]]
