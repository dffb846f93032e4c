"""A formatter: each record of ``logging`` becomes one line of JSON.

It is for the records of :mod:`.event_log`, and any other. python-json-logger does the same and
more, and takes the same records; this one is here because it is short, and needs no package.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from ..core.excerpts import excerpt_of

#: The attributes that every record has; the others are those of ``extra``.
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    r"""Writes ``time``, ``level``, ``logger``, ``message``, and the fields of ``extra``.

    A traceback is in ``traceback``. Times are in UTC. The line has ASCII only, so nothing that a
    client has sent can begin another line, or change how a terminal shows it.

    >>> fields = {"msg": "hi\n", "name": "x", "levelname": "INFO", "event": "greeted"}
    >>> JsonFormatter().format(logging.makeLogRecord(fields))[42:]
    '"level": "INFO", "logger": "x", "message": "hi\\n", "event": "greeted"}'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        time = datetime.fromtimestamp(record.created, timezone.utc)
        fields: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _OF_EVERY_RECORD:
                fields.setdefault(name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            fields["traceback"] = record.exc_text
        return json.dumps(fields, default=excerpt_of, skipkeys=True)
