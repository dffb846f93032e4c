"""The corpus: inputs that are tried in each run, as they have found something or are at an edge.

A file for each fuzzer has an input on each line, as Python writes it, and above it a comment that
says why it is there. The report writes an input that has found a fault in the same form.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "corpus"


class Entry(NamedTuple):
    """An input, and the reason why it is in the corpus."""

    why: str
    value: Any


def read_corpus(name: str) -> list[Entry]:
    """Return the inputs of a fuzzer.

    :raises ValueError: a line is no literal of Python, or has no reason above it.
    """
    entries = []
    reasons: list[str] = []
    for number, line in enumerate((FOLDER / f"{name}.txt").read_text().splitlines(), 1):
        if line.startswith("#"):
            reasons.append(line[1:].strip())
        elif line.strip():
            if not reasons:
                raise ValueError(f"{name}.txt, line {number}: a comment says why it is there")
            entries.append(Entry(" ".join(reasons), _read(line)))
            reasons = []
    return entries


def _read(line: str) -> Any:
    # Repetition is the one operation: 'x' * 4096.
    parts = line.rpartition(" * ")
    if parts[1] and parts[2].strip().isdigit():
        return ast.literal_eval(parts[0]) * int(parts[2])
    return ast.literal_eval(line)
