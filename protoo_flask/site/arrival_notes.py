"""The moment at which a handshake arrives: noted before any code of the site runs.

Opening the session may take long already, when it is kept on another server. So a WSGI
middleware of the app takes the note, and not a ``before_request`` function.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Sequence

from flask import Request, has_request_context
from flask import request as flask_request

from ..core.arrivals import Arrival, Arrivals
from ..core.wire.dialect import Dialect

WSGIApp = Callable[[Any, Any], Iterable[bytes]]

#: The key of the environ with the :class:`~protoo_flask.core.arrivals.Arrival`.
KEY = "protoo_flask.arrival"


class ArrivalNotes:
    """A WSGI middleware that notes the arrivals of handshakes.

    It stands behind middleware that is added later, and in front of the Flask app.

    :param dialects: returns the dialects of the site. A handshake offers one of them.
    """

    def __init__(
        self, wsgi_app: WSGIApp, arrivals: Arrivals, dialects: Callable[[], Sequence[Dialect]]
    ) -> None:
        self._wsgi_app = wsgi_app
        self._arrivals = arrivals
        self._dialects = dialects

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        # Not by the path, which only the routes of the site understand. Other WebSockets of the
        # site, which may last for days, have other sub-protocols.
        offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")
        if offered is None or not any(it.subprotocol in offered for it in self._dialects()):
            return self._wsgi_app(environ, start_response)
        arrival = environ[KEY] = self._arrivals.begin()
        try:
            return self._wsgi_app(environ, start_response)
        finally:
            if not arrival.outlives_request:
                self._arrivals.end(arrival)


def take_arrival(request: Request, arrivals: Arrivals) -> Arrival:
    """Return the arrival of a handshake; it is now, if nobody has taken a note."""
    arrival = request.environ.get(KEY)
    if arrival is None:
        # The site has put a WSGI app of its own in the place of Flask's.
        arrival = request.environ[KEY] = arrivals.begin()
    assert isinstance(arrival, Arrival)
    return arrival


def current_arrival() -> Arrival | None:
    """Return the handshake whose request is being handled in this greenlet or thread."""
    return flask_request.environ.get(KEY) if has_request_context() else None
