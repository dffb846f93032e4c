"""The Autobahn test suite, where the checkout has it: it needs a program that few hosts have."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

FAILED = "failed"


def run(report_dir: Path) -> tuple[str, list[str]]:
    """Run it; returns a line for the report, and what is wrong."""
    if importlib.util.find_spec("tests.autobahn") is None:
        return "not run: this checkout has no tests.autobahn", []
    suite: Any = importlib.import_module("tests.autobahn")
    return describe(suite.run(report_dir))


def describe(summary: Any) -> tuple[str, list[str]]:
    """Return a line for a ``tests.autobahn.Summary``, and what is wrong."""
    parts = [f"{summary.status}: {summary.reason}" if summary.reason else summary.status]
    for agent, counts in summary.counts.items():
        counted = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        parts.append(f"{agent}: {counted}")
    wrong = [f"autobahn: {text}" for text in summary.surprises]
    if summary.status == FAILED and not wrong:
        wrong = [f"autobahn: {summary.reason}"]
    return "; ".join(parts), wrong
