"""The log of failed teardown functions: those of the site that run after each message.

A site may open something in ``before_request``, and close it in ``teardown_request``. For a
message only the second one runs. It then fails after every message, so its traceback and the
explanation are logged once, and a line without them from then on. Another kind of error of the
same function has a traceback of its own.
"""

from __future__ import annotations

import logging

from ..core.excerpts import excerpt_of_error
from ..core.tracebacks import log_error

_HINT = (
    "Teardown functions run after each message and event, and before_request functions do not: "
    "docs/flask.md tells what runs when"
)

#: The packages whose functions call teardown functions.
_CALLERS = {__name__.partition(".")[0], "flask"}


class TeardownLog:
    """Logs the errors of teardown functions."""

    def __init__(self) -> None:
        #: The functions whose errors have been explained, each with the class of the error.
        self._explained: set[tuple[str, type]] = set()

    def add(self, logger: logging.Logger, occasion: str, error: BaseException) -> None:
        """Log an error that came from the contexts in which code of the site ran.

        :param occasion: the message or event, for ``error after ...``.
        """
        function = find_function(error)
        if (function, type(error)) in self._explained:
            logger.error(
                "error after %s: %s, again in %s", occasion, excerpt_of_error(error), function
            )
            return
        self._explained.add((function, type(error)))
        log_error(
            logger,
            error,
            "error after %s: %s, in %s. %s",
            occasion,
            excerpt_of_error(error),
            function,
            _HINT,
        )


def find_function(error: BaseException) -> str:
    """Return the teardown function that failed: ``chat.close_db (/app/chat.py:12)``."""
    # Flask 3.2 calls all functions, and then raises a group of groups of their errors.
    while getattr(error, "exceptions", None):
        error = error.exceptions[0]  # type: ignore[attr-defined]
    found = None
    trace = error.__traceback__
    while trace is not None:
        found = trace.tb_frame
        if str(found.f_globals.get("__name__")).partition(".")[0] not in _CALLERS:
            break
        trace = trace.tb_next
    if found is None:
        return "an unknown function"
    code = found.f_code
    name = getattr(code, "co_qualname", code.co_name).replace(".<locals>", "")
    module = found.f_globals.get("__name__")
    return f"{module}.{name} ({code.co_filename}:{code.co_firstlineno})"
