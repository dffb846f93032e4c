"""Dialing: a TCP or TLS connection to the first address of a host that answers."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from typing import Any, List, Tuple

#: Seconds after which the next address is tried beside the first (RFC 8305 section 5).
HEAD_START = 0.25

_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", -1))


#: As ``socket.getaddrinfo()`` returns them.
Addresses = List[Tuple[int, int, int, str, Any]]


def dial(host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> socket.socket:
    """Connect to a host: a name, or an address of either kind.

    :param tls: for a connection over TLS.
    :param timeout: seconds for all of it.
    :raises OSError: when no address answers in time. :class:`ssl.SSLError` is one.
    """
    deadline = time.monotonic() + timeout
    found: Addresses = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    sock = _connect_to_any(found, deadline)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            sock = tls.wrap_socket(sock, server_hostname=host)
        sock.settimeout(0.0)
        return sock
    except BaseException:
        sock.close()
        raise


def _connect_to_any(found: Addresses, deadline: float) -> socket.socket:
    """Return the first socket that connects; an address that is silent delays the next little."""
    addresses = _alternate(found)
    pending: list[socket.socket] = []
    error: OSError = socket.timeout("timed out: no address has answered")
    try:
        while addresses or pending:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if addresses:
                try:
                    pending.append(_begin(*addresses.pop(0)))
                except OSError as failure:
                    error = failure
                    continue
            # On Windows, a connection that was refused is an exceptional one.
            wait = min(left, HEAD_START) if addresses else left
            _, ready, failed = select.select([], pending, pending, wait)
            for sock in {*ready, *failed}:
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                pending.remove(sock)
                if not number:
                    return sock
                sock.close()
                error = OSError(number, os.strerror(number))
    finally:
        for sock in pending:
            sock.close()
    raise error


def _alternate(found: Addresses) -> Addresses:
    """Return the addresses with IPv6 and IPv4 in turns, the preferred one first."""
    first = [item for item in found if item[0] == found[0][0]]
    second = [item for item in found if item[0] != found[0][0]]
    pairs = zip([*first, *[None] * len(second)], [*second, *[None] * len(first)])
    return [item for pair in pairs for item in pair if item is not None]


def _begin(family: int, kind: int, protocol: int, _: str, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0.0)
        number = sock.connect_ex(address)
        if number not in (0, *_UNDER_WAY):
            raise OSError(number, os.strerror(number))
    except BaseException:
        with contextlib.suppress(OSError):
            sock.close()
        raise
    return sock
