"""Missed tells: news of other nodes that a slow reader had no room for.

The node that knows the news cannot know whether there is room. So the owner of the reader keeps
the latest text for each subject, and sends it when there is room.
"""

from __future__ import annotations

from typing import Optional, Tuple

from ..peers.peer import Peer
from ..scheduling import Scheduler, Timer, call_later_if_alive

#: Seconds until the next attempt.
RETRY = 1.0

#: Subjects of one peer. Beyond it, the oldest is forgotten.
MAX_SUBJECTS = 1000

#: Service and subject.
News = Tuple[str, str]
Text = Tuple[bytes, Optional[dict]]  # type: ignore[type-arg]


class MissedTells:
    """``{peer: {news: text and sender}}``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._missed: dict[Peer, dict[News, Text]] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._missed)

    def forget(self, peer: Peer, news: News) -> None:
        """Forget a text: there are newer news on its subject."""
        if not self._missed:
            return
        with self._lock:
            texts = self._missed.get(peer)
            if texts is not None:
                texts.pop(news, None)
                if not texts:
                    del self._missed[peer]

    def forget_all(self, peer: Peer, service: str, key: str) -> None:
        """Forget the texts about something that the peer has left: their subjects begin with it.

        :param key: of the engagement; a line of its own in front of the rest of a subject.
        """
        for news in list(self._missed.get(peer, ())):
            if news[0] == service and news[1].partition("\n")[0] == key:
                self.forget(peer, news)

    def put(self, peer: Peer, news: News, payload: bytes, sender: dict[str, str] | None) -> None:
        """Keep a text until there is room."""
        if not peer.is_listed:
            return
        with self._lock:
            texts = self._missed.setdefault(peer, {})
            texts[news] = (payload, sender)
            if len(texts) > MAX_SUBJECTS:
                del texts[next(iter(texts))]
            if self._timer is None:
                self._timer = call_later_if_alive(self._scheduler, RETRY, self._catch_up)

    def _catch_up(self) -> None:
        with self._lock:
            self._timer = None
            missed, self._missed = self._missed, {}
        for peer, texts in missed.items():
            if not peer.is_local:
                continue
            for news, (payload, sender) in texts.items():
                if not peer.outbound.transmit(payload, sender):
                    self.put(peer, news, payload, sender)
