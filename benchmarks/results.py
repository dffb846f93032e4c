"""The results of a run: figures by kind, server and metric, one for each round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from . import stats


class Key(NamedTuple):
    """The name of a series of figures: ``request``, ``protoo_flask``, ``cpu``."""

    kind: str
    server: str
    metric: str


class Results:
    """All figures of one run, and facts about it.

    :ivar series: the figures, in the order of the rounds.
    :ivar not_run: texts about the parts that were left out, with the reason.
    :ivar failures: texts about the parts that ended with an error.
    :ivar facts: the machine, the versions, and the options of the run.
    """

    def __init__(self) -> None:
        self.series: dict[Key, list[float]] = {}
        self.not_run: list[str] = []
        self.failures: list[str] = []
        self.facts: dict[str, Any] = {}

    def add(self, kind: str, server: str, metric: str, value: float) -> None:
        """Add a figure of a round."""
        self.series.setdefault(Key(kind, server, metric), []).append(value)

    def leave_out(self, text: str) -> None:
        """Add a text about a part that is not run."""
        if text not in self.not_run:
            self.not_run.append(text)

    def fail(self, text: str) -> None:
        """Add a text about a part that has ended with an error."""
        self.failures.append(text)

    def median(self, key: Key) -> float | None:
        """Return the median over the rounds, or ``None`` if nothing was measured."""
        values = self.series.get(key)
        return stats.median(values) if values else None

    def ratio(self, key: Key, base: Key) -> float | None:
        """Return the ratio of two series: the median of the ratios within each round.

        The speed of a machine changes from minute to minute, for both servers in the same way. A
        ratio within a round does not notice this. For series with different numbers of rounds,
        the result is the ratio of their medians.
        """
        values, bases = self.series.get(key), self.series.get(base)
        if not values or not bases:
            return None
        if len(values) != len(bases):
            return stats.median(values) / stats.median(bases)
        return stats.median([value / base for value, base in zip(values, bases)])

    def servers(self, kind: str) -> list[str]:
        """Return the servers with figures of this kind."""
        return list(dict.fromkeys(key.server for key in self.series if key.kind == kind))

    def replace_kinds(self, newer: Results) -> None:
        """Replace the figures of the kinds that were measured again."""
        kinds = {key.kind for key in newer.series}
        kept = {key: values for key, values in self.series.items() if key.kind not in kinds}
        self.series = {**kept, **newer.series}
        # Old failures of these kinds are outdated. A failure begins with the name of its kind.
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
