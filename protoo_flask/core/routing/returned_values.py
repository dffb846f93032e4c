"""Values that handlers return: the habit of Flask's views, which answers nothing here."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from ..excerpts import excerpt_of
from ..functions import name_function
from ..request import Request
from ..transactions.client import ClientTransaction


def check_returned(value: Any, function: Any, req: Request) -> None:
    """Refuse a value that a function returned where its request then waits for nobody.

    Without this, the client would wait for the 504. A function may return any value after a
    reply, after ``next()`` and after ``req.keep_open()``; and it may return a transaction,
    whose ``on_response`` replies. Nobody waits for the answer to a notification.

    :param value: the returned value, not ``None``.
    :raises UsageError: with the function and its place.
    """
    passed_on = req.ended or req.last_handler is not function
    if passed_on or req.id is None or isinstance(value, ClientTransaction):
        return
    raise UsageError(
        f"{name_function(function)} returned {excerpt_of(value)} "
        "instead of a reply: a handler answers with req.reply(status, reason, data) or calls "
        "next(); its return value is not sent. To answer later, return None"
    )
