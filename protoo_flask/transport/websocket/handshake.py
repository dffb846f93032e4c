"""The opening handshake (RFC 6455 section 4.2): a request's headers to the answer's.

This module only negotiates. The site has authorized the client before; a client that may
not connect is answered with an ordinary HTTP status.
"""

from __future__ import annotations

import base64
import binascii
import math
from http import HTTPStatus
from typing import Any, Mapping, NamedTuple, Sequence

from websockets.utils import accept_key

from ...core.errors import ProtooError
from ...core.wire.dialect import PROTOO, Dialect
from ...core.wire.surrogates import mend_string
from .deflate import negotiate
from .fast_frames import FastFrameCodec

#: Characters of the headers and the query of a handshake, names included. A connection keeps
#: them until its end, as code of the site may read them with each message. nginx lets no more
#: through by default (large_client_header_buffers 4 8k); gunicorn lets through 800 KB.
MAX_HEADERS = 32 * 1024

#: Seconds after which a client that was refused for now may come back, if nobody knows better.
RETRY_AFTER = 5


class HandshakeError(ProtooError):
    """A request for an upgrade that cannot be granted.

    :ivar status: the HTTP status to answer with.
    :ivar headers: the headers that belong to the status.
    """

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


class Handshake(NamedTuple):
    """The result of a negotiation.

    :ivar headers: of the answer.
    :ivar codec: for the frames.
    :ivar dialect: of the messages.
    """

    headers: list[tuple[str, str]]
    codec: Any
    dialect: Dialect


def asks_for_upgrade(environ: Mapping[str, Any]) -> bool:
    """Whether a request, untrusted, asks for a WebSocket (RFC 6455 section 4.2.1)."""
    tokens = environ.get("HTTP_CONNECTION", "").lower().split(",")
    wanted = environ.get("HTTP_UPGRADE", "").lower()
    return "upgrade" in (token.strip() for token in tokens) and wanted == "websocket"


def negotiate_handshake(
    environ: Mapping[str, Any],
    *,
    compression: bool,
    max_message_size: int,
    dialects: Sequence[Dialect] = (PROTOO,),
) -> Handshake:
    """Agree with a client, untrusted, on a connection.

    :param dialects: the ones that the server speaks. The client's order of sub-protocols is
        that of its preference (RFC 6455 section 1.9).

    :raises HandshakeError: 400 or 426 unless the client speaks WebSocket version 13 and
        the sub-protocol; 431 for headers of more than :data:`MAX_HEADERS` (RFC 6585 section 5).
    """
    check_size(environ)
    # The view has checked Upgrade and Connection, but werkzeug routes HEAD like GET.
    if environ["REQUEST_METHOD"] != "GET" or environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        raise HandshakeError(400, "a WebSocket handshake is a GET request of HTTP/1.1")
    has_length = environ.get("CONTENT_LENGTH", "").strip(" 0")
    if has_length or "HTTP_TRANSFER_ENCODING" in environ:
        # The server leaves its bytes on the connection, where they would be taken for frames.
        raise HandshakeError(400, "a WebSocket handshake has no body")
    version = environ.get("HTTP_SEC_WEBSOCKET_VERSION")
    if version != "13":
        raise HandshakeError(
            426, "this is WebSocket version 13 (RFC 6455)", {"Sec-WebSocket-Version": "13"}
        )
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    if not _is_key(key):
        raise HandshakeError(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    dialect = _choose_dialect(offered, dialects)
    if dialect is None:
        names = " or ".join(f'"{spoken.subprotocol}"' for spoken in dialects)
        example = f'new WebSocket(url, "{dialects[0].subprotocol}")'
        raise HandshakeError(400, f"the sub-protocol must be {names}: {example}")
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(key)),
        ("Sec-WebSocket-Protocol", dialect.subprotocol),
    ]
    codec: Any = None
    offer = environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
    if compression and offer:
        agreed = negotiate(offer, max_message_size)
        if agreed is not None:
            extension, codec = agreed
            headers.append(("Sec-WebSocket-Extensions", extension))
    return Handshake(headers, codec or FastFrameCodec(max_message_size), dialect)


def check_size(environ: Mapping[str, Any]) -> None:
    """Refuse a request, untrusted, with more headers than a connection should keep.

    :raises HandshakeError: 431.
    """
    sizes = [
        len(key) + len(value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or key == "QUERY_STRING"
    ]
    if sum(sizes) > MAX_HEADERS:
        raise HandshakeError(
            431, f"the headers and the query of a handshake have at most {MAX_HEADERS} bytes"
        )


def serialize_handshake(headers: list[tuple[str, str]]) -> bytes:
    """Write the 101 response that opens the connection."""
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def serialize_refusal(status: int, reason: str, retry_after: float | None = None) -> bytes:
    """Write a response that refuses the upgrade, after which the connection is closed.

    :param retry_after: seconds; ``None``: :data:`RETRY_AFTER`.
    """
    body = mend_string(reason).encode()
    seconds = math.ceil(RETRY_AFTER if retry_after is None else retry_after)
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Retry-After: {seconds}",
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _choose_dialect(offered: str, dialects: Sequence[Dialect]) -> Dialect | None:
    """Return the dialect of the first sub-protocol that the server speaks."""
    spoken = {dialect.subprotocol: dialect for dialect in dialects}
    names = [name.strip() for name in offered.split(",")]
    return next((spoken[name] for name in names if name in spoken), None)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("ascii"), validate=True)) == 16
    except (binascii.Error, UnicodeEncodeError):
        return False
