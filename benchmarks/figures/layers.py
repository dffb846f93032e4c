"""The figure of the layers: boxes of modules, and arrows that stand for imports."""

from __future__ import annotations

import textwrap
from typing import Dict, NamedTuple, Sequence, Tuple

from . import svg
from .imports import imports_of
from .page import Group

#: Packages from outside that the figure names, in this order.
OUTSIDE = (
    *("flask", "werkzeug", "blinker", "click", "gevent", "websockets", "msgspec"),
    *("socket", "ssl", "threading", "time", "secrets"),
)

MARGIN, GAP = 20, 26
PADDING, LINE, TITLE_LINE = 10, 16, 20

#: ``{(importing, imported): whether for types only}``; groups by their index.
Edges = Dict[Tuple[int, int], bool]


class Place(NamedTuple):
    """A box in the figure; its row is 0 at the bottom.

    :ivar column: the first of its columns.
    :ivar span: how many columns it has.
    :ivar columns: how many the figure has.
    """

    row: int
    column: int
    span: int
    columns: int


def draw(groups: Sequence[Group]) -> str:
    """Draw the figure."""
    edges = without_implied(edges_between(groups))
    places = arrange(len(groups), edges)
    texts = [box_lines(group, width_of(place)) for group, place in zip(groups, places)]
    rows = max(place.row for place in places) + 1
    heights = [
        max(height_of(lines) for lines, place in zip(texts, places) if place.row == row)
        for row in range(rows)
    ]
    tops = [MARGIN + sum(heights[row + 1 :]) + GAP * (rows - 1 - row) for row in range(rows)]
    elements = []
    for (upper, lower), is_for_types in sorted(edges.items()):
        x = center_of(min(places[upper], places[lower], key=lambda place: place.span))
        start = tops[places[upper].row] + heights[places[upper].row]
        end = tops[places[lower].row]
        elements.append(
            svg.path([(x, start), (x, end - 8)], "path dashed" if is_for_types else "path")
        )
        elements.append(svg.arrow_head(x, end))
    for group, place, lines in zip(groups, places, texts):
        top, left = tops[place.row], left_of(place)
        is_core = all(module.startswith("core.") for module in group.modules)
        kind = "core" if is_core else "box"
        elements.append(svg.box(left, top, width_of(place), heights[place.row], kind))
        y = top + PADDING + 12
        elements.append(svg.text(left + PADDING, y, group.title, "title"))
        for number, (line, kind) in enumerate(lines):
            elements.append(svg.text(left + PADDING, y + TITLE_LINE + number * LINE, line, kind))
    height = tops[0] + heights[0] + MARGIN
    return svg.document(height, "The layers of protoo_flask", elements)


def edges_between(groups: Sequence[Group]) -> Edges:
    """Return the imports between groups."""
    group_of = {module: index for index, group in enumerate(groups) for module in group.modules}
    edges: Edges = {}
    for module, index in group_of.items():
        for found in imports_of(module):
            # The __init__ of a folder has nothing to import.
            other = group_of.get(found.name, index) if found.is_ours else index
            if other != index:
                edges[index, other] = edges.get((index, other), True) and found.is_for_types
    return edges


def without_implied(edges: Edges) -> Edges:
    """Leave out each arrow that follows from others.

    >>> without_implied({(2, 1): False, (1, 0): False, (2, 0): False})
    {(2, 1): False, (1, 0): False}
    """
    below: dict[int, set[int]] = {}
    for upper, lower in edges:
        below.setdefault(upper, set()).add(lower)

    def reach(index: int) -> set[int]:
        direct = below.get(index, set())
        return direct.union(*(reach(lower) for lower in direct))

    return {
        (upper, lower): is_for_types
        for (upper, lower), is_for_types in edges.items()
        if not any(lower in reach(other) for other in below[upper] if other != lower)
    }


def arrange(size: int, edges: Edges) -> list[Place]:
    """Give each box a row above all that it imports, and columns that no arrow passes through.

    The groups are in an order in which each imports only earlier ones.
    """
    below = [[lower for upper, lower in edges if upper == index] for index in range(size)]
    rows: list[int] = []
    for index in range(size):
        rows.append(1 + max((rows[lower] for lower in below[index]), default=-1))

    def passing(row: int) -> set[int]:
        """Return the boxes below a row whose arrows come from above it."""
        return {lower for upper, lower in edges if rows[lower] < row < rows[upper]}

    columns = max(rows.count(row) + len(passing(row)) for row in rows)
    places: dict[int, Place] = {}
    for row in range(max(rows) + 1):
        taken = {column for lower in passing(row) for column in columns_of(places[lower])}
        free = [column for column in range(columns) if column not in taken]
        boxes = [index for index in range(size) if rows[index] == row]
        for index in boxes:
            wanted = [column for lower in below[index] for column in columns_of(places[lower])]
            column = next((column for column in wanted if column in free), free[0])
            span = 1
            if len(boxes) == 1:
                while column - 1 in free:
                    column -= 1
                while column + span in free:
                    span += 1
            free = [other for other in free if not column <= other < column + span]
            places[index] = Place(row, column, span, columns)
    return [places[index] for index in range(size)]


def columns_of(place: Place) -> range:
    """Return the columns of a box; none if it has all of them."""
    if place.span == place.columns:
        return range(0)
    return range(place.column, place.column + place.span)


def box_lines(group: Group, width: float) -> list[tuple[str, str]]:
    """Return the lines of a box below its title, each with its kind."""
    characters = int((width - 2 * PADDING) / svg.CHARACTER)
    parts = [module.split(".") for module in group.modules]
    shared = 0
    while all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    names = ["/".join(part[shared:]) for part in parts]
    found = {item.name for module in group.modules for item in imports_of(module)}
    outside = [name for name in OUTSIDE if name in found]
    lines = [(line, "") for line in wrap(names, characters)]
    return lines + [(line, "outside") for line in wrap(outside, characters)]


def wrap(names: Sequence[str], characters: int) -> list[str]:
    # A name that is too long for a line is broken behind a folder. The comma needs room, too.
    parts = [name if len(name) < characters else name.replace("/", "/ ") for name in names]
    joined = ", ".join(parts)
    return textwrap.wrap(joined, characters, break_long_words=False, break_on_hyphens=False)


def height_of(lines: Sequence[object]) -> float:
    return 2 * PADDING + TITLE_LINE + LINE * len(lines) - 6


def width_of(place: Place) -> float:
    return column_width(place) * place.span + GAP * (place.span - 1)


def left_of(place: Place) -> float:
    return MARGIN + place.column * (column_width(place) + GAP)


def center_of(place: Place) -> float:
    return left_of(place) + width_of(place) / 2


def column_width(place: Place) -> float:
    inner = svg.WIDTH - 2 * MARGIN
    return (inner - GAP * (place.columns - 1)) / place.columns
