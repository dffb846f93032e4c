"""Watches: users whose changes somebody wants to know.

A change is not sent: Redis says that there was one, the user is read again, and whoever watches
is told if something differs from what was told last. So nothing is lost when changes are missed
while the connection is away: everything is read again when it is back.

While the directory is not complete, nothing is told: else an empty Redis would make everybody
offline.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.cluster.places import User
from ..core.cluster.protocol import Watcher
from ..core.scheduling import Scheduler
from .lookups import Lookups


class Watched:
    """A user that is watched.

    :ivar told: what the functions have been told last; ``None``: nothing.
    :ivar is_asked: whether a reply is awaited.
    :ivar has_changed: whether it has changed since it was asked for.
    """

    __slots__ = ("functions", "has_changed", "is_asked", "new", "told")

    def __init__(self) -> None:
        self.functions: list[Watcher] = []
        #: Functions that have not been told anything.
        self.new: list[Watcher] = []
        self.told: User | None = None
        self.is_asked = False
        self.has_changed = False


class Watches:
    """The users that a node watches. All but :meth:`add` and :meth:`remove` is for the registry.

    :param post: has ``function(user)`` called, in order.
    """

    def __init__(self, scheduler: Scheduler, lookups: Lookups, post: Callable[..., None]) -> None:
        self._lock = scheduler.lock()
        self._lookups = lookups
        self._post = post
        self._users: dict[str, Watched] = {}
        self._may_tell = False

    def __len__(self) -> int:
        return len(self._users)

    def add(self, username: str, function: Watcher) -> None:
        with self._lock:
            watched = self._users.get(username)
            if watched is None:
                watched = self._users[username] = Watched()
            watched.functions.append(function)
            watched.new.append(function)
            may_tell = self._may_tell
        if may_tell:
            self._read(username, watched)

    def remove(self, username: str, function: Watcher) -> None:
        with self._lock:
            watched = self._users.get(username)
            if watched is None or function not in watched.functions:
                return
            watched.functions.remove(function)
            if function in watched.new:
                watched.new.remove(function)
            if not watched.functions:
                del self._users[username]

    def changed(self, username: str) -> None:
        """Take note that a user has changed."""
        with self._lock:
            watched = self._users.get(username)
            if watched is None or not self._may_tell:
                return
        self._read(username, watched)

    def resume(self) -> None:
        """Read everybody again: the directory is complete."""
        with self._lock:
            self._may_tell = True
            users = list(self._users.items())
        for username, watched in users:
            self._read(username, watched)

    def suspend(self) -> None:
        """Tell nothing: the directory is away, or not complete."""
        with self._lock:
            self._may_tell = False

    def clear(self) -> None:
        with self._lock:
            self._users.clear()

    def _read(self, username: str, watched: Watched) -> None:
        user = self._lookups.look(username) if self._lookups.is_true else None
        if user is not None and not watched.is_asked:
            self._tell(username, watched, user)
            return
        with self._lock:
            if watched.is_asked:
                # One question at a time: a user that changes all the time costs no more.
                watched.has_changed = True
                return
            watched.is_asked = True
            watched.has_changed = False
        self._lookups.ask(username, lambda reply: self._take(username, watched, reply))

    def _take(self, username: str, watched: Watched, reply: Any) -> None:
        with self._lock:
            watched.is_asked = False
            is_current = self._users.get(username) is watched and self._may_tell
            has_changed = watched.has_changed
        if not is_current:
            return  # everybody is read again when the connection is back
        if isinstance(reply, Exception) and not has_changed:
            return
        if has_changed:
            # Also when the reply is the end of a connection that has been replaced meanwhile.
            self._read(username, watched)
        else:
            self._tell(username, watched, reply)

    def _tell(self, username: str, watched: Watched, user: User) -> None:
        with self._lock:
            if self._users.get(username) is not watched or not self._may_tell:
                return
            functions = list(watched.new if user == watched.told else watched.functions)
            watched.new.clear()
            watched.told = user
        for function in functions:
            self._post(self._tell_one, username, function, user)

    def _tell_one(self, username: str, function: Watcher, user: User) -> None:
        watched = self._users.get(username)
        if watched is not None and function in watched.functions:
            function(user)
