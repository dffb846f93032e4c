"""The socket of a request, in whatever place its server keeps it."""

from __future__ import annotations

import ssl
from typing import Any, Mapping

from gevent.socket import socket as GeventSocket
from gevent.ssl import SSLSocket as GeventSSLSocket

from .websocket.handshake import HandshakeError


def find_socket(environ: Mapping[str, Any]) -> Any:
    """Return the socket that a server keeps in its environ, each in a place of its own.

    :raises HandshakeError: 500 under a server that has no place for it.
    """
    for key in ("gunicorn.socket", "werkzeug.socket"):
        if key in environ:
            return environ[key]
    if str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent/"):
        # pywsgi: the buffered file that it reads requests from knows the socket. For a
        # request to upgrade that is wsgi.input itself, for others it is inside.
        body = environ["wsgi.input"]
        return getattr(body, "rfile", body).raw._sock
    raise HandshakeError(
        500,
        "protoo needs a server that gives access to its sockets: gunicorn with "
        "--worker-class gevent, gevent.pywsgi, or flask run; this is "
        f"{environ.get('SERVER_SOFTWARE') or 'an unknown server'}",
    )


def is_greenlet_socket(sock: Any) -> bool:
    """Whether a socket waits on gevent's hub."""
    return isinstance(sock, GeventSocket)


def is_tls(sock: Any) -> bool:
    """Whether TLS ends in this process; such a socket cannot leave its server."""
    # Two classes, unless gevent has patched the process.
    return isinstance(sock, (ssl.SSLSocket, GeventSSLSocket))
