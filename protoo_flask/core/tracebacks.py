r"""Tracebacks of the log, in which the text of an error cannot pass for a line of the log.

An error of the site often quotes a client: ``int(req.data["n"])`` and every database do so. A
traceback ends with this text as it is, with newlines and escape sequences. Here it is escaped and
cut, and each of its lines but the first begins with ``| ``.

>>> format_traceback(ValueError("x\nroot logged in \x1b[2J"))
'ValueError: x\n    | root logged in \\x1b[2J'
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Iterator

from .excerpts import escape

#: Characters of the text of one error. An error of a database shows its statement, too.
MAX_TEXT = 2000

#: Errors that caused each other.
MAX_CHAIN = 10

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def log_error(logger: Any, error: BaseException, text: str, *args: Any) -> None:
    """Log an error of the site with its traceback, like ``logger.error(text, *args)``.

    Handlers get the error itself in ``record.exc_info``, as always. Formatters of ``logging``
    take the text of the traceback from ``record.exc_text``, where another one would have put it.
    """
    if not isinstance(logger, logging.Logger):  # an adapter of the site
        logger.error(text, *args, exc_info=error)
        return
    if not logger.isEnabledFor(logging.ERROR):
        return
    caller = sys._getframe(1)
    record = logger.makeRecord(
        logger.name,
        logging.ERROR,
        caller.f_code.co_filename,
        caller.f_lineno,
        text,
        args,
        (type(error), error, error.__traceback__),
        caller.f_code.co_name,
    )
    record.exc_text = format_traceback(error)
    logger.handle(record)


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error as text for the log; never raises an Exception."""
    try:
        found = traceback.TracebackException.from_exception(error)
        return "".join(_format(found, MAX_CHAIN)).rstrip("\n")
    except Exception as failure:  # noqa: BLE001  # such as one of its __str__(), before 3.11
        return f"<no traceback of {type(error).__name__}: {type(failure).__name__}>"


def _format(error: traceback.TracebackException, left: int) -> Iterator[str]:
    if left and error.__cause__ is not None:
        yield from _format(error.__cause__, left - 1)
        yield _CAUSE
    elif left and error.__context__ is not None and not error.__suppress_context__:
        yield from _format(error.__context__, left - 1)
        yield _CONTEXT
    if error.stack:
        yield "Traceback (most recent call last):\n"
        yield from error.stack.format()
    yield _escape("".join(error.format_exception_only()).rstrip("\n"))
    # Groups, from Python 3.11 on: one after the other, as Flask 3.2 puts teardown errors in one.
    for part in (getattr(error, "exceptions", None) or ()) if left else ():
        yield "\nThe group has:\n\n"
        yield from _format(part, left - 1)


def _escape(text: str) -> str:
    lines = [escape(line) for line in text[:MAX_TEXT].split("\n")]
    more = len(text) - MAX_TEXT
    end = f"... ({more} more)" if more > 0 else ""
    return "\n    | ".join(lines) + end + "\n"
