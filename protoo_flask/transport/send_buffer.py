"""The kernel's send buffer: bytes that the socket took, and the other side has not.

The buffer takes megabytes before a slow client has read the first of them. So the progress of
a slow client shows here long before it shows in the outbox.
"""

from __future__ import annotations

import array
import contextlib
import socket
import sys
from typing import Any

if sys.platform == "win32":

    def count_unacknowledged(sock: Any) -> int:
        """Return 0: Windows does not tell."""
        return 0

elif sys.platform == "darwin":
    #: <sys/socket.h>: the bytes in the send buffer.
    _SO_NWRITE = 0x1024

    def count_unacknowledged(sock: Any) -> int:
        """Return how many bytes the other side has not acknowledged, or 0 if nobody tells."""
        with contextlib.suppress(OSError, ValueError):
            return int(sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE))
        return 0

else:
    import fcntl
    import termios

    def count_unacknowledged(sock: Any) -> int:
        """Return how many bytes the other side has not acknowledged, or 0 if nobody tells.

        Linux calls this number SIOCOUTQ (tcp(7), unix(7)). For a Unix socket, it counts the
        kernel's memory, which is more than the bytes.
        """
        count = array.array("i", [0])
        # Closed meanwhile, or a system that does not know the question.
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
        return count[0]
