"""The imports between the modules of the package, read from its source."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from typing import Iterator, NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent.parent / "protoo_flask"


class Import(NamedTuple):
    """An import of ``name``, "core.peers" for one of our own modules; where it stands."""

    name: str
    is_ours: bool
    is_for_types: bool
    line: int


def module_name(path: Path) -> str:
    """Return "core.peers" for protoo_flask/core/peers.py, "core" for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@lru_cache(maxsize=None)
def has_code(module: str) -> bool:
    """Whether a module has more than a docstring; the ``__init__`` of a folder has not."""
    return len(ast.parse(MODULES[module].read_text(encoding="utf-8")).body) > 1


@lru_cache(maxsize=None)
def imports_of(module: str) -> list[Import]:
    """Return the imports of a module, wherever they stand; our modules by their own names."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    is_package = MODULES[module].name == "__init__.py"
    here = [] if module == "__init__" else module.split(".")
    found = []
    for node in ast.walk(tree):
        for name, is_ours in imported_names(node, here if is_package else here[:-1]):
            found.append(Import(name, is_ours, id(node) in for_types, getattr(node, "lineno", 0)))
    return found


def imported_names(node: ast.AST, package: list[str]) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from split_name(alias.name)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        assert node.module is not None
        for alias in node.names:
            yield from split_name(node.module, alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
        for alias in node.names:
            yield resolve([part for part in base if part], alias.name), True


def split_name(name: str, imported: str = "") -> Iterator[tuple[str, bool]]:
    top, *rest = name.split(".")
    if top == "protoo_flask":
        yield resolve(rest, imported), True
    else:
        yield top, False


def resolve(parts: list[str], imported: str) -> str:
    """Return the module that ``from parts import imported`` takes something from."""
    for name in (".".join([*parts, imported]), ".".join(parts)):
        if name in MODULES:
            return name
    return "__init__"
