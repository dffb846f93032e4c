"""The other side's end of a connection, seen without reading.

A connection that does not read, because too much waits, would not notice that its client has
gone: the end comes behind the bytes that wait in the kernel. The kernel knows it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from typing import Any, Callable

from gevent import monkey

#: ``select.poll``, also in a process that gevent has patched: it never waits here. ``None`` on
#: Windows: there, such an end is noticed when the connection reads again.
_make_poll: Callable[[], Any] | None = (
    monkey.get_original("select", "poll") if hasattr(select, "poll") else None
)

#: A FIN. Without it (macOS), only a reset is seen, which the kernel always tells.
_FIN: int = getattr(select, "POLLRDHUP", 0)

#: Places in ``struct tcp_info`` of Linux (linux/tcp.h): how often the kernel has sent its oldest
#: segment again, or asked a client that takes no bytes whether it is there, without an answer.
_RETRANSMITS, _PROBES = 2, 3

#: One such segment may be on its way just now.
_UNANSWERED = 2


def has_hung_up(sock: Any) -> bool:
    """Whether the other side has sent a FIN or a reset; ``False`` if the system does not tell."""
    if _make_poll is not None:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            poll = _make_poll()
            poll.register(sock.fileno(), _FIN)
            return bool(poll.poll(0))
    return False


def is_unanswered(sock: Any) -> bool:
    """Whether the kernel asks the other side's kernel in vain; ``False`` if it does not tell.

    A client that only takes no bytes answers: its kernel says that its buffer is full.
    """
    if sys.platform == "linux" and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
            return bool(max(info[_RETRANSMITS], info[_PROBES]) >= _UNANSWERED)
    return False
