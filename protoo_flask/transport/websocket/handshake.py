"""The opening handshake (RFC 6455 section 4.2), and whose socket it is about.

Only the answer is made here. Whether a client may connect has been decided before,
by answering with an ordinary HTTP status.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from typing import Any, Mapping, NamedTuple

from gevent.socket import socket as GeventSocket
from gevent.ssl import SSLSocket as GeventSSLSocket
from websockets.utils import accept_key

from ...core.errors import ProtooError
from .deflate import negotiate
from .frames import FrameCodec

SUBPROTOCOL = "protoo"


class HandshakeError(ProtooError):
    """A request for an upgrade that cannot be granted.

    :ivar status: the HTTP status to answer with.
    :ivar headers: and the headers that belong to it.
    """

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


class Handshake(NamedTuple):
    """What was agreed on."""

    headers: list[tuple[str, str]]
    codec: Any


def negotiate_handshake(
    environ: Mapping[str, Any], *, compression: bool, max_message_size: int
) -> Handshake:
    """Agree with a client, untrusted, on a connection.

    :raises HandshakeError: 400 or 426 when it is not a WebSocket client of version 13
        that speaks the sub-protocol.
    """
    # Werkzeug has looked at Upgrade and Connection, and lets HEAD pass as GET.
    if environ["REQUEST_METHOD"] != "GET" or environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        raise HandshakeError(400, "a WebSocket handshake is a GET request of HTTP/1.1")
    version = environ.get("HTTP_SEC_WEBSOCKET_VERSION")
    if version != "13":
        raise HandshakeError(
            426, "this is WebSocket version 13 (RFC 6455)", {"Sec-WebSocket-Version": "13"}
        )
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    if not _is_key(key):
        raise HandshakeError(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
        raise HandshakeError(
            400, f'the sub-protocol must be "{SUBPROTOCOL}": new WebSocket(url, "{SUBPROTOCOL}")'
        )
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(key)),
        ("Sec-WebSocket-Protocol", SUBPROTOCOL),
    ]
    codec: Any = None
    offer = environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
    if compression and offer:
        agreed = negotiate(offer, max_message_size)
        if agreed is not None:
            extension, codec = agreed
            headers.append(("Sec-WebSocket-Extensions", extension))
    return Handshake(headers, codec or FrameCodec(max_message_size))


def serialize_handshake(headers: list[tuple[str, str]]) -> bytes:
    """Write the 101 response that opens the connection."""
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("ascii"), validate=True)) == 16
    except (binascii.Error, UnicodeEncodeError):
        return False


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
