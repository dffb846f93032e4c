"""Buckets: those of rate limits that all nodes share, as Redis has them.

One that is full has no key. The others expire when they are full again.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.clustered_rate_limit import Spending, Spent
from ..core.occasions import Occasions
from . import scripts
from .connection import RedisError
from .wires import Wires


class Buckets:
    """The buckets, from one node."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._occasions = Occasions(wires.loop.now)

    def spend(self, spending: Spending, then: Callable[[Spent | None], Any]) -> None:
        """See ``Cluster.spend``."""
        self._wires.run(self._spend, spending, then)

    def _spend(self, spending: Spending, then: Callable[[Spent | None], Any]) -> None:
        wires = self._wires
        writer = wires.open_writer
        if writer is None:
            then(None)
            return

        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                if isinstance(reply, RedisError) and self._occasions.begins("refused"):
                    # It is full, or lacks a right. Each worker goes on by itself.
                    wires.logger.error("Redis counts no requests for rate limits: %s", reply)
                then(None)
            else:
                then(Spent(reply[0] == 1, int(reply[1]) / 1e6))

        scripts.SPEND.ask(
            writer,
            take,
            wires.keys.bucket(spending.bucket),
            int(spending.seconds * 1e6),
            int(spending.capacity * 1e6),
            int(spending.is_surely),
        )
