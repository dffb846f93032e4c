"""The limits that a handshake meets before anything else is done for it.

- ``PROTOO_HANDSHAKES_PER_PROCESS``, ``PROTOO_HANDSHAKES_PER_ADDRESS`` and
  ``PROTOO_HANDSHAKES_PER_USER`` are handshakes per second. The first is looked at before anything
  of the site runs, even before the session is opened. A user is known only when the authorizer has
  run. So the limit of an address, if a site sets one, is for the work of authorizers; that of a
  user is for the work of connections.
- The process has to have file descriptors left (``ulimit -n``).
- ``PROTOO_MAX_CONNECTIONS_PER_ADDRESS`` is a number of connections at a time.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import Any, Callable, ContextManager, Mapping

from flask import Flask

from ..core.connection_limit import ConnectionLimit, Place
from ..core.errors import ProtooError
from ..core.excerpts import excerpt, excerpt_of
from ..core.handshake_queue import HandshakeQueue
from ..core.occasions import Occasions
from ..core.rate_limit import Limit, RateLimit
from ..core.rates import Rate
from ..core.runtime import Runtime
from ..settings import Settings
from ..transport.descriptors import are_scarce
from ..transport.server_sockets import find_socket
from ..transport.websocket.handshake import HandshakeError
from .client_addresses import explain_proxy, find_network

#: Seconds after which a client may try again when descriptors are scarce. Connections that are
#: closing give theirs back sooner: see ``CLOSE_TIMEOUT``.
PAUSE = 10

#: Ping intervals within which a dead connection is usually noticed.
USUAL_DETECTION = 2

#: Seconds that stand for the ping interval where nobody pings. A dead connection is then
#: noticed when something is sent, if at all; answers must not be remembered for ever.
NO_PING_DETECTION = 25

#: Of a handshake that has no environ at hand.
_NO_ENVIRON: Mapping[str, Any] = {}


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
        return to_retry_after(self.seconds)


def to_retry_after(seconds: float) -> str:
    """Return seconds as HTTP tells them: whole ones, and at least one."""
    return str(max(math.ceil(seconds), 1))


class HandshakeLimits:
    """The limits of one site.

    :param make_lock: makes a lock for any world; a re-entrant one.
    :param now: the clock: seconds.
    :param count: called with the name of a limit that has refused a handshake; see
        :meth:`~protoo_flask.core.observer.Observer.limited`.
    :ivar connections: the connections of each address; ``None``: they are not limited.
    """

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        make_lock: Callable[[], ContextManager[Any]],
        now: Callable[[], float] = time.monotonic,
        count: Callable[[str], None] = lambda limit: None,
    ) -> None:
        self._app = app
        self._now = now
        self._count = count
        self._occasions = Occasions(now)
        self._detection = USUAL_DETECTION * (settings.ping_interval or NO_PING_DETECTION)
        process, seats = settings.handshakes_per_process, settings.max_connections_per_address
        self._of_process = None if process is None else HandshakeQueue(process, make_lock())
        self.connections = None if seats is None else ConnectionLimit(seats, make_lock())
        user, address = settings.handshakes_per_user, settings.handshakes_per_address
        self._of_user: Limit | None = None if user is None else RateLimit(user, make_lock())
        self._of_address = None if address is None else RateLimit(address, make_lock())

    def share(self, runtime: Runtime) -> None:
        """Count the handshakes of a user at all nodes of the cluster from now on."""
        if self._of_user is not None:
            rate = self._of_user.rate
            self._of_user = runtime.make_limit("handshakes_of_user", Rate(rate, None, rate))

    # The process ---------------------------------------------------------------------------

    def check_process(self, environ: Mapping[str, Any], is_handshake: bool = True) -> None:
        """Count a handshake of the process, or look whether one would be allowed.

        :raises TryLater: 503 if there are too many, with a time of its own for each client.
        """
        queue = self._of_process
        if queue is None:
            return
        if is_handshake:
            # A browser does not tell a page why its handshake was refused. The page asks by a
            # plain request then, and that is given a time.
            wait = queue.take(self._now(), is_heard="HTTP_ORIGIN" not in environ)
        else:
            wait = queue.look(self._now())
        if wait:
            self.note(
                "handshakes_of_process",
                None,
                "handshakes are refused for now: there are more than %g per second in this "
                "process (PROTOO_HANDSHAKES_PER_PROCESS); the clients come back one after the "
                "other",
                queue.rate,
            )
            raise TryLater(503, "too many handshakes", wait)

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
        self.note(
            "descriptors",
            None,
            "handshakes are refused: this process has too few file descriptors left; "
            "raise its limit (ulimit -n, LimitNOFILE)",
            level=logging.ERROR,
        )
        return TryLater(503, "too many connections", PAUSE)

    # An address ----------------------------------------------------------------------------

    def check_address(self, address: str | None, environ: Mapping[str, Any] = _NO_ENVIRON) -> None:
        """Count a handshake from an address, which a proxy may have told (ProxyFix).

        :raises TryLater: 429 if there are too many.
        """
        if self._of_address is None or not address:  # a Unix socket without a proxy's header
            return
        network = find_network(address)
        self._refuse_beyond(
            self._of_address.take(network, self._now()),
            self._of_address,
            ("handshakes_of_address", network),
            f"handshakes from {excerpt(network)}",
            f"PROTOO_HANDSHAKES_PER_ADDRESS){explain_proxy(environ)}",
        )

    def enter(self, address: str | None, environ: Mapping[str, Any]) -> Place | None:
        """Return the place of a handshake among the connections of its address.

        :returns: ``None``: they are not limited, or there is no address.
        :raises TryLater: 429 if there are too many.
        """
        if self.connections is None or not address:
            return None
        network = find_network(address)
        place = self.connections.enter(network)
        if place is None:
            raise self._lack_seats(network, environ)
        return place

    def check_seat(
        self, place: Place | None, device: tuple[str, str], environ: Mapping[str, Any]
    ) -> None:
        """Check that a device may connect in its place.

        :raises TryLater: 429 if the address has as many connections as it may, and none of them is
            that of the device.
        """
        if place is not None and not place.may_connect(device):
            raise self._lack_seats(place.address, environ)

    def look_for_seat(
        self, address: str | None, device: tuple[str, str], environ: Mapping[str, Any]
    ) -> None:
        """Check the same, for a device that does not connect now.

        :raises TryLater: as :meth:`check_seat`.
        """
        if self.connections is None or not address:
            return
        network = find_network(address)
        if not self.connections.would_admit(network, device):
            raise self._lack_seats(network, environ)

    def _lack_seats(self, network: str, environ: Mapping[str, Any]) -> TryLater:
        assert self.connections is not None
        self.note(
            "connections_of_address",
            network,
            "handshakes from %s are refused for now: it has %d connections to this process, the "
            "limit (PROTOO_MAX_CONNECTIONS_PER_ADDRESS)%s",
            excerpt(network),
            self.connections.seats,
            explain_proxy(environ),
        )
        return TryLater(429, "too many connections from your address", self._detection)

    # A user --------------------------------------------------------------------------------

    def check_user(self, username: str, is_handshake: bool = True) -> None:
        """Count a handshake of a user, or look whether one would be allowed.

        May block in a cluster.

        :raises TryLater: 429 if there are too many.
        """
        limit = self._of_user
        if limit is None:
            return
        take = limit.take_surely if is_handshake else limit.look
        wait = take(username, self._now())
        self._refuse_beyond(
            wait,
            limit,
            ("handshakes_of_user", username),
            f"handshakes of user {excerpt_of(username)}",
            "PROTOO_HANDSHAKES_PER_USER)",
        )

    def _refuse_beyond(
        self, wait: float, limit: Limit, occasion: tuple[str, str], subject: str, setting: str
    ) -> None:
        if not wait:
            return
        self.note(
            *occasion,
            "%s are refused for now: there are more than %g per second (%s",
            subject,
            limit.rate,
            setting,
        )
        raise TryLater(429, "too many handshakes", wait)

    # Refusals ------------------------------------------------------------------------------

    def note(
        self, limit: str, subject: str | None, text: str, *args: Any, level: int = logging.WARNING
    ) -> None:
        """Take note of a refusal: it is counted, and logged if it is the first for a while.

        :param limit: its name.
        :param subject: the user or address that is refused, untrusted; ``None``: everybody is.
        """
        self._count(limit)
        if self._occasions.begins((limit, subject)):
            self._app.logger.log(level, text, *args)
