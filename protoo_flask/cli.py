"""``python -m protoo_flask MODULE:NAME``: serve a Flask app, or a Protoo alone."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from flask import Flask

from .extension import Protoo
from .serving import serve


class CannotLoad(Exception):
    """MODULE:NAME does not lead to an app; the message says how far it got."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m protoo_flask",
        description="Serve a Flask app that has a Protoo, or a Protoo without a site.",
    )
    parser.add_argument(
        "target",
        metavar="MODULE:NAME",
        help="a Flask app, an app factory, or a Protoo: myapp:app, myapp:create_app, chat:protoo",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to bind (8000; 0: any)")
    options = parser.parse_args(argv)
    try:
        found = load(options.target)
    except CannotLoad as error:
        print(f"python -m protoo_flask: {error}", file=sys.stderr)
        return 2
    try:
        if isinstance(found, Protoo):
            found.run(options.host, options.port)
        else:
            serve(found, options.host, options.port)
    except OSError as error:
        print(f"python -m protoo_flask: cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


def load(target: str) -> Any:
    """Import what ``MODULE:NAME`` names; a function is called as an app factory.

    :raises CannotLoad: when there is no such thing, or it is neither app nor Protoo.
    """
    file_name, _, name = target.partition(":")
    if file_name.endswith(".py"):
        file_name = file_name[: -len(".py")]
    module_name = os.path.normpath(file_name).replace(os.sep, ".")
    if not file_name or module_name.startswith("."):
        raise CannotLoad(f"{target!r} is not MODULE:NAME, like myapp:app")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is missing inside the one asked for is a defect of that one.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise CannotLoad(f"there is no module {module_name!r} here") from error
    candidates = [name] if name else ["app", "application", "protoo", "create_app"]
    for candidate in candidates:
        found = getattr(module, candidate.replace("()", ""), None)
        if found is not None:
            break
    else:
        raise CannotLoad(f"module {module_name!r} has no {' or '.join(candidates)}")
    if callable(found) and not isinstance(found, (Flask, Protoo)):
        found = found()
    if not isinstance(found, (Flask, Protoo)):
        raise CannotLoad(f"{target} is {found!r}; it should be a Flask app or a Protoo")
    return found
