"""Happenings told in order: online, offline and the like, one user at a time.

Handlers of the application may block (they write to the database), and what happens
to a user may be noticed in several greenlets. Each user has a queue, and whoever
finds nobody emptying it empties it. So the events of one user are told one after
the other, an "offline" never after a newer "online", and a slow handler delays no
other user's.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager, NamedTuple


class Event(NamedTuple):
    """Something that happened.

    ``name`` is that of a signal; ``subject`` a Peer, or a username.
    """

    name: str
    subject: Any


class EventQueues:
    """``{username: events not yet told}``; a queue exists only while there are some.

    :param tell: called with each event; must not raise.
    """

    def __init__(self, tell: Callable[[Event], None], lock: ContextManager[Any]) -> None:
        self._tell = tell
        self._lock = lock
        self._queues: dict[str, deque[Event]] = {}
        self._being_told: set[str] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def post(self, username: str, *events: Event) -> None:
        """Put events into the user's queue, in the order in which they happened."""
        with self._lock:
            self._queues.setdefault(username, deque()).extend(events)

    def drain(self, username: str) -> None:
        """Tell what is in the user's queue, or leave it to whoever is doing that."""
        with self._lock:
            if username in self._being_told or username not in self._queues:
                return
            self._being_told.add(username)
            queue = self._queues[username]
        while True:
            with self._lock:
                if not queue:
                    del self._queues[username]
                    self._being_told.discard(username)
                    return
                event = queue.popleft()
            try:
                self._tell(event)
            except BaseException:
                # Something that ends this greenlet, a gevent.Timeout say: the user's other
                # events must not wait for a teller that will never come back.
                with self._lock:
                    self._being_told.discard(username)
                self.drain(username)
                raise
