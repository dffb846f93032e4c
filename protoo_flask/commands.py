"""``flask protoo``: the routes of an app, and the way of a request through them."""

from __future__ import annotations

import os

import click
from flask import current_app
from flask.cli import AppGroup

from .core.errors import BadPath
from .core.routing.inspection import Row, list_routes, match
from .core.routing.router import Router

commands = AppGroup("protoo", help="Look at the routing of protoo requests.")


@commands.command("routes")
def show_routes() -> None:
    """Print the tree of routers: method, path, handler, and where it is defined."""
    rows = list(list_routes(_router()))
    if not rows:
        click.echo("nothing is registered: every request is answered 404")
        return
    _echo_table([_cells(row) for row in rows], ("method", "path", "handler", "defined"))


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
    try:
        for step in match(_router(), method, path):
            params = " ".join(f"{key}={value!r}" for key, value in step.params.items())
            method_cell, path_cell, handler, place = _cells(step.row)
            table.append((method_cell, path_cell, params, handler, place))
        end = "then, if nobody has replied: 404 not found"
    except BadPath as error:
        end = f"then the error handlers, or: {error.status} {error.reason}"
    if table:
        _echo_table(table, ("method", "path", "params", "handler", "defined"))
    click.echo(end)


def _router() -> Router:
    site = current_app.extensions["protoo"]
    site.freeze_routes()
    router: Router = site.protoo.router
    return router


def _cells(row: Row) -> tuple[str, str, str, str]:
    return ("  " * row.depth + row.kind, row.path, row.handler, _shorten(row.place))


def _shorten(place: str) -> str:
    """Write a place relative to where the developer is, if that is shorter."""
    if not place:
        return ""
    try:
        relative = os.path.relpath(place)
    except ValueError:  # on another drive
        return place
    return min(place, relative, key=len)


def _echo_table(table: list[tuple[str, ...]], header: tuple[str, ...]) -> None:
    rows = [header, *table]
    widths = [max(len(row[index]) for row in rows) for index in range(len(header))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths))
        click.echo("  ".join(cells).rstrip())
