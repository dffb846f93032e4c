"""A table in a terminal: columns that are cut into lines where they are too wide."""

from __future__ import annotations

import itertools
from typing import Sequence

import click

#: Characters in a line: more than in most terminals by default, and few enough for all of them.
MAX_WIDTH = 100

#: A column is not made narrower than this.
MIN_WIDTH = 10


def echo_table(
    header: tuple[str, ...],
    table: Sequence[tuple[str, ...]],
    shorter: Sequence[tuple[str, ...]] | None = None,
) -> None:
    """Print a table in lines of at most MAX_WIDTH characters.

    :param shorter: the same with less in it, to be printed if the table is too wide otherwise.
    """
    if shorter is not None and _measure([header, *table]) > MAX_WIDTH:
        table = shorter
    rows = [header, *table]
    widths = _find_widths(rows)
    for row in rows:
        lines = [_wrap(cell, width) for cell, width in zip(row, widths)]
        for parts in itertools.zip_longest(*lines, fillvalue=""):
            cells = (part.ljust(width) for part, width in zip(parts, widths))
            click.echo("  ".join(cells).rstrip())


def _measure(rows: list[tuple[str, ...]]) -> int:
    widest = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return sum(widest) + 2 * (len(widest) - 1)


def _find_widths(rows: list[tuple[str, ...]]) -> list[int]:
    """Return the widths of the columns: the widest ones give way, the first one never."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    room = MAX_WIDTH - widths[0] - 2 * (len(widths) - 1)
    others = widths[1:]
    while sum(others) > room and max(others) > MIN_WIDTH:
        others[others.index(max(others))] -= 1
    return [widths[0], *others]


def _wrap(text: str, width: int) -> list[str]:
    """Break a name or a path into lines, so that all of it can be read."""
    lines = []
    while len(text) > width:
        # A new line begins with a separator, or after a space.
        ends = (end for end in range(width, 0, -1) if text[end] in "/.:" or text[end - 1] == " ")
        end = next(ends, width)
        lines.append(text[:end])
        text = text[end:]
    return [*lines, text]
