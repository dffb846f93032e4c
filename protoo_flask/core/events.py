"""Events that the site is told of, in order: online, offline and the like.

Listeners of the site may block (they write to the database), and the events of one user
may come from several greenlets. Each user has a queue. The greenlet that posts an event
then drains the queue, unless another one is doing so. So the events of one user are told one
after the other, an "offline" never after a newer "online", and a slow listener delays no
other user's events.

A listener that blocks for long must not make a queue grow without a limit. Events that cancel
each other are withdrawn where nobody can miss them: a "reconnect" takes back a "disconnect" that
has not been told. Other events are all told. So a user with more than :data:`MAX_WAITING`
gets no more devices for the moment; see :class:`~.peers.directory.TooManyEvents`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager, NamedTuple

#: Events of one user that may wait before no more devices of the user may come. When all sixteen
#: devices of a user come and leave again, there are 34.
MAX_WAITING = 100


class Condition:
    """A question that decides whether an event is told: in a cluster, others may tell it.

    :ivar holds: ``None`` while the answer is not known. The event waits, and those behind it.
    """

    __slots__ = ("holds",)

    def __init__(self) -> None:
        self.holds: bool | None = None


class SiteEvent(NamedTuple):
    """One event that the site is told of.

    :ivar name: of a signal, such as ``"peer_online"``.
    :ivar subject: a Peer, or a username.
    :ivar condition: under which it is told. :meth:`EventQueues.drain` is called again when the
        condition is known.
    :ivar then: called when it has been told, or was not to be; must not block, and not raise.
    """

    name: str
    subject: Any
    condition: Condition | None = None
    then: Callable[[], Any] | None = None


class EventQueues:
    """``{username: events not yet told}``; a queue exists only while it has events.

    :param tell: called with each event; must not raise.
    """

    def __init__(self, tell: Callable[[SiteEvent], None], lock: ContextManager[Any]) -> None:
        self._tell = tell
        self._lock = lock
        self._queues: dict[str, deque[SiteEvent]] = {}
        self._being_told: set[str] = set()
        #: The users whose queues have been found too long.
        self._overlong: set[str] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def post(self, username: str, *events: SiteEvent) -> None:
        """Append events to the user's queue, in the order in which they happened."""
        with self._lock:
            self._queues.setdefault(username, deque()).extend(events)

    def withdraw(self, username: str, event: SiteEvent) -> bool:
        """Take an event back, the latest one of its kind; ``False`` if it is told already."""
        with self._lock:
            queue = self._queues.get(username)
            if queue is None or event not in queue:
                return False
            queue.reverse()
            queue.remove(event)
            queue.reverse()
            if not queue and username not in self._being_told:
                del self._queues[username]
                self._overlong.discard(username)
            return True

    def has(self, username: str) -> bool:
        """Whether events of a user wait, or are being told."""
        return username in self._queues

    def is_overlong(self, username: str) -> bool:
        """Whether more than :data:`MAX_WAITING` events of a user wait to be told."""
        return len(self._queues.get(username, ())) > MAX_WAITING

    def notice_overlong(self, username: str) -> bool:
        """Take note that a queue is too long; ``False`` if that is no news."""
        with self._lock:
            is_news = username in self._queues and username not in self._overlong
            if is_news:
                self._overlong.add(username)
            return is_news

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
                    self._overlong.discard(username)
                    return
                condition = queue[0].condition
                if condition is not None and condition.holds is None:
                    self._being_told.discard(username)
                    return
                event = queue.popleft()
            try:
                if condition is None or condition.holds:
                    self._tell(event)
            except BaseException:
                # An exception that ends this greenlet, such as gevent.Timeout: the user's other
                # events must not wait for a greenlet that has ended.
                with self._lock:
                    self._being_told.discard(username)
                self.drain(username)
                raise
            finally:
                if event.then is not None:
                    event.then()
