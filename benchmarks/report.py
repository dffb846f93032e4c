"""The report of a run, for a terminal and in Markdown."""

from __future__ import annotations

from typing import Callable, Sequence

from . import stats
from .catalogue import OURS
from .kinds import KINDS
from .kinds.kind import Kind
from .results import Key, Results
from .tables import Table, as_markdown, as_text, number
from .targets import Verdict

#: Lays out a table.
Layout = Callable[[Table], str]


def verdicts_of(results: Results) -> list[Verdict]:
    """Return the verdicts for the targets of all measured kinds."""
    measured = {key.kind for key in results.series}
    return [
        Verdict(target, target.value(results))
        for kind in KINDS.values()
        if kind.name in measured
        for target in kind.targets
    ]


def sections(results: Results, layout: Layout) -> dict[str, str]:
    """Return the parts of the report by their names: ``targets``, each kind, ..."""
    parts = {"targets": layout(targets_table(verdicts_of(results)))}
    for kind in KINDS.values():
        if results.servers(kind.name):
            parts[kind.name] = layout(kind_table(kind, results))
    parts["setting"] = "\n".join(f"- {line}" for line in setting_of(results))
    left_out = [*(f"failed: {text}" for text in results.failures), *results.not_run]
    parts["not run"] = "\n".join(f"- {text}" for text in left_out) or "- nothing"
    return parts


def text_report(results: Results) -> str:
    """Return the whole report for a terminal."""
    parts = sections(results, as_text)
    return "\n\n".join(f"{_title(name)}\n{part}" for name, part in _targets_last(parts))


def markdown_report(results: Results) -> str:
    """Return the whole report in Markdown."""
    parts = sections(results, as_markdown)
    return "\n\n".join(f"## {_title(name)}\n\n{part}" for name, part in _targets_last(parts)) + "\n"


def _targets_last(parts: dict[str, str]) -> list[tuple[str, str]]:
    """Put the targets last: on a terminal, the end of the output is what stays visible."""
    targets = parts.pop("targets")
    return [*parts.items(), ("targets", targets)]


def _title(name: str) -> str:
    return KINDS[name].title if name in KINDS else name


# Tables -------------------------------------------------------------------------------


def kind_table(kind: Kind, results: Results) -> Table:
    """Return a row for each server: medians, quartiles, ratio to this project."""
    servers = results.servers(kind.name)
    base = OURS if OURS in servers else servers[0]
    first = kind.metrics[0].name
    header = ["", *(f"{metric.title}, {metric.unit}" for metric in kind.metrics)]
    table: Table = [[*header, "ratio"] if kind.has_ratio else header]
    for server in servers:
        row = [server]
        row += [_cell(results, Key(kind.name, server, metric.name)) for metric in kind.metrics]
        if kind.has_ratio:
            ratio = results.ratio(Key(kind.name, server, first), Key(kind.name, base, first))
            row.append("" if ratio is None else f"{ratio:.2f}")
        table.append(row)
    return table


def _cell(results: Results, key: Key) -> str:
    values = results.series.get(key)
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    low, high = stats.spread(values)
    return f"{number(stats.median(values))} ({number(low)} to {number(high)})"


def targets_table(verdicts: Sequence[Verdict]) -> Table:
    """Return a row for each target."""
    table: Table = [["target", "at most", "is", ""]]
    for verdict in verdicts:
        target = verdict.target
        value = "" if verdict.value is None else f"{verdict.value:.3g} {target.unit}"
        table.append([target.text, f"{target.limit:g} {target.unit}", value, verdict.text])
    return table


# The setting --------------------------------------------------------------------------


def setting_of(results: Results) -> list[str]:
    """Return the machine, the versions and the options of the run, one line each."""
    facts = results.facts
    lines = [f"{name}: {value}" for name, value in facts.get("machine", {}).items()]
    versions = facts.get("versions", {})
    lines.append("versions: " + ", ".join(f"{name} {versions[name]}" for name in sorted(versions)))
    lines += [f"{name}: {value}" for name, value in facts.get("run", {}).items()]
    return lines + [f"note: {text}" for text in facts.get("hindrances", [])]
