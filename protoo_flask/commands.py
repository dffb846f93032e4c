"""``flask protoo``: serve an app, check it, look at its routes, and reach its peers."""

from __future__ import annotations

import contextlib
import os
import sys

import click
from flask.cli import AppGroup

from .check.command import check_site
from .core.errors import BadPath, UsageError
from .core.routing.inspection import Row, list_routes, match
from .core.routing.router import Router
from .development import run_development
from .peer_commands import disconnect, find_site, send, show_peers
from .terminal_table import echo_table

commands = AppGroup(
    "protoo",
    help="Serve the app with gevent, check it, look at its routes, and reach its peers.",
)
commands.add_command(run_development)
commands.add_command(check_site)
commands.add_command(show_peers)
commands.add_command(send)
commands.add_command(disconnect)


@commands.command("routes")
def show_routes() -> None:
    """Print the tree of routers: method, path, handler, and where it is defined."""
    rows = list(list_routes(_router()))
    if not rows:
        click.echo("nothing is registered: every request is answered 404")
        return
    table: list[tuple[str, ...]] = [_cells(row) for row in rows]
    echo_table(("method", "path", "handler", "defined"), table, _with_names(table, rows))


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
    rows = []
    try:
        for step in match(_router(), method, path):
            params = " ".join(f"{key}={value!r}" for key, value in step.params.items())
            method_cell, path_cell, handler, place = _cells(step.row)
            table.append((method_cell, path_cell, params, handler, place))
            rows.append(step.row)
        end = "then, if nobody has replied: 404 not found"
    except BadPath as error:
        end = f"then the error handlers, or: {error.status} {error.reason}"
    if table:
        echo_table(
            ("method", "path", "params", "handler", "defined"), table, _with_names(table, rows)
        )
    click.echo(end)


def _router() -> Router:
    site = find_site()
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


def _with_names(table: list[tuple[str, ...]], rows: list[Row]) -> list[tuple[str, ...]]:
    """Return the table with the handlers without their modules, which the places tell as well."""
    return [(*cells[:-2], row.name, cells[-1]) for cells, row in zip(table, rows)]
