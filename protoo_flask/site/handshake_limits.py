"""The limits that a handshake meets before anything else is done for it.

- The process has to have file descriptors left (``ulimit -n``).
- ``PROTOO_HANDSHAKES_PER_ADDRESS`` and ``PROTOO_HANDSHAKES_PER_USER`` are handshakes per second. A
  user is known only when the authorizer has run. So the limit of an address, if a site sets
  one, is for the work of authorizers; that of a user is for the work of connections.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import time
from typing import Any, Callable, ContextManager, Mapping

from flask import Flask

from ..core.errors import ProtooError
from ..core.excerpts import excerpt, excerpt_of
from ..core.occasions import Occasions
from ..core.rate_limit import RateLimit
from ..settings import Settings
from ..transport.descriptors import are_scarce
from ..transport.server_sockets import find_socket
from ..transport.websocket.handshake import HandshakeError

#: Seconds after which a client may try again when descriptors are scarce. Connections that are
#: closing give theirs back sooner: see ``CLOSE_TIMEOUT``.
PAUSE = 10


class TryLater(ProtooError):
    """A handshake that is refused for the moment.

    :ivar status: the HTTP status to answer with.
    :ivar seconds: the client may try again after them.
    """

    def __init__(self, status: int, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.seconds = seconds

    @property
    def retry_after(self) -> str:
        """The value of the header Retry-After (RFC 9110 section 10.2.3)."""
        return str(max(math.ceil(self.seconds), 1))


class HandshakeLimits:
    """The limits of one site.

    :param make_lock: makes a lock for any world.
    :param now: the clock: seconds.
    """

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        make_lock: Callable[[], ContextManager[Any]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._now = now
        self._occasions = Occasions(now)
        user, address = settings.handshakes_per_user, settings.handshakes_per_address
        self._of_user = None if user is None else RateLimit(user, make_lock())
        self._of_address = None if address is None else RateLimit(address, make_lock())

    def check_descriptors(self, environ: Mapping[str, Any]) -> None:
        """Check that this client leaves enough descriptors to others.

        :raises TryLater: 503 if not.
        """
        # A server without a socket of its own is refused later, with the way out.
        with contextlib.suppress(HandshakeError, OSError, AttributeError):
            if are_scarce(find_socket(environ)):
                raise self.lack_descriptors()

    def lack_descriptors(self) -> TryLater:
        """Return the refusal of a handshake for which no descriptor is left."""
        if self._occasions.begins("descriptors"):
            self._app.logger.error(
                "handshakes are refused: this process has too few file descriptors left; "
                "raise its limit (ulimit -n, LimitNOFILE)"
            )
        return TryLater(503, "too many connections", PAUSE)

    def check_address(self, address: str | None) -> None:
        """Count a handshake from an address, which a proxy may have told (ProxyFix).

        :raises TryLater: 429 if there are too many.
        """
        if self._of_address is None or not address:  # a Unix socket without a proxy's header
            return
        network = find_network(address)
        self._refuse_beyond(
            self._of_address.take(network, self._now()),
            self._of_address,
            f"handshakes from {excerpt(network)}",
            "PROTOO_HANDSHAKES_PER_ADDRESS",
        )

    def check_user(self, username: str, is_handshake: bool = True) -> None:
        """Count a handshake of a user, or look whether one would be allowed.

        :raises TryLater: 429 if there are too many.
        """
        limit = self._of_user
        if limit is None:
            return
        take = limit.take if is_handshake else limit.look
        wait = take(username, self._now())
        self._refuse_beyond(
            wait,
            limit,
            f"handshakes of user {excerpt_of(username)}",
            "PROTOO_HANDSHAKES_PER_USER",
        )

    def _refuse_beyond(self, wait: float, limit: RateLimit, subject: str, setting: str) -> None:
        if not wait:
            return
        if self._occasions.begins(subject):
            self._app.logger.warning(
                "%s are refused for now: there are more than %g per second (%s)",
                subject,
                limit.rate,
                setting,
            )
        raise TryLater(429, "too many handshakes", wait)


def find_network(address: str) -> str:
    """Return the part of an address that a client cannot choose.

    A provider gives each of its customers at least 2**64 addresses of IPv6 (RFC 6177).
    """
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address[:100]  # a name that a server or a proxy has made up
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
