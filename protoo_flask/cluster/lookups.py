"""Lookups: users as Redis has them, from a bounded cache that Redis keeps true.

The cache has users that are absent, too. Redis remembers which keys the reader connection has
read (``CLIENT TRACKING``), and says when one of them changes. A reply and the news of a change
come over the same connection, in the order in which Redis has made them: an entry is never older
than the latest news.

============  ================================  ==========================================
a user is     when                              a lookup
============  ================================  ==========================================
cached        a reply has come since the        answers at once
              latest change
under way     a command was sent                joins the others that wait for its reply
unknown       else                              is sent, with others of the round
============  ================================  ==========================================

What this node changes itself is known sooner by the reply to its own command than by the news:
:meth:`Lookups.forget` has the next lookup ask anew, and not join one that is under way.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Iterable

from ..core.cluster.places import User
from ..core.cluster.protocol import ClusterAway
from ..core.scheduling import Scheduler
from .connection import RedisConnection
from .entries import read_user
from .keys import Keys

#: Users in the cache of a node, about 0.5 kB each: those of 10 000 peers, and some that each of
#: them talks to. Redis remembers as many keys for each node.
MAX_CACHED_USERS = 32 * 1024

#: ``then(user)``, or ``then(error)``.
ThenUser = Callable[[Any], Any]


class Lookup:
    """A command under way, and the waiters for its reply."""

    __slots__ = ("is_outdated", "waiting")

    def __init__(self) -> None:
        self.waiting: list[ThenUser] = []
        self.is_outdated = False


class Lookups:
    """The users that a node has asked for.

    :ivar is_true: whether what is cached is what Redis has. ``False`` from the end of the reader
        until :meth:`begin`; what was last known stays for :meth:`look`.
    """

    def __init__(self, scheduler: Scheduler, keys: Keys, max_users: int = MAX_CACHED_USERS) -> None:
        self._lock = scheduler.lock()
        self._keys = keys
        self._max_users = max_users
        self._users: OrderedDict[str, User] = OrderedDict()
        self._under_way: dict[str, Lookup] = {}
        self._reader: RedisConnection | None = None
        self.is_true = False

    def __len__(self) -> int:
        return len(self._users)

    # The connection ------------------------------------------------------------------------

    def begin(self, reader: RedisConnection) -> None:
        """Ask by this connection from now on. The cache is emptied."""
        reader.ask(None, b"CLIENT", b"TRACKING", b"ON")
        with self._lock:
            self._reader = reader
            self._users.clear()
            self._under_way.clear()
            self.is_true = True

    def end(self) -> None:
        """Take note that the reader has ended. Its replies are errors."""
        with self._lock:
            self._reader = None
            self.is_true = False

    # Asking --------------------------------------------------------------------------------

    def look(self, username: str) -> User | None:
        """Return what is known without a question."""
        with self._lock:
            user = self._users.get(username)
            if user is not None:
                self._users.move_to_end(username)
            return user

    def ask(self, username: str, then: ThenUser) -> None:
        """Have ``then(user)`` called with the reply, or with the error. Never blocks.

        Called by the owner's thread.
        """
        with self._lock:
            reader = self._reader
            lookup = self._under_way.get(username)
            if lookup is not None:
                lookup.waiting.append(then)
                return
            if reader is not None:
                lookup = self._under_way[username] = Lookup()
                lookup.waiting.append(then)
        if reader is None or lookup is None:
            then(ClusterAway("there is no connection to Redis"))
            return

        def take(reply: Any) -> None:
            self._take(reader, username, lookup, reply)

        reader.ask(take, b"HGETALL", self._keys.user(username))

    def _take(self, reader: RedisConnection, username: str, lookup: Lookup, reply: Any) -> None:
        error = isinstance(reply, Exception)
        found = reply if error else read_user(username, reply)
        with self._lock:
            if self._under_way.get(username) is lookup:
                del self._under_way[username]
            if not error and not lookup.is_outdated and self._reader is reader:
                self._put(username, found)
            waiting = lookup.waiting
        for then in waiting:
            then(found)

    def _put(self, username: str, user: User) -> None:
        self._users[username] = user
        self._users.move_to_end(username)
        if len(self._users) > self._max_users:
            # Redis goes on to tell of it once, which means nothing then.
            self._users.popitem(last=False)

    # Changes -------------------------------------------------------------------------------

    def forget(self, username: str) -> None:
        """Take note that a user has changed: a lookup under way may not know yet."""
        with self._lock:
            self._users.pop(username, None)
            lookup = self._under_way.pop(username, None)
            if lookup is not None:
                lookup.is_outdated = True

    def invalidate(self, keys: Iterable[bytes]) -> list[str]:
        """Take the news of Redis that keys have changed; returns the users."""
        usernames = []
        for key in keys:
            username = self._keys.username(key)
            if username is not None:
                self.forget(username)
                usernames.append(username)
        return usernames

    def forget_all(self) -> None:
        """Take the news that Redis tracks nothing any more, as after FLUSHALL."""
        with self._lock:
            self._users.clear()
            for lookup in self._under_way.values():
                lookup.is_outdated = True
            self._under_way.clear()
