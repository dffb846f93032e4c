"""Prints the settings of gunicorn as JSON: a program, run in a process of its own.

Gunicorn's configuration is Python, and reading it means to run it, as gunicorn does. In a process
of its own, it can patch the standard library or set up logging without an effect on the command.
Nothing of protoo_flask is imported here: the package would load gevent first.

The arguments are those of gunicorn. The line of the output that begins with MARK has the JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# The folder of this file, whose modules must not hide others. Python may leave it out.
if __name__ == "__main__" and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]

from gunicorn.app.base import Application  # type: ignore[import-untyped]
from gunicorn.util import load_class  # type: ignore[import-untyped]

#: The beginning of the line with the JSON: the configuration may print, too.
MARK = "protoo_flask.check: "

#: The settings that are told as they are.
_NAMES = (
    *("workers", "threads", "worker_connections", "preload_app", "graceful_timeout"),
    *("keepalive", "certfile", "forwarded_allow_ips", "bind"),
)


class Reader(Application):  # type: ignore[misc]  # gunicorn has no annotations
    """Reads the command line, the environment and the file, in gunicorn's order."""

    def init(self, parser: Any, options: Any, args: Any) -> None:
        """Take no app from the command line."""

    def load(self) -> None:
        """Load no app."""


def read() -> dict[str, Any]:
    """Return the settings; ``kind`` is "gevent" for gevent's worker and classes derived from it.

    ``is_patched`` tells whether the configuration has patched the standard library, ``mentions``
    lists the packages for it that the configuration has imported or names.
    """
    cfg = Reader().cfg
    monkey = sys.modules.get("gevent.monkey")
    found = {name: _simplify(getattr(cfg, name)) for name in _NAMES}
    ips = found["forwarded_allow_ips"]  # a text, or a list: it differs from release to release
    found["forwarded_allow_ips"] = ips.split(",") if isinstance(ips, str) else ips
    # By default, a file that need not be there.
    found["config"] = cfg.config if os.path.exists(cfg.config or "") else None
    found["worker_class"] = cfg.worker_class_str
    found["is_patched"] = monkey is not None and monkey.is_module_patched("socket")
    found["mentions"] = [name for name in ("psycogreen",) if _mentions(name)]
    found["kind"], found["problem"] = _find_kind(cfg)
    return found


def _simplify(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, list, type(None))) else str(value)


def _mentions(package: str) -> bool:
    file = getattr(sys.modules.get("__config__"), "__file__", None)
    if package in sys.modules or file is None:
        return package in sys.modules
    with open(file, encoding="utf-8", errors="replace") as text:
        return package in text.read()


def _find_kind(cfg: Any) -> tuple[str, str]:
    """Return the kind of the worker class, and the reason why it cannot be loaded."""
    name = cfg.worker_class_str
    try:
        uri = cfg.settings["worker_class"].get()
        loaded = load_class("gthread" if name == "gthread" else uri)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a package is missing, or anything)
        return "", _find_reason(error)
    bases = [f"{base.__module__}.{base.__name__}" for base in loaded.__mro__]
    if any(base.startswith("geventwebsocket.") for base in bases):
        return "gevent-websocket", ""
    if "gunicorn.workers.ggevent.GeventWorker" in bases:
        return "gevent", ""
    return name, ""


def _find_reason(error: BaseException) -> str:
    """Return what a reader needs of an error of gunicorn, whose text has a traceback in brackets.

    The last line of the traceback tells which package is missing.
    """
    text, _, rest = str(error).partition("[Traceback")
    lines = [line.strip() for line in rest.rstrip(" \n]").splitlines() if line.strip()]
    return " ".join([*lines[-1:]] or text.split()) or type(error).__name__


if __name__ == "__main__":
    sys.stdout.write(f"\n{MARK}{json.dumps(read())}\n")
