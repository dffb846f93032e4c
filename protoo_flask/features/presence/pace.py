"""The pace of notifications: a user whose state changes all the time is told of less often.

A change costs one notification for each watcher. Without a limit, one device that connects
and leaves, or publishes, as fast as it can would make the server send a thousand times
as much to its watchers, and would get those on slow links disconnected.

Each watched user has a budget of notifications, which fills at a steady rate (a token bucket,
in the form of the "generic cell rate algorithm" of ITU-T I.371). Changes beyond the budget
are told late, and only the latest state of them.
"""

from __future__ import annotations

#: Notifications about one user in a second, in the long run: a change every second for
#: a thousand watchers, or a hundred changes for ten.
RATE = 1000.0

#: Notifications about one user that may be sent at once: twenty changes for a thousand
#: watchers. No person changes as often.
BURST = 20_000

#: Users whose budgets are looked through at least, for those that are full again.
_MANY = 1000


class Pace:
    """The budgets of the watched users: ``{username: when its budget is full again}``."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}
        self._many = _MANY

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, username: str, count: int, now: float) -> float:
        """Take so many notifications from the budget of a user.

        :returns: 0; or, when they are too many now, the seconds to wait. Nothing is taken then.
        """
        missing = max(self._full_at.get(username, 0.0) - now, 0.0)
        if missing + count / RATE > BURST / RATE and missing > 0:
            return min(missing, missing + (count - BURST) / RATE)
        self._full_at[username] = now + missing + count / RATE
        if len(self._full_at) > self._many:
            self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        full = [username for username, full_at in self._full_at.items() if full_at <= now]
        for username in full:
            del self._full_at[username]
        # So that the time for this is small compared with that for the notifications.
        self._many = max(2 * len(self._full_at), _MANY)
