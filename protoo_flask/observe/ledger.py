"""A ledger: the tally and the census of one app, and how much has been entered elsewhere."""

from __future__ import annotations

from typing import Iterator, Sequence

from .census import PEERS, Census
from .tally import Durations, Key, Tally


class Ledger:
    """The metrics of one app.

    :param tally: of the app.
    :ivar is_awaited: whether a timer will have the tally entered.
    :ivar has_peers: whether there were peers when the gauges were read last.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.is_awaited = False
        self.has_peers = False
        self._census = Census()
        self._entered: dict[Key, int] = {}
        self._entered_durations: dict[str, Durations] = {}

    @property
    def is_over(self) -> bool:
        """Whether the app has had clients, and is gone."""
        return self.tally.has_started and self.tally.application is None

    def reset(self) -> None:
        """Begin anew, in a process that was just forked."""
        self.is_awaited = False
        self.tally.reset()
        self._entered, self._entered_durations = {}, {}

    def gauges(self) -> dict[Key, float]:
        """Return the gauges of this moment."""
        gauges = self._census.take(self.tally.application)
        self.has_peers = any(value for (name, _), value in gauges.items() if name == PEERS)
        return gauges

    def take_counts(self) -> list[tuple[Key, int]]:
        """Return the counts that have grown since they were taken last, and by how much."""
        totals: dict[Key, int] = {}
        for key, value in [*self.tally.totals(), *self._cluster_totals()]:
            totals[key] = totals.get(key, 0) + value
        taken: list[tuple[Key, int]] = []
        for key, value in totals.items():
            before = self._entered.get(key, 0)
            if value < before:
                before = 0  # the process has joined its cluster anew
            if value > before:
                taken.append((key, value - before))
        self._entered = totals
        return taken

    def take_durations(self) -> list[Durations]:
        """Return the durations that have come since they were taken last."""
        taken: list[Durations] = []
        for method, buckets, seconds in self.tally.durations():
            before = self._entered_durations.get(method)
            self._entered_durations[method] = Durations(method, buckets, seconds)
            if before is None:
                taken.append(Durations(method, buckets, seconds))
            elif buckets != before.buckets:
                new = _subtract(buckets, before.buckets)
                taken.append(Durations(method, new, seconds - before.seconds))
        return taken

    def _cluster_totals(self) -> Iterator[tuple[Key, int]]:
        application = self.tally.application
        cluster = None if application is None else application.directory.cluster
        if cluster is None:
            return
        traffic = cluster.traffic
        yield ("protoo_cluster_frames_sent_total", ()), traffic.sent
        yield ("protoo_cluster_frames_received_total", ()), traffic.received
        yield ("protoo_cluster_gaps_total", ()), traffic.gaps


def _subtract(values: Sequence[int], others: Sequence[int]) -> list[int]:
    return [value - other for value, other in zip(values, others)]
