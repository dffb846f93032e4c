"""Writes over TLS, one record at a time.

OpenSSL encrypts all bytes of a write before it knows whether the socket takes them. When the socket
is full, the record has been made, and the next write must begin with the same bytes: anything
shorter is an error (BAD_LENGTH), which ends the connection. After a longer write, nobody knows
how many records have been made. (A write that first completes a record, and then does not get rid
of the next one, reports neither.) So each write is one record, and the record that the socket
did not take consists of the next :data:`RECORD_SIZE` bytes, or of all if there are fewer.

OpenSSL makes a system call for each record anyway.
"""

from __future__ import annotations

import ssl
from typing import Any

#: Bytes of the longest record (RFC 8446 section 5.1).
RECORD_SIZE = 16 * 1024


class RecordSocket:
    """A socket with TLS, which does not block. The rest of it is as it was.

    :param sock: one of ``ssl``, or of gevent's ``ssl``.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as the socket takes; returns how many bytes.

        If they are not all, a record has been made of those that follow.
        """
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            try:
                taken = self._sock.send(view[sent : sent + RECORD_SIZE])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            if not taken:  # gevent's way to say so
                break
            sent += taken
        return sent


def write_records(sock: Any) -> Any:
    """Return a socket to write to: the same one, unless it has TLS."""
    return RecordSocket(sock) if hasattr(sock, "pending") else sock
