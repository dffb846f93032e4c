"""The file descriptors of this process, of which each connection takes one.

When none is left, a server cannot accept connections any more, and a site cannot open a file or
its database. So handshakes are refused while there are still some.
"""

from __future__ import annotations

import sys
from typing import Any

#: Descriptors that connections leave to the server and to the site, at most. With a low limit,
#: it is an eighth of that.
RESERVE = 64

if sys.platform == "win32":

    def find_limit() -> int:
        """Return a number that is out of reach: Windows has no such limit for sockets."""
        return sys.maxsize

else:
    import resource

    def find_limit() -> int:
        """Return how many descriptors this process may have (``ulimit -n``)."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def are_scarce(sock: Any) -> bool:
    """Whether a socket that was just accepted has got one of the last descriptors.

    A system gives each socket the lowest number that is free.
    """
    limit = find_limit()
    number: int = sock.fileno()
    return number >= limit - min(RESERVE, limit // 8)
