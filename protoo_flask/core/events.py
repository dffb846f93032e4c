"""Events that the site is told of, in order: online, offline and the like.

Listeners of the site may block (they write to the database), and the events of one user
may come from several greenlets. Each user has a queue. The greenlet that posts an event
then drains the queue, unless another one is doing so. So the events of one user are told one
after the other, an "offline" never after a newer "online", and a slow listener delays no
other user's events.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager, NamedTuple


class SiteEvent(NamedTuple):
    """One event that the site is told of.

    :ivar name: of a signal, such as ``"peer_online"``.
    :ivar subject: a Peer, or a username.
    """

    name: str
    subject: Any


class EventQueues:
    """``{username: events not yet told}``; a queue exists only while it has events.

    :param tell: called with each event; must not raise.
    """

    def __init__(self, tell: Callable[[SiteEvent], None], lock: ContextManager[Any]) -> None:
        self._tell = tell
        self._lock = lock
        self._queues: dict[str, deque[SiteEvent]] = {}
        self._being_told: set[str] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def post(self, username: str, *events: SiteEvent) -> None:
        """Append events to the user's queue, in the order in which they happened."""
        with self._lock:
            self._queues.setdefault(username, deque()).extend(events)

    def drain(self, username: str) -> None:
        """Tell the events of a user's queue, unless another greenlet is doing so."""
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
                # An exception that ends this greenlet, such as gevent.Timeout: the user's other
                # events must not wait for a greenlet that has ended.
                with self._lock:
                    self._being_told.discard(username)
                self.drain(username)
                raise
