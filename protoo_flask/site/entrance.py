"""The entrance: the WSGI layer in front of the app, which handshakes pass before any of its code.

Four things have to happen there, and not in a ``before_request`` function or a listener of
``request_started``, because opening the session comes before these, and may take long or read:

- The arrival is noted. Of two handshakes of one device, the later one wins, however long each
  takes to be authorized: see :mod:`protoo_flask.core.arrivals`.
- The body becomes empty. A handshake has none (RFC 6455 section 4.1 has a GET), but some servers
  give the app the whole connection as ``wsgi.input``. Code of the site that reads the body, as
  many a function for logs does, would wait for bytes until the client hangs up.
- The query becomes ASCII. Some servers pass raw bytes on, and werkzeug fails at those that are not
  UTF-8, before any view could answer.
- A handshake is refused that is one too many for the process: see :mod:`.handshake_limits`.
"""

from __future__ import annotations

import io
from typing import Any, Callable, Iterable, Protocol, Sequence
from urllib.parse import quote

from flask import Request, has_request_context
from flask import request as flask_request

from ..core.arrivals import Arrival, Arrivals
from ..core.wire.dialect import Dialect
from ..transport.tap import KEY as TAP

WSGIApp = Callable[[Any, Any], Iterable[bytes]]

#: The key of the environ with the :class:`~protoo_flask.core.arrivals.Arrival`.
KEY = "protoo_flask.arrival"


#: The characters that are not escaped: all of ASCII.
_ASCII = bytes(range(128)).decode()


class Host(Protocol):
    """The owner of the route, as the entrance needs it: a site."""

    arrivals: Arrivals
    dialects: Sequence[Dialect]


class Entrance:
    """Stands behind WSGI middleware that is added later, and in front of the Flask app.

    Other requests, WebSockets of the site among them, pass untouched.

    :param path: the path of the route.
    :param refuse_early: returns the answer to a handshake that is one too many; ``None``: go on.
    """

    def __init__(
        self,
        wsgi_app: WSGIApp,
        host: Host,
        path: str,
        refuse_early: Callable[[Any], WSGIApp | None] = lambda environ: None,
    ) -> None:
        self._wsgi_app = wsgi_app
        self._host = host
        self._refuse_early = refuse_early
        # A path with variable parts is not compared.
        self._ending = "" if "<" in path else path

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        is_ours = environ.get("PATH_INFO", "").endswith(self._ending)
        if "websocket" not in environ.get("HTTP_UPGRADE", "").lower():
            if self._ending and is_ours:
                escape_query(environ)  # also of the plain GET, which tells the status
            return self._wsgi_app(environ, start_response)
        if is_ours:
            escape_query(environ)
            if "wsgi.input" in environ:
                environ["wsgi.input"] = EmptyBody(environ["wsgi.input"])
        if not self._offers_our_protocol(environ):
            return self._wsgi_app(environ, start_response)
        refusal = self._refuse_early(environ)
        if refusal is not None:
            return refusal(environ, start_response)
        arrivals = self._host.arrivals
        arrival = environ[KEY] = arrivals.begin()
        try:
            return self._wsgi_app(environ, start_response)
        finally:
            tap = environ.get(TAP)
            if tap is not None:
                tap.end_request()
            if not arrival.outlives_request:
                arrivals.end(arrival)
            if arrival.place is not None:
                arrival.place.leave()

    def _offers_our_protocol(self, environ: Any) -> bool:
        # Other WebSockets of the site, which may last for days, have other sub-protocols.
        offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
        return any(dialect.subprotocol in offered for dialect in self._host.dialects)


class EmptyBody(io.BytesIO):
    """An input without bytes, that leads to the same socket as the server's input.

    :param original: the server's input. Its attributes are found here, too: servers without
        another place for it keep the socket there.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        #: The input of the server, or of a WSGI middleware.
        self.original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def escape_query(environ: Any) -> None:
    """Write the bytes of a query that are not ASCII as a URL has them (RFC 3986 section 2.1)."""
    query = environ.get("QUERY_STRING", "")
    if not query.isascii():
        # PEP 3333: a character stands for a byte.
        environ["QUERY_STRING"] = quote(query.encode("latin-1", "replace"), safe=_ASCII)


def take_arrival(request: Request, arrivals: Arrivals) -> Arrival:
    """Return the arrival of a handshake; it is now, if nobody has taken a note."""
    arrival = request.environ.get(KEY)
    if arrival is None:
        # The site has put a WSGI app of its own in the place of Flask's.
        arrival = request.environ[KEY] = arrivals.begin()
    assert isinstance(arrival, Arrival)
    return arrival


def keep_place(environ: Any) -> None:
    """Leave the place of a handshake to its connection: its response is being sent.

    Not earlier: code of the site that sees the response may put another one in its stead.
    """
    arrival = environ.get(KEY)
    if arrival is not None:
        arrival.place = None


def current_arrival() -> Arrival | None:
    """Return the handshake whose request is being handled in this greenlet or thread."""
    return flask_request.environ.get(KEY) if has_request_context() else None
