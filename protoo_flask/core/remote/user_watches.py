"""Watches of users: functions that are called with the devices of a user, wherever they are.

The directory tells places. Here, they become peers, in a greenlet of its own. While the directory
is away, nobody is told anything: the peers of other nodes would be missing, as if they had gone.
"""

from __future__ import annotations

from typing import Any, Callable, List, Protocol

from ..cluster.places import User
from ..cluster.protocol import UP, Cluster
from ..peers.peer import Peer
from ..scheduling import Scheduler

Function = Callable[[List[Peer]], Any]


class CertainFinder(Protocol):
    """Finds peers for certain; see :class:`.ClusterDirectory`."""

    def find_for_certain(self, username: str) -> list[Peer] | None:
        """Return all peers of a user; ``None`` when nobody can tell. May block."""


class UserWatches:
    """All watches of one node.

    :ivar table: ``{(username, function): watches}``; a function may watch a user several times.
    """

    def __init__(self, cluster: Cluster, scheduler: Scheduler, finder: CertainFinder) -> None:
        self._cluster = cluster
        self._scheduler = scheduler
        self._finder = finder
        self._lock = scheduler.lock()
        self.table: dict[tuple[str, Any], list[Watch]] = {}

    def add(self, username: str, function: Function) -> None:
        """See ``Homes.watch``."""
        watch = Watch(self._scheduler, self._finder, username, function)
        with self._lock:
            self.table.setdefault((username, function), []).append(watch)
        self._cluster.watch(username, watch.note)

    def remove(self, username: str, function: Function) -> None:
        """See ``Homes.unwatch``."""
        with self._lock:
            watches = self.table.get((username, function))
            if not watches:
                return
            watch = watches.pop()
            if not watches:
                del self.table[username, function]
        watch.is_over = True
        self._cluster.unwatch(username, watch.note)

    def go_on(self, username: str) -> None:
        """Go on telling of a user, if anybody can tell now."""
        with self._lock:
            found = [watches for (name, _), watches in self.table.items() if name == username]
        for watches in found:
            for watch in list(watches):
                watch.go_on()

    def status_changed(self) -> None:
        """Go on telling, if the directory can tell now."""
        if self._cluster.status == UP:
            with self._lock:
                watches = [watch for watches in self.table.values() for watch in watches]
            for watch in watches:
                watch.go_on()


class Watch:
    """A function that is called with the devices of a user, one call after the other.

    :ivar is_over: whether it is not called any more.
    """

    def __init__(
        self, scheduler: Scheduler, finder: CertainFinder, username: str, function: Function
    ) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._finder = finder
        self._username = username
        self._function = function
        self._is_running = False
        self._has_changed = False
        #: Whether a change has not been told yet: the directory may be away.
        self._is_untold = False
        self.is_over = False

    def note(self, user: User) -> None:
        """Take note of a change; must not block."""
        with self._lock:
            self._has_changed = True
            if self._is_running:
                return
            self._is_running = True
        self._scheduler.spawn(self._run)

    def go_on(self) -> None:
        """Tell a change that could not be told; must not block."""
        if self._is_untold:
            # Also one that is being told: it may have been found out before that nobody can tell.
            self.note(User())

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._has_changed or self.is_over:
                    self._is_running = False
                    return
                self._has_changed, self._is_untold = False, True
            try:
                peers = self._finder.find_for_certain(self._username)
                if peers is not None:
                    self._is_untold = False
                    self._function(peers)
            except BaseException:
                # Of the function, or one that ends this greenlet: the next change runs it again.
                with self._lock:
                    self._is_running = False
                raise
