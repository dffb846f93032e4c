"""The socket of a request.

Each server keeps it in another place of the environ. Its class tells the world in which
it waits, greenlets or threads.
"""

from __future__ import annotations

import io
import socket
import ssl
import sys
from typing import Any, Mapping

from gevent import monkey
from gevent.pywsgi import WSGIHandler
from gevent.socket import socket as GeventSocket
from gevent.ssl import SSLSocket as GeventSSLSocket

from .websocket.handshake import HandshakeError

#: {the environ's key for the socket: the beginning of SERVER_SOFTWARE}
_KEYS = {"gunicorn.socket": "gunicorn", "werkzeug.socket": "Werkzeug"}


def find_socket(environ: Mapping[str, Any]) -> Any:
    """Return the socket that the server has put into its environ.

    :raises HandshakeError: 500 under a server that does not, or behind a WSGI middleware that
        hides it.
    """
    for key in _KEYS:
        if key in environ:
            return environ[key]
    software = str(environ.get("SERVER_SOFTWARE", ""))
    if software.startswith("gevent/"):
        sock = _find_under_input(environ.get("wsgi.input")) or _find_in_pywsgi()
        if sock is not None:
            return sock
        raise HandshakeError(
            500,
            "gevent.pywsgi has its socket under wsgi.input, which a WSGI middleware has replaced: "
            "let the middleware pass WebSocket handshakes on as they are",
        )
    for key, beginning in _KEYS.items():
        if software.startswith(beginning):
            raise HandshakeError(
                500,
                f"the environ of {software} has no {key}: a WSGI middleware that makes a new "
                "environ must copy all keys of the old one",
            )
    raise HandshakeError(
        500,
        "protoo needs a server that gives access to its sockets: gunicorn with "
        "--worker-class gevent, gevent.pywsgi, or flask run; this is "
        f"{software or 'an unknown server'}",
    )


def _find_under_input(body: Any) -> Any:
    """Return the socket of pywsgi, or ``None`` if this is not an input of pywsgi's own.

    It reads requests from a buffered file, which knows the socket. The file is ``wsgi.input``
    itself for a request to upgrade, and inside of it for other requests.
    """
    file = getattr(body, "rfile", body)
    return getattr(getattr(file, "raw", None), "_sock", None)


def _find_in_pywsgi() -> Any:
    """Return the socket of the pywsgi handler that has called the app, or ``None``."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run_application":
            handler = frame.f_locals.get("self")
            if isinstance(handler, WSGIHandler):
                return handler.socket
        frame = frame.f_back
    return None


def take_early_input(body: Any, sock: Any) -> bytes:
    """Take the bytes that the server has read from a connection behind the request.

    A client must not send any before it has the answer (RFC 6455 section 4.1), but some do.
    Here they would be lost, or be taken for another HTTP request.

    :param body: the server's ``wsgi.input``.
    :param sock: the server's socket; does not block from now on.
    """
    unreader = getattr(getattr(body, "reader", None), "unreader", None)
    if unreader is not None:  # gunicorn
        return bytes(unreader.read()) if unreader.buf.tell() else b""
    file = getattr(body, "rfile", body)
    if not isinstance(file, io.BufferedReader):  # a middleware's own input, which we do not know
        return b""
    sock.settimeout(0.0)  # peek() reads when nothing is buffered
    try:
        return file.read(len(file.peek()))
    except (OSError, ValueError):  # TLS has nothing; or the client has gone, as will be seen
        return b""


def is_socket(sock: Any) -> bool:
    """Whether this is a socket, and not an object that a middleware has put in its place."""
    # The first is gevent's too, in a process that gevent has patched.
    return isinstance(sock, (socket.socket, GeventSocket, monkey.get_original("socket", "socket")))


def is_greenlet_socket(sock: Any) -> bool:
    """Whether a socket waits on gevent's hub."""
    return isinstance(sock, GeventSocket)


def is_tls(sock: Any) -> bool:
    """Whether TLS ends in this process; such a socket cannot leave its server."""
    # gevent has a class of its own, unless it has patched the process.
    return isinstance(sock, (ssl.SSLSocket, GeventSSLSocket))
