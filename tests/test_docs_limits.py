"""docs/limits.md tells the truth: its bounds are those of the code, and none is missing."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

import protoo_flask.middleware
from protoo_flask.core.observer import Observer
from protoo_flask.settings import PREFIX, Settings

from .architecture_page import code, rows

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "protoo_flask"
PAGE = ROOT / "docs" / "limits.md"
TEXT = PAGE.read_text(encoding="utf-8")

_UNITS = {"KiB": 1024, "MiB": 1024 * 1024}
_NUMBER = re.compile(r"(\d{1,3}(?: \d{3})+|\d+)(?: (KiB|MiB))?")
_OPTION = re.compile(r"(\w+)\((\w+)=\.\.\.\)")

#: Constants whose names sound like bounds, and which bound nothing that a peer can make grow.
OTHER_CONSTANTS = {
    "_MAX_LENGTHS": "has the two maxima of a status that are on the page",
    "MAX_CHOICES": "of the patterns that the site registers",
    "MAX_CLOSE_HINT": "of a time",
    "MAX_DELAY": "of a time",
    "MAX_DOUBLINGS": "of a time",
    "MAX_IMPATIENCE": "of a time",
    "MAX_ID": "of a number",
    "MAX_ASKED": "of users that a worker asks its cluster for; they are peers",
    "MAX_LIMITS": "of words that the code has",
    "MAX_LOOKAHEAD": "of the patterns that the site registers",
    "MAX_PEERS": "the default of an option that is on the page",
    "MAX_ROOMS_PER_PEER": "the default of an option that is on the page",
    "MAX_QUESTIONS": "of users that are asked for at a time, one after the other",
    "MAX_PROGRAM": "of the patterns that the site registers",
    "MAX_RETRY_AFTER": "of a time",
    "MAX_SHORT": "of a message that need not wait for a turn of its own",
    "MAX_SILENCE": "of a time",
    "MAX_SESSIONS": "the default of an option that is on the page",
    "MAX_SUBSCRIPTIONS": "the default of an option that is on the page",
    "MAX_TIMER": "of a time",
    "MAX_USERNAME": "of a text that is made for each answer, and not kept",
    "MAX_WAIT": "of a time",
    "MAX_WIDTH": "of the output of a command",
}

#: Caches that a peer cannot fill.
OTHER_CACHES = {
    "_dead_end": "has one entry",
    "_loop_of": "has one entry",
    "_make_context": "has one entry",
    "_is_synchronous": "has the teardown functions of the site",
    "character_class": "has the patterns of the site",
    "of_class": "has the response classes of the apps",
    "probe": "has one entry",
}


class Bound(NamedTuple):
    """One row of a table: what it says, and the names of the values that it says."""

    what: str
    says: str
    set_by: str
    where: str


def find_bounds(text: str) -> list[Bound]:
    # The tables of names have no file in their last column.
    found = [row for row in rows(text) if len(row) > 2 and re.search(r"`[^`]*[/.]\w", row[-1])]
    return [Bound(row[0], row[1], row[2], code(row[-1])[0]) for row in found]


def values_of(bound: Bound) -> list[int]:
    """Return the numbers of the bound, in bytes or without a unit."""
    found = _NUMBER.findall(bound.says)
    return [int(number.replace(" ", "")) * _UNITS.get(unit, 1) for number, unit in found]


def look_up(name: str, where: str) -> Any:
    """Return the value that a name has in the code."""
    option = _OPTION.fullmatch(name)
    if option is not None:
        function = getattr(protoo_flask.middleware, option[1])
        return inspect.signature(function).parameters[option[2]].default
    if name.startswith(PREFIX):
        return getattr(Settings(), name[len(PREFIX) :].lower())
    path = PACKAGE / where
    if path.suffix != ".py":
        script = path.read_text(encoding="utf-8")
        found = re.search(rf"^ *(?:export )?const {name} = (.*?);", script, re.MULTILINE)
        assert found is not None, f"{where} has no constant {name}"
        return eval(found[1], {})
    value = getattr(importlib.import_module(module_of(path)), name)
    return value.cache_info().maxsize if hasattr(value, "cache_info") else value


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


BOUNDS = find_bounds(TEXT)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.what)
def test_a_bound_of_the_page_is_that_of_the_code(bound):
    names = code(bound.set_by)
    assert names, "a row names the setting or the constant"
    values = [look_up(name, bound.where) for name in names]
    assert values_of(bound) == [value for value in values if value is not None]  # None: no limit


def test_the_page_has_tables():
    assert len(BOUNDS) > 30
    assert values_of(Bound("", "20 in 60 seconds, 10 000 or 1 MiB", "", "")) == [
        *(20, 60, 10_000, 1024 * 1024)
    ]


def test_a_wrong_bound_is_found_out():
    [bound] = [bound for bound in BOUNDS if bound.set_by == "`MAX_HEADERS`"]
    assert values_of(bound._replace(says="33 KiB")) != [look_up("MAX_HEADERS", bound.where)]


def find_constants() -> Iterator[tuple[str, str]]:
    """Return the constants of the package that are maxima, each with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id.lstrip("_").startswith("MAX_"):
                    yield target.id, path.relative_to(PACKAGE).as_posix()
    for path in sorted((PACKAGE / "static").glob("*.*js")):
        for name in re.findall(
            r"^ *(?:export )?const (MAX_\w+) =", path.read_text("utf-8"), re.MULTILINE
        ):
            yield name, path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(("name", "file"), [*find_constants()])
