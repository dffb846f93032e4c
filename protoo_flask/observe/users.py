"""Users: how many there are, each counted at one worker of a cluster.

A user may have devices at several workers, and the sum of what the workers count must be the
number of users. So a user counts at the worker of the device that came online first. Workers know
this from the cache of the directory, which Redis keeps true. Whoever is not in the cache is asked
for in the background, and counts here until then.
"""

from __future__ import annotations

from typing import Iterable, Sequence

from ..core.application import Application
from ..core.cluster.protocol import Cluster, ClusterAway

#: Users that are asked for after one count, one after the other.
MAX_QUESTIONS = 1000

#: With more users in this process, nobody is asked for: they would drive the users out of the cache
#: that messages need.
MAX_ASKED = 10_000


class Users:
    """Counts the users of one app."""

    def __init__(self) -> None:
        self._is_asking = False

    def count(self, application: Application, usernames: Iterable[str]) -> int:
        """Return how many of the users with a device here count here; never blocks."""
        found = list(usernames)
        cluster: Cluster | None = application.directory.cluster
        if cluster is None:
            return len(found)
        node, count = cluster.node, 0
        unknown: list[str] = []
        for username in found:
            places = cluster.look(username)
            if places is None:
                unknown.append(username)
            if not places or places[0].node == node:
                count += 1
        if unknown and len(found) <= MAX_ASKED and not self._is_asking:
            self._is_asking = True
            application.runtime.scheduler.spawn(self._ask, cluster, unknown[:MAX_QUESTIONS])
        return count

    def _ask(self, cluster: Cluster, usernames: Sequence[str]) -> None:
        try:
            for username in usernames:
                cluster.find(username)
        except ClusterAway:
            pass  # the next count asks again
        finally:
            self._is_asking = False
