"""The report of a campaign: as Markdown for people and docs/reliability.md, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Iterable, Iterator, Sequence

from .campaign import Result

MIB = 1024 * 1024

#: Packages whose versions matter.
PACKAGES = ("protoo_flask", "flask", "werkzeug", "gevent", "gunicorn", "hypothesis", "redis")

#: The lines of docs/reliability.md between which the report stands.
BEGIN, END = "<!-- report -->", "<!-- end of report -->"


@dataclass
class Report:
    """All that is to be said of a campaign.

    :ivar command: repeats it.
    :ivar autobahn: what the Autobahn test suite has found, or why it was not run.
    """

    seed: int
    command: str
    autobahn: str = "not run"
    seconds: float = 0.0
    results: list[Result] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: dict(find_versions()))

    @property
    def findings(self) -> list[str]:
        return [f"{result.cell}: {text}" for result in self.results for text in result.findings]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def to_markdown(self) -> str:
        lines = [
            f"`{self.command}`, {self.seconds / 60:.1f} minutes, seed {self.seed}.",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()) + ".",
            "",
            *self._totals(),
            "",
            *table(CELL_COLUMNS, map(cell_row, self.results)),
            "",
            *table(("fuzzer", "inputs"), sum_up(result.inputs for result in self.results)),
            "",
            *table(("flood", "sent"), sum_up(result.floods for result in self.results)),
            "",
            *table(("fault", "times"), sum_up(result.faults for result in self.results)),
        ]
        if self.findings:
            lines += ["", "Findings:", "", *(f"- {text}" for text in self.findings)]
        return "\n".join(lines)

    def _totals(self) -> Iterator[str]:
        def total(name: str) -> int:
            return sum(getattr(result, name) for result in self.results)

        quiet = [result.slowest["in quiet"] for result in self.results if result.slowest]
        busy = [max(result.slowest.values()) for result in self.results if result.slowest]
        yield from table(
            ("", ""),
            [
                ("messages acknowledged", f"{total('messages'):,}"),
                ("requests answered", f"{total('requests'):,}"),
                ("faults injected", f"{sum(sum(r.faults.values()) for r in self.results):,}"),
                ("inputs of fuzzers", f"{sum(sum(r.inputs.values()) for r in self.results):,}"),
                ("messages lost", f"{total('lost'):,}"),
                ("messages that came again after the end of a server", f"{total('repeated'):,}"),
                ("slowest echo of a neighbour, in quiet", f"{max(quiet, default=0):.2f} s"),
                ("the same, during fuzzing, floods and faults", f"{max(busy, default=0):.2f} s"),
                ("findings", f"{len(self.findings):,}"),
                ("Autobahn test suite", self.autobahn),
            ],
        )


CELL_COLUMNS = (
    *("cell", "seconds", "messages", "per second", "requests", "connections"),
    *("lost", "memory at start, MiB", "at end"),
)


def cell_row(result: Result) -> Sequence[str]:
    return (
        result.cell,
        f"{result.seconds:.0f}",
        f"{result.messages:,}",
        f"{result.messages_per_second:.0f}",
        f"{result.requests:,}",
        f"{result.connections:,}",
        f"{result.lost:,}",
        f"{result.memory[0] / MIB:.0f}",
        f"{result.memory[1] / MIB:.0f}",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def sum_up(counts: Iterable[dict[str, int]]) -> Iterator[tuple[str, str]]:
    totals: dict[str, int] = {}
    for some in counts:
        for name, count in some.items():
            totals[name] = totals.get(name, 0) + count
    for name, count in sorted(totals.items()):
        yield name, f"{count:,}"


def find_versions() -> Iterator[tuple[str, str]]:
    yield "Python", platform.python_version()
    yield "kernel", platform.release().partition("-")[0]
    yield "processors", str(os.cpu_count())
    for name in PACKAGES:
        yield name, metadata.version(name)


def write(report: Report, path: Path) -> None:
    """Write the report: JSON to ``*.json``, else Markdown; of a page, only the part of it."""
    if path.suffix == ".json":
        path.write_text(report.to_json() + "\n", encoding="utf-8")
        return
    text = report.to_markdown() + "\n"
    if path.exists() and BEGIN in (page := path.read_text(encoding="utf-8")):
        before, rest = page.split(BEGIN)
        text = f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"
    path.write_text(text, encoding="utf-8")


def advice(result: Result, repeat: str) -> list[str]:
    """Return what to print of a cell that has findings.

    :param repeat: the command that repeats only this cell.
    """
    findings = [f"FINDING {result.cell}: {text}" for text in result.findings]
    return [*findings, f"repeat it: {repeat}"]


def command(seed: int, minutes: float, only: Sequence[str] = (), is_quick: bool = False) -> str:
    """Return the command of a campaign."""
    quick = " --quick" if is_quick else ""
    names = f" --only '{','.join(only)}'" if only else ""
    return f"python3 dev.py chaos --minutes {minutes:.4g} --seed {seed}{quick}{names}"
