"""The figures in docs/performance.md, written between marks in its text.

    <!-- request -->
    | | CPU, µs | ...
    <!-- /request -->

What stands around them is written by people, and stays.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import plots
from .report import sections
from .results import Results
from .tables import as_markdown

DOCS = Path(__file__).resolve().parent.parent / "docs"


def write_docs(results: Results, docs: Path = DOCS) -> list[Path]:
    """Write the figures and the plots; returns what was written."""
    page = docs / "performance.md"
    text = fill_in(page.read_text(encoding="utf-8"), sections(results, as_markdown))
    page.write_text(text, encoding="utf-8")
    return [page, *plots.draw_all(results, docs / "images")]


def fill_in(text: str, parts: dict[str, str]) -> str:
    """Replace what stands between the marks of each part.

    A part that there is no mark for is an error: somebody would miss it. Marks without a
    part keep what they have.
    """
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if not pattern.search(text):
            raise ValueError(f"docs/performance.md has no place for {name!r}: {begin} {end}")
        # What re.sub() would find special in a replacement is not special here.
        text = pattern.sub(f"{begin}\n{part}\n{end}".replace("\\", r"\\"), text)
    return text
