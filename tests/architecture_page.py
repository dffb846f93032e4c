"""docs/architecture.md as the tests read it: its sections, tables and examples."""

from __future__ import annotations

import re
from typing import Iterator

from benchmarks.figures.page import PAGE

TEXT = PAGE.read_text(encoding="utf-8")

RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))


def section(title: str) -> str:
    """Return the text below a heading, up to the next one of its rank."""
    rank = title.partition(" ")[0]
    body = TEXT.partition(f"\n{title}\n")[2]
    assert body, f"the page has no heading {title!r}"
    return re.split(rf"\n#{{1,{len(rank)}}} ", body)[0]


def rows(text: str) -> Iterator[list[str]]:
    """Return the cells of all tables, without the headers."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code(cell: str) -> list[str]:
    """Return the names in backticks."""
    return re.findall(r"`([^`]+)`", cell)
