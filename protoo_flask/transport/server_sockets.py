"""The socket of a request.

Each server keeps it in another place of the environ. Its class tells the world in which
it waits, greenlets or threads.
"""

from __future__ import annotations

import ssl
from typing import Any, Mapping

from gevent.socket import socket as GeventSocket
from gevent.ssl import SSLSocket as GeventSSLSocket

from .websocket.handshake import HandshakeError


def find_socket(environ: Mapping[str, Any]) -> Any:
    """Return the socket that the server has put into its environ.

    :raises HandshakeError: 500 under a server that does not.
    """
    for key in ("gunicorn.socket", "werkzeug.socket"):
        if key in environ:
            return environ[key]
    if str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent/"):
        # pywsgi reads requests from a buffered file, which knows the socket. The file is
        # wsgi.input itself for a request to upgrade, and inside of it for other requests.
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
    # gevent has a class of its own, unless it has patched the process.
    return isinstance(sock, (ssl.SSLSocket, GeventSSLSocket))
