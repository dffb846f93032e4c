"""The report: what was measured as tables, for a terminal and in Markdown."""

from __future__ import annotations

from typing import Iterable, Sequence

from . import stats
from .catalogue import OURS
from .kinds.kind import Kind
from .results import Key, Results
from .targets import Verdict

Table = list[Sequence[str]]


def table_of(kind: Kind, results: Results) -> Table:
    """Return the rows of a kind: each server with its medians, spreads and ratio to ours."""
    header = ["", *(f"{metric.title}, {metric.unit}" for metric in kind.metrics)]
    if kind.has_ratio:
        header.append("ratio")
    rows: Table = [header]
    first = kind.metrics[0].name
    servers = results.servers(kind.name)
    base = OURS if OURS in servers else next(iter(servers), OURS)
    for server in servers:
        cells = [_cell(results, Key(kind.name, server, metric.name)) for metric in kind.metrics]
        if kind.has_ratio:
            ratio = results.ratio(Key(kind.name, server, first), Key(kind.name, base, first))
            cells.append("" if ratio is None else f"{ratio:.2f}")
        rows.append([server, *cells])
    return rows


def _cell(results: Results, key: Key) -> str:
    values = results.series.get(key)
    if not values:
        return ""
    least, most = stats.spread(values)
    return f"{number(stats.median(values))} ({number(least)} to {number(most)})"


def number(value: float) -> str:
    """Write a figure with as many digits as mean something.

    >>> number(1234.5), number(123.45), number(12.345), number(0.12345)
    ('1234', '123', '12.3', '0.12')
    """
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def targets_table(verdicts: Iterable[Verdict]) -> Table:
    """Return the rows of the targets that something was measured for."""
    rows: Table = [["target", "at most", "is", ""]]
    for verdict in verdicts:
        unit = verdict.target.unit
        if verdict.value is not None:
            limit = f"{verdict.target.limit:g} {unit}"
            value = f"{verdict.value:.3g} {unit}"
            rows.append([verdict.target.text, limit, value, verdict.text])
    return rows


def as_text(table: Table) -> str:
    """Lay a table out for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(table: Table) -> str:
    """Lay a table out in Markdown."""
    head, *rows = table
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