def test_every_maximum_is_on_the_page(name, file):
    named = {(name, bound.where) for bound in BOUNDS for name in code(bound.set_by)}
    assert (name, file) in named or name in OTHER_CONSTANTS, (
        f"{name} of {file} bounds something: add a row to docs/limits.md"
    )


def test_every_setting_that_bounds_is_on_the_page():
    named = {name for bound in BOUNDS for name in code(bound.set_by)}
    settings = {
        f"{PREFIX}{name.upper()}"
        for name in (item.name for item in dataclasses.fields(Settings))
        if name.startswith("max_") or name.endswith("_timeout") or name == "parallel_requests"
        if name not in ("node_timeout", "drain_timeout")  # of workers, not of clients
    }
    assert settings <= named


def find_caches() -> Iterator[tuple[str, str]]:
    """Return the functions of the package that keep their results, each with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^@(?:functools\.)?(?:lru_)?cache\b.*\ndef (\w+)", text, re.M):
            yield name, path.relative_to(PACKAGE).as_posix()
        for name in re.findall(r"^(\w+) = (?:functools\.)?(?:lru_)?cache\b", text, re.M):
            yield name, path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(("name", "file"), [*find_caches()])
def test_every_cache_is_on_the_page(name, file):
    named = {(name, bound.where) for bound in BOUNDS for name in code(bound.set_by)}
    assert (name, file) in named or name in OTHER_CACHES


def test_the_exceptions_exist():
    maxima = {name for name, _ in find_constants()}
    assert set(OTHER_CONSTANTS) <= maxima
    assert set(OTHER_CACHES) == {name for name, _ in find_caches()} - {"parse_origin", "_share"}


def test_the_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (PAGE.parent / link).exists(), link
    for page in ("README.md", "docs/deployment.md"):
        assert "limits.md" in (ROOT / page).read_text(encoding="utf-8")


# The names of limits ---------------------------------------------------------------------


def names_of_limits(text: str) -> set[str]:
    """Return the names in the tables of the front section."""
    front = text[text.index("## The limits that you can set") : text.index("## How much memory")]
    tables = {len(row): [] for row in rows(front)}
    for row in rows(front):
        tables[len(row)].append(row)
    told = [code(row[5]) for row in tables[6]] + [code(row[0])[:1] for row in tables[3]]
    return {name for names in told for name in names if not name.startswith("`")}


def names_in_code() -> set[str]:
    """Return the names that the package calls ``limited()``, ``note()`` or ``refuse()`` with."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        functions = "limited"
        if path.name == "handshake_limits.py":
            functions += "|note"
        elif path.parent.parent.name == "features":
            functions += "|refuse"
        found.update(re.findall(rf"\b(?:{functions})\(\s*\"([a-z_]+)\"", text))
        found.update(re.findall(r"\"(rate_of_\w+)\"", text))
        found.update(re.findall(r"^    limit = \"([a-z_]+)\"", text, re.MULTILINE))
        found.update(re.findall(r"^ +\(\"(handshakes_of_\w+)\", ", text, re.MULTILINE))
    return found


def test_the_names_of_limits_are_those_of_the_code():
    documented = names_of_limits(TEXT)
    assert "connections_of_address" in documented
    assert names_in_code() == documented


def test_an_observer_is_told_the_same_names():
    told = set(re.findall(r"``([a-z_]+)`` ", inspect.getdoc(Observer.limited) or ""))
    assert names_of_limits(TEXT) == told


def test_the_defaults_of_the_front_table_are_those_of_the_code():
    front = TEXT[TEXT.index("## The limits that you can set") : TEXT.index("## How much memory")]
    table = [row for row in rows(front) if len(row) == 6]
    assert len(table) > 10
    for row in table:
        [name] = code(row[0])
        if name.endswith("(...)"):  # a middleware that has no default
            continue
        assert str(look_up(name, "")) == code(row[1])[0], name
