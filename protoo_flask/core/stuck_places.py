"""Stuck places: the handlers of each user that are not expected to return any more."""

from __future__ import annotations

from .scheduling import Scheduler


class StuckPlaces:
    """``{username: how many handlers are stuck}``; a user without any is not in it.

    :param limit: as many of one user may be stuck; then no more of its requests are handled.
    """

    def __init__(self, limit: int, scheduler: Scheduler) -> None:
        self.limit = limit
        self._lock = scheduler.lock()
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, username: str, count: int) -> None:
        """Take note of handlers that do not return; of a negative number: of those that did."""
        with self._lock:
            total = self._counts.get(username, 0) + count
            if total > 0:
                self._counts[username] = total
            else:
                self._counts.pop(username, None)

    def leave(self, username: str, places: int) -> bool:
        """Whether they leave so many places to the user."""
        return self._counts.get(username, 0) + places <= self.limit
