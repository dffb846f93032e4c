"""The users that a node of a hub watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoo_flask.core.cluster.places import User
from protoo_flask.core.cluster.protocol import UP, Watcher

from .clock import HubClock

if TYPE_CHECKING:
    from .in_process_cluster import InProcessCluster


class Watches:
    """Watchers, which are told when users have changed, and never while that is not sure.

    :ivar watchers: ``{username: watchers}``.
    """

    def __init__(self, cluster: InProcessCluster, clock: HubClock) -> None:
        self._cluster = cluster
        self._clock = clock
        self.watchers: dict[str, list[Watcher]] = {}
        #: What watchers were told last.
        self._delivered: dict[str, User] = {}
        #: Users that may have changed since.
        self._dirty: set[str] = set()

    def add(self, username: str, function: Watcher) -> None:
        self.watchers.setdefault(username, []).append(function)
        self._post(self._tell_first, username, function)

    def remove(self, username: str, function: Watcher) -> None:
        functions = self.watchers.get(username, [])
        if function in functions:
            functions.remove(function)
        if not functions:
            self.watchers.pop(username, None)
            self._delivered.pop(username, None)
            self._dirty.discard(username)

    def clear(self) -> None:
        self.watchers.clear()

    def invalidate(self, username: str) -> bool:
        """Take note that a user has changed; ``False``: nobody watches it."""
        if username not in self.watchers:
            return False
        self._dirty.add(username)
        self.deliver_soon()
        return True

    def doubt_all(self) -> None:
        """Take note that every user may have changed."""
        self._dirty.update(self.watchers)

    def deliver_soon(self) -> None:
        self._post(self._deliver)

    @property
    def _is_sure(self) -> bool:
        return self._cluster.status == UP and self._cluster.is_reachable

    def _tell_first(self, username: str, function: Watcher) -> None:
        if function not in self.watchers.get(username, ()):
            return
        if self._is_sure:
            function(self._cluster.read(username))
        else:
            # All of them are told when it is sure.
            self._dirty.add(username)
            self._delivered.pop(username, None)

    def _deliver(self) -> None:
        while self._dirty and self._is_sure:
            username = self._dirty.pop()
            user = self._cluster.read(username)
            if self._delivered.get(username) == user:
                continue
            self._delivered[username] = user
            for function in list(self.watchers.get(username, ())):
                function(user)

    def _post(self, *task: object) -> None:
        # A watcher must not block.
        self._clock.post(self._cluster.scheduler, *task, may_block=False)  # type: ignore[arg-type]
