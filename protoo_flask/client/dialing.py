"""Dialing: a TCP or TLS connection to the first address of a host that answers."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from itertools import zip_longest
from typing import Any, List, Sequence, Tuple

#: Seconds after which the next address is tried beside the first (RFC 8305 section 5).
HEAD_START = 0.25

#: Seconds: more than that is too much for ``poll()``.
_LONG = 1_000_000.0

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
    sock = _connect_to_any(_alternate(found), deadline)
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


def wait_until_ready(
    socks: Sequence[socket.socket], seconds: float, *, for_writing: bool
) -> list[socket.socket]:
    """Return those of the sockets that can be used, or have failed; none after some seconds.

    ``select.select()`` takes no descriptor above 1023, which a load script has.

    :raises OSError: or ValueError: one of them has been closed.
    """
    seconds = max(0.0, min(seconds, _LONG))
    if not hasattr(select, "poll"):  # Windows, where a connection that was refused is the third
        readers, writers = ([], socks) if for_writing else (socks, [])
        found = select.select(readers, writers, socks, seconds)
        return list({*found[0], *found[1], *found[2]})
    poll = select.poll()
    numbers = {sock.fileno(): sock for sock in socks}
    for number in numbers:
        poll.register(number, select.POLLOUT if for_writing else select.POLLIN)
    return [numbers[number] for number, _ in poll.poll(int(seconds * 1000) + 1)]


def _connect_to_any(addresses: Addresses, deadline: float) -> socket.socket:
    """Return the first socket that connects; an address that is silent delays the next little."""
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
            wait = min(left, HEAD_START) if addresses else left
            for sock in wait_until_ready(pending, wait, for_writing=True):
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
    families: dict[int, Addresses] = {}
    for item in found:
        families.setdefault(item[0], []).append(item)
    return [item for turn in zip_longest(*families.values()) for item in turn if item is not None]


def _begin(family: int, kind: int, protocol: int, _: str, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0.0)
        number = sock.connect_ex(address)
        if number not in (0, *_UNDER_WAY):
            raise OSError(number, os.strerror(number))
    except BaseException:
        sock.close()
        raise
    return sock
