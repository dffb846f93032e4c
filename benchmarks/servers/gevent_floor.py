"""The floor: ``recv`` and ``send`` in a greenlet, no WebSocket, no JSON, always the same answer.

No server on gevent can be cheaper.

    python benchmarks/servers/gevent_floor.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

from gevent.server import StreamServer

HANDSHAKE = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
ANSWER = b'\x81\x0e{"status":200}'


def serve(sock: Any, address: Any) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(4096)
        if not data:
            return
        head += data
    sock.sendall(HANDSHAKE)
    while sock.recv(4096):
        sock.sendall(ANSWER)


if __name__ == "__main__":
    StreamServer(("127.0.0.1", int(sys.argv[1])), serve, backlog=2048).serve_forever()
