"""The tables of modules in docs/architecture.md: each is a box in the figure of the layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, Sequence

from .imports import MODULES, PACKAGE, has_code

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = DOCS / "architecture.md"

SECTION = "## The modules\n"
_ROW = re.compile(r"\| `([\w/]+)\.py` \|")


class Group(NamedTuple):
    """A table of modules.

    :ivar title: the heading above it.
    :ivar modules: such as "core.peers.peer", in the order of the rows.
    """

    title: str
    modules: list[str]


def read_groups(page: str) -> list[Group]:
    """Return the tables of the section "The modules", in order.

    >>> read_groups("## The modules\\n### core/wire\\n| `core/wire/dialect.py` | an interface |")
    [Group(title='core/wire', modules=['core.wire.dialect'])]
    """
    section = page.partition(SECTION)[2].partition("\n## ")[0]
    groups = []
    for part in section.split("### ")[1:]:
        names = [name.replace("/", ".") for name in _ROW.findall(part)]
        # A folder may have code of its own; the package is the row "__init__".
        modules = [re.sub(r"\.__init__$", "", name) for name in names]
        groups.append(Group(part.partition("\n")[0], modules))
    return groups


def find_differences(groups: Sequence[Group]) -> list[str]:
    """Compare the tables with the package: each module with code has one row."""
    listed = [module for group in groups for module in group.modules]
    expected = [module for module in MODULES if has_code(module)]
    missing = [module for module in expected if module not in listed]
    unknown = [module for module in listed if module not in expected]
    twice = [module for module in expected if listed.count(module) > 1]
    return [
        *(f"the page misses {_file_of(module)}" for module in missing),
        *(f"the page names {_file_of(module)}, which does not exist" for module in unknown),
        *(f"the page names {_file_of(module)} twice" for module in twice),
    ]


def _file_of(module: str) -> str:
    path = MODULES.get(module, PACKAGE / f"{module.replace('.', '/')}.py")
    return path.relative_to(PACKAGE).as_posix()
