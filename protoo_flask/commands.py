"""``flask protoo``: the routes of an app, and the way of a request through them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys

import click
from flask import current_app
from flask.cli import AppGroup

from .core.errors import BadPath, UsageError
from .core.routing.inspection import Row, list_routes, match
from .core.routing.router import Router

#: Characters in a line: more than in most terminals by default, and few enough for all of them.
MAX_WIDTH = 100

#: A column is not made narrower than this.
MIN_WIDTH = 10

commands = AppGroup("protoo", help="Look at the routing of protoo requests.")


@commands.command("routes")
def show_routes() -> None:
    """Print the tree of routers: method, path, handler, and where it is defined."""
    rows = list(list_routes(_router()))
    if not rows:
        click.echo("nothing is registered: every request is answered 404")
        return
    table: list[tuple[str, ...]] = [_cells(row) for row in rows]
    _echo_table(table, [row.name for row in rows], ("method", "path", "handler", "defined"))


@commands.command("match")
@click.argument("method")
@click.argument("path")
def show_match(method: str, path: str) -> None:
    """Print the functions that a request would run through, in order, with its parameters.

    Provided that every function calls next(): the first one that replies ends the request.
    """
    if not path.startswith("/"):
        raise click.UsageError(f'a path starts with "/", and this is {path!r}')
    table: list[tuple[str, ...]] = []
    names = []
    try:
        for step in match(_router(), method, path):
            params = " ".join(f"{key}={value!r}" for key, value in step.params.items())
            method_cell, path_cell, handler, place = _cells(step.row)
            table.append((method_cell, path_cell, params, handler, place))
            names.append(step.row.name)
        end = "then, if nobody has replied: 404 not found"
    except BadPath as error:
        end = f"then the error handlers, or: {error.status} {error.reason}"
    if table:
        _echo_table(table, names, ("method", "path", "params", "handler", "defined"))
    click.echo(end)


def _router() -> Router:
    site = current_app.extensions["protoo"]
    try:
        site.freeze_routes()
    except UsageError as error:  # a setting that cannot work
        raise click.ClickException(str(error)) from None
    router: Router = site.protoo.router
    return router


def _cells(row: Row) -> tuple[str, str, str, str]:
    return ("  " * row.depth + row.kind, row.path, row.handler, _shorten(row.place))


def _shorten(place: str) -> str:
    """Write a place relative to where the developer is, or to a folder that Python looks in."""
    candidates = [place]
    for folder in (os.curdir, *sys.path):
        root = os.path.abspath(folder) + os.sep
        if place.startswith(root):
            candidates.append(place[len(root) :])
    with contextlib.suppress(ValueError):  # on another drive
        candidates.append(os.path.relpath(place) if place else "")
    return min(candidates, key=len)


def _echo_table(table: list[tuple[str, ...]], names: list[str], header: tuple[str, ...]) -> None:
    """Print a table in lines of at most MAX_WIDTH characters.

    :param names: the handlers without their modules, which the places tell as well. They are
        printed if the table is too wide otherwise.
    """
    if _measure([header, *table]) > MAX_WIDTH:
        table = [(*row[:-2], name, row[-1]) for row, name in zip(table, names)]
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
