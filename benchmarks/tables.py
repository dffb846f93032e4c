"""Tables and the figures in them, as text."""

from __future__ import annotations

from typing import List, Sequence

#: Rows of cells; the first is the header.
Table = List[Sequence[str]]


def number(value: float) -> str:
    """Write a figure with its significant digits.

    >>> number(1234.5), number(123.45), number(12.345), number(0.12345)
    ('1234', '123', '12.3', '0.12')
    """
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


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
