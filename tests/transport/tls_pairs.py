"""Both ends of a connection with TLS."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

from .worlds import connect_tcp


def connect_tls(buffers: int | None = None) -> tuple[Any, Any]:
    """Return both ends: the server's, which does not block, and the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Only for tests: the key is no secret.
    context.load_cert_chain(Path(__file__).with_name("certificate.pem"))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    raw_server, raw_client = connect_tcp(buffers)
    server = context.wrap_socket(raw_server, server_side=True, do_handshake_on_connect=False)
    client = trusting.wrap_socket(raw_client, do_handshake_on_connect=False)
    shake_hands(server, client)
    return server, client


def shake_hands(server: Any, client: Any) -> None:
    """Do the handshake of TLS at both ends, in one thread."""
    for sock in (server, client):
        sock.setblocking(False)
    unfinished = [server, client]
    while unfinished:
        for sock in list(unfinished):
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.do_handshake()
                unfinished.remove(sock)


def read_available(client: ssl.SSLSocket) -> bytes:
    """Read the bytes that are there; ``EOFError`` at the end."""
    data = b""
    with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
        while True:
            more = client.recv(65536)
            if not more:
                raise EOFError
            data += more
    return data
