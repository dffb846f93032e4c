"""The figures in docs/performance.md, written between marks in its text.

    <!-- request -->
    | | CPU, µs | ...
    <!-- /request -->

The text around the marks is written by people and is not changed.
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
    """Write the figures and the plots, and return the written files."""
    page = docs / "performance.md"
    text = fill_in(page.read_text(encoding="utf-8"), sections(results, as_markdown))
    page.write_text(text, encoding="utf-8")
    return [page, *plots.draw_all(results, docs / "images")]


def fill_in(text: str, parts: dict[str, str]) -> str:
    """Replace the text between the marks of each part.

    A part without marks is an error, because its figures would be missing in the page. Marks
    without a part keep their text.
    """
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if not pattern.search(text):
            raise ValueError(f"docs/performance.md has no place for {name!r}: {begin} {end}")
        # The part is plain text, so backslashes are escaped for re.sub().
        text = pattern.sub(f"{begin}\n{part}\n{end}".replace("\\", r"\\"), text)
    return text
