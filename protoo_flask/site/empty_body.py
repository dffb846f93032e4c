"""The body of a request for an upgrade: there is none (RFC 6455 section 4.1 has a GET).

Some servers give the app the whole connection as ``wsgi.input`` of such a request. Code of the
site that reads the body, as many a ``before_request`` function for logs does, would then wait
for bytes until the client hangs up.

The input is replaced before Flask makes a request of the environ. A listener of
``request_started`` would come too late: another one, or the session interface, may read first.
"""

from __future__ import annotations

import io
from typing import Any, Callable, Iterable

WSGIApp = Callable[[Any, Any], Iterable[bytes]]


class EmptyBody(io.BytesIO):
    """An input without bytes, that leads to the same socket as the server's input.

    :param original: the server's input. Its attributes are found here, too: servers without
        another place for it keep the socket there.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def empty_bodies_of_upgrades(wsgi_app: WSGIApp, path: str) -> WSGIApp:
    """Wrap an app: give its requests for a WebSocket an empty body.

    :param path: the path of the WebSocket route. Requests to other paths, which may be
        WebSockets of the site, pass untouched.
    """
    # A path with variable parts is not compared.
    ending = "" if "<" in path else path

    def call(environ: Any, start_response: Any) -> Iterable[bytes]:
        if (
            environ.get("HTTP_UPGRADE", "").lower() == "websocket"
            and environ.get("PATH_INFO", "").endswith(ending)
            and "wsgi.input" in environ
        ):
            environ["wsgi.input"] = EmptyBody(environ["wsgi.input"])
        return wsgi_app(environ, start_response)

    return call
