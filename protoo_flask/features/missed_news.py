"""Missed news: changes that a slow reader has not been told of, because it had no room.

Some notifications of the server are news about a user: a member has joined, a user is online.
They count in the share of that user (:mod:`...core.transactions.shares`), or joins
and leaves without end would have a slow reader given up. News without room are not lost: the
reader is told the latest of them as soon as there is room. So its view is true in the end.
"""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Generic, Hashable, Sequence, TypeVar

from ..core.peers.peer import Peer
from ..core.scheduling import Scheduler, Timer, call_later_if_alive

K = TypeVar("K", bound=Hashable)

#: Seconds until the next attempt.
RETRY = 1.0

#: Subjects of which one peer has missed the latest news. Each takes some 200 bytes. Beyond it,
#: the oldest is forgotten.
MAX_MISSED = 1000


class MissedNews(Generic[K]):
    """The subjects of which peers have missed the latest news: ``{peer: {subject: None}}``.

    :param lock: held by the caller of :meth:`tell`.
    :param send: called as ``send(subject, peers)`` while the lock is held; sends those of the
        peers that it still concerns the latest news, and returns those without room.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        lock: ContextManager[Any],
        send: Callable[[K, Sequence[Peer]], Sequence[Peer]],
    ) -> None:
        self._scheduler = scheduler
        self._lock = lock
        self._send = send
        self._missed: dict[Peer, dict[K, None]] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._missed)

    def tell(self, subject: K, peers: Sequence[Peer]) -> None:
        """Send peers the news about a subject: now, or when there is room."""
        # The latest news replace those that were missed before.
        if self._missed:
            for peer in peers:
                self._settle(peer, subject)
        for peer in self._send(subject, peers):
            # A peer that has gone needs no news.
            if peer.is_listed:
                missed = self._missed.setdefault(peer, {})
                missed[subject] = None
                if len(missed) > MAX_MISSED:
                    del missed[next(iter(missed))]
        if self._missed and self._timer is None:
            self._timer = call_later_if_alive(self._scheduler, RETRY, self._catch_up)

    def has_missed(self, peer: Peer, subject: K) -> bool:
        """Whether a peer is still to be sent the latest news about a subject."""
        return subject in self._missed.get(peer, {})

    def _settle(self, peer: Peer, subject: K) -> None:
        missed = self._missed.get(peer)
        if missed is not None:
            missed.pop(subject, None)
            if not missed:
                del self._missed[peer]

    def _catch_up(self) -> None:
        """Tell what was missed, where there is room by now."""
        with self._lock:
            self._timer = None
            missed, self._missed = self._missed, {}
            for peer, subjects in missed.items():
                for subject in subjects:
                    self.tell(subject, [peer])
