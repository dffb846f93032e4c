"""The figures of the trips: from top to bottom the modules that a trip goes through."""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence
from xml.sax.saxutils import escape

from ..tracing import Call
from . import svg

#: The lanes of a figure, each for the modules of some folders. The longest name wins.
LANES: dict[str, Sequence[str]] = {
    "transport": ("transport",),
    "core": ("core",),
    "site": ("site", ""),
    "core/routing": ("core/routing",),
    "features": ("features",),
}

LEFT, RIGHT, TOP, BOTTOM, LANE, ROW = 28, 14, 52, 18, 112, 22


class Row(NamedTuple):
    """Calls of functions of one file, one after the other.

    :ivar is_entered: whether the first was called from outside of the package.
    """

    file: str
    functions: list[str]
    is_entered: bool


def draw(title: str, walk: Sequence[Call], versions: str) -> str:
    """Draw the figure of a trip.

    :param versions: kept in the figure; see :func:`.command.versions`.
    """
    rows = rows_of(walk)
    lanes = list(LANES)
    height = TOP + ROW * len(rows) + BOTTOM
    elements = []
    for lane, name in enumerate(lanes):
        x = LEFT + lane * LANE
        elements.append(svg.text(x - 6, 26, name, f"title c{lane}"))
        elements.append(svg.path([(x, 36), (x, height - BOTTOM)], "guide"))
    points = [
        (LEFT + lanes.index(lane_of(row.file)) * LANE, TOP + ROW * number + ROW / 2)
        for number, row in enumerate(rows)
    ]
    for (x, y), (next_x, next_y), following in zip(points, points[1:], rows[1:]):
        if following.is_entered:
            continue
        middle = y + ROW / 2
        elements.append(svg.path([(x, y), (x, middle), (next_x, middle), (next_x, next_y)]))
    for row, (x, y) in zip(rows, points):
        lane = lanes.index(lane_of(row.file))
        elements.append(svg.dot(x, y, f"c{lane}", row.is_entered))
        elements.append(label(x + 11, y + 4, row, lane))
    return svg.document(height, title, [f"<desc>{versions}</desc>", *elements])


def label(x: float, y: float, row: Row, lane: int) -> str:
    """Write a row: its module, and as many of its functions as there is space for."""
    module = row.file.rpartition("/")[2].partition(".")[0]
    space = int((svg.WIDTH - RIGHT - x) / svg.CHARACTER) - len(module) - 1
    names = shorten(row.functions)
    functions = ", ".join(names)
    while len(functions) > space and len(names) > 1:
        names.pop()
        functions = ", ".join([*names, "…"])
    return (
        f'<text x="{x:g}" y="{y:g}"><title>{row.file}</title>'
        f'<tspan class="c{lane}">{module}</tspan> {escape(functions)}</text>'
    )


def shorten(functions: Sequence[str]) -> list[str]:
    """Name the class of methods once, and each function once.

    >>> shorten(["Inbox._admit", "Inbox._handle", "Inbox._admit", "parse"])
    ['Inbox._admit', '_handle', 'parse']
    """
    names, last = [], ""
    for function in dict.fromkeys(functions):
        # Until CPython 3.10 there is only the name of a method.
        holder, _, name = function.replace(".<locals>", "").rpartition(".")
        names.append(name if holder == last else function.replace(".<locals>", ""))
        last = holder
    return names


def rows_of(walk: Sequence[Call]) -> list[Row]:
    """Return the rows of a walk: each change of the file begins one, and each new entry."""
    rows: list[Row] = []
    for call in walk:
        is_entered = call.caller is None
        if is_entered or not rows or rows[-1].file != call.file:
            rows.append(Row(call.file, [], is_entered))
        rows[-1].functions.append(call.function)
    return rows


def lane_of(file: str) -> str:
    """Return the lane of a file.

    >>> lane_of("core/routing/matching/patterns.py"), lane_of("core/inbox.py")
    ('core/routing', 'core')
    """
    found = [
        (len(folder), lane)
        for lane, folders in LANES.items()
        for folder in folders
        if file.startswith(f"{folder}/" if folder else "")
    ]
    return max(found)[1]


def first_visits(figure: str) -> list[str]:
    """Return the files of a figure, in the order in which they are first visited."""
    return list(dict.fromkeys(re.findall(r"<title>([\w/]+\.py)</title>", figure)))
