"""An event log: a record of ``logging`` for each event, with its parts as fields.

==================================  =======  ==============================================
logger                              level    events
==================================  =======  ==============================================
``protoo_flask.events.connection``  INFO     connected, closed
``protoo_flask.events.handshake``   INFO     turned away
``protoo_flask.events.request``     INFO     the final response to a request of a client
``protoo_flask.events.request``     DEBUG    notifications, provisional responses
``protoo_flask.events.transaction`` DEBUG    the final response to a request of the server
``protoo_flask.events.limit``       INFO     a refusal because of a limit
``protoo_flask.events.violation``   INFO     a message that breaks the wire format
``protoo_flask.events.error``       ERROR    an error of the site's code
==================================  =======  ==============================================

A client can provoke all but the last at will, so they are not above INFO: a handler for warnings
cannot be flooded. A logger whose level is higher costs a look at its level.

Everything that a client has chosen is an excerpt (:mod:`..core.excerpts`): escaped, and cut. The
data of messages is not logged.
"""

from __future__ import annotations

import logging
from typing import Any, Callable

from ..core.excerpts import excerpt, excerpt_of_error
from ..core.observer import Observer

NAME = "protoo_flask.events"

#: ``alice/phone``.
_PEER = "%(username)s/%(uuid)s"


class EventLog(Observer):
    """Logs events to loggers of their own, below ``protoo_flask.events``.

    ::

        protoo.observe(EventLog())
        logging.getLogger("protoo_flask.events").setLevel("INFO")

    A record has its parts as attributes, which :class:`.json_formatter.JsonFormatter` and others
    like it write: ``event`` always; ``username`` and ``uuid`` of the peer; ``request_id``,
    ``method``, ``path``, ``status`` and ``seconds`` of a request; ``code`` of a close; ``limit``,
    ``reason``, ``error``.
    """

    def __init__(self) -> None:
        self._now: Callable[[], float] | None = None
        self._connection = logging.getLogger(f"{NAME}.connection")
        self._handshake = logging.getLogger(f"{NAME}.handshake")
        self._request = logging.getLogger(f"{NAME}.request")
        self._transaction = logging.getLogger(f"{NAME}.transaction")
        self._limit = logging.getLogger(f"{NAME}.limit")
        self._violation = logging.getLogger(f"{NAME}.violation")
        self._error = logging.getLogger(f"{NAME}.error")

    def connected(self, peer: Any) -> None:
        _log(self._connection, logging.INFO, "connected", _PEER + " is connected", peer)

    def closed(self, peer: Any, code: int) -> None:
        text = _PEER + " is closed with %(code)s"
        _log(self._connection, logging.INFO, "closed", text, peer, code=code)

    def turned_away(self, status: int, reason: str) -> None:
        text = "a handshake is answered %(status)s: %(reason)s"
        _log(
            self._handshake,
            logging.INFO,
            "turned away",
            text,
            status=status,
            reason=excerpt(reason),
        )

    def notified(self, request: Any) -> None:
        if self._request.isEnabledFor(logging.DEBUG):
            text = "notification %(method)s %(path)s from " + _PEER
            _log(self._request, logging.DEBUG, "notified", text, request.peer, **_describe(request))

    def answered(self, request: Any, status: int) -> None:
        level = logging.INFO if status >= 200 else logging.DEBUG
        if not self._request.isEnabledFor(level):
            return
        fields = _describe(request)
        text = "%(method)s %(path)s from " + _PEER + " is answered %(status)s"
        admitted_at = getattr(request, "admitted_at", None)
        if admitted_at is not None:
            seconds = request.peer.runtime.now() - admitted_at
            fields["seconds"] = round(seconds, 6)
            text += " after %(seconds)s s"
        event = "answered" if status >= 200 else "provisional"
        _log(self._request, level, event, text, request.peer, status=status, **fields)

    def concluded(self, transaction: Any) -> None:
        if not self._transaction.isEnabledFor(logging.DEBUG):
            return
        request, response = transaction.request, transaction.response
        _log(
            self._transaction,
            logging.DEBUG,
            "concluded",
            "%(method)s to " + _PEER + " has ended with %(status)s",
            transaction.peer,
            method=excerpt(request.method),
            request_id=transaction.id,
            status=response.status,
            reason=excerpt(response.reason),
            is_local=response.is_local,
        )

    def limited(self, limit: str, peer: Any | None) -> None:
        text = "the limit %(limit)s is reached" + ("" if peer is None else " by " + _PEER)
        _log(self._limit, logging.INFO, "limited", text, peer, limit=limit)

    def refused(self, peer: Any, reason: str) -> None:
        text = "a message of " + _PEER + " is refused: %(reason)s"
        _log(self._violation, logging.INFO, "refused", text, peer, reason=excerpt(reason))

    def failed(self, error: BaseException, request: Any | None) -> None:
        fields = {} if request is None else _describe(request)
        text = "%(error)s in " + ("a listener" if request is None else "%(method)s %(path)s")
        peer = None if request is None else request.peer
        _log(
            self._error,
            logging.ERROR,
            "failed",
            text,
            peer,
            error=excerpt_of_error(error),
            **fields,
        )


def _describe(request: Any) -> dict[str, Any]:
    return {
        "method": excerpt(request.method),
        "path": excerpt(request.original_path),
        "request_id": request.id,
    }


def _log(
    logger: logging.Logger, level: int, event: str, text: str, peer: Any = None, **fields: Any
) -> None:
    if not logger.isEnabledFor(level):
        return
    if peer is not None:
        fields = {"username": excerpt(peer.username), "uuid": excerpt(peer.uuid), **fields}
    fields["event"] = event
    # A dict as the only argument: ``text % fields``.
    logger.log(level, text, fields, extra=fields)
