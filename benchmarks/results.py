"""What was measured: figures by kind, server and metric, one for each round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from . import stats


class Key(NamedTuple):
    """What a series of figures is of: ``request``, ``protoo_flask``, ``cpu``."""

    kind: str
    server: str
    metric: str


class Results:
    """All figures of one run, and what is to be known about it.

    :ivar series: the figures, in the order of the rounds.
    :ivar not_run: what was left out, and why.
    :ivar failures: what was to be run, and ended with an error.
    :ivar facts: the machine and the versions, and how the run was asked for.
    """

    def __init__(self) -> None:
        self.series: dict[Key, list[float]] = {}
        self.not_run: list[str] = []
        self.failures: list[str] = []
        self.facts: dict[str, Any] = {}

    def add(self, kind: str, server: str, metric: str, value: float) -> None:
        """Note a figure of a round."""
        self.series.setdefault(Key(kind, server, metric), []).append(value)

    def leave_out(self, text: str) -> None:
        """Note what is not run."""
        if text not in self.not_run:
            self.not_run.append(text)

    def fail(self, text: str) -> None:
        """Note what has ended with an error."""
        self.failures.append(text)

    def median(self, key: Key) -> float | None:
        """Return the median over the rounds, if it was measured."""
        values = self.series.get(key)
        return stats.median(values) if values else None

    def ratio(self, key: Key, base: Key) -> float | None:
        """Return the ratio of two series: the median of the ratios within each round.

        A machine is faster in one minute than in the next, for both servers alike. Series
        that were not taken in the same rounds have the ratio of their medians.
        """
        values, bases = self.series.get(key), self.series.get(base)
        if not values or not bases:
            return None
        if len(values) != len(bases):
            return stats.median(values) / stats.median(bases)
        return stats.median([value / base for value, base in zip(values, bases)])

    def servers(self, kind: str) -> list[str]:
        """Return the servers that this kind has figures of."""
        return list(dict.fromkeys(key.server for key in self.series if key.kind == kind))

    def replace_kinds(self, newer: Results) -> None:
        """Take the figures of those kinds that were measured again."""
        kinds = {key.kind for key in newer.series}
        kept = {key: values for key, values in self.series.items() if key.kind not in kinds}
        self.series = {**kept, **newer.series}
        # That they failed before is no longer so; a failure begins with the name of its kind.
        self.failures = [text for text in self.failures if text.split(":")[0] not in kinds]
        for text in newer.failures:
            self.fail(text)

    # As a file -----------------------------------------------------------------------

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "facts": self.facts,
            "not_run": self.not_run,
            "failures": self.failures,
            "series": [[*key, values] for key, values in self.series.items()],
        }
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = cls()
        results.facts, results.not_run = content["facts"], content["not_run"]
        results.failures = content["failures"]
        for kind, server, metric, values in content["series"]:
            results.series[Key(kind, server, metric)] = values
        return results
