"""The service of a site in one process: everything that serves clients, and that a fork resets.

It is made when the first client comes, because only then is it known whether the server runs
greenlets or threads; or when code of the site asks for the peers of a cluster. A forked child
makes one of its own, and so does a process in which a server follows another one.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence

from ..core.application import Application
from ..core.arrivals import Arrival, Arrivals
from ..core.connection_limit import Place
from ..core.deadlines import Deadlines
from ..core.errors import ServerStopped
from ..core.events import EventQueues
from ..core.functions import name_function
from ..core.inbox import Inbox
from ..core.observer import Observer
from ..core.peers.directory import Directory, Identity, NoPlace
from ..core.peers.homes import HomeService
from ..core.peers.peer import Peer
from ..core.rates import parse_rates
from ..core.routing.router import Router
from ..core.runtime import Limits, Runtime, TimeLimits
from ..core.wire.dialect import Dialect
from ..settings import Settings, config_key
from ..transport.channel import Channel, Loop
from ..transport.closing_links import ClosingLinks
from ..transport.connection import Connection
from ..transport.counted_links import CountedLinks
from ..transport.descriptors import find_limit
from ..transport.websocket.handshake import Handshake
from .authorization import Authorizer, ask_again
from .context_choice import choose_context
from .contexts import HandshakeContext
from .flask_framework import EVENTS, FlaskFramework, Listeners
from .handshake_limits import NO_PING_DETECTION, HandshakeLimits
from .reauthorization import Reauthorization

if TYPE_CHECKING:
    from flask import Flask

    # A site without a cluster imports nothing of it.
    from .membership import MakeCluster, Membership

#: Ping intervals within which a dead connection is noticed; most are after USUAL_DETECTION. Of a
#: slow link, the last progress counts: see ``transport/waiting_frame.py``.
LATEST_DETECTION = 3

#: Connections that are closing have one of so many descriptors of the process, at most.
CLOSING_SHARE = 2


class Registrations(Protocol):
    """The registrations of a site, as :class:`~protoo_flask.Protoo` keeps them."""

    router: Router
    authorizer: Authorizer | None
    listeners: Listeners
    services: dict[str, HomeService]
    observers: list[Observer]


class Host(Protocol):
    """The site that is served."""

    protoo: Registrations
    app: Flask
    arrivals: Arrivals
    dialects: Sequence[Dialect]
    make_directory: Callable[[Runtime, EventQueues], Directory[Peer]]
    make_cluster: MakeCluster | None

    @property
    def observer(self) -> Observer | None: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def is_clustered(self) -> bool: ...

    @property
    def handshake_limits(self) -> HandshakeLimits: ...

    def find_observer(self, loop: Loop) -> Observer | None:
        """Return the observer of what passes in the threads of a loop."""

    def limited(self, limit: str) -> None:
        """Take note that a limit has refused a handshake."""


class Service:
    """What serves the clients of a site on one loop.

    :param loop: of the thread or threads that serve the clients.
    :param is_guess: whether it was made for code of the site, and the loop is a guess.
    :ivar application: the peers, and what is done for them.
    :ivar membership: in the cluster; ``None`` where there is none.
    :ivar context_class: keeps the handshakes.
    :ivar closing_links: the connections that are closing.
    :ivar silence: asks clients that are silent whether they are still there; ``None``: nobody does.
    :ivar reauthorization: asks the site again about the peers.
    """

    def __init__(self, host: Host, loop: Loop, is_guess: bool) -> None:
        settings = host.settings
        _warn_of_silent_events(host)
        self._settings = settings
        self.loop = loop
        self.is_guess = is_guess
        self.context_class: type[HandshakeContext] = choose_context(host.app)
        self.silence: Deadlines[Connection] | None = None
        if settings.ping_interval:
            self.silence = Deadlines(
                loop, settings.ping_interval, lambda connection: connection.keep_alive()
            )
        self.closing_links = _make_closing_links(host, loop)
        framework = FlaskFramework(host.app, host.protoo.listeners, host.observer)
        make_directory = host.make_directory
        self.membership: Membership | None = None
        if host.is_clustered:
            from .membership import Membership

            self.membership = Membership(
                host.app, settings, loop, host.make_cluster, host.protoo, self.context_class
            )
            make_directory = self.membership.make_directory
        self.application = Application(
            host.protoo,
            host.protoo.router,
            framework,
            loop,
            _find_time_limits(settings),
            Limits(
                peers_per_user=settings.max_peers_per_user,
                waiting=settings.max_outbox,
                parallel_requests=settings.parallel_requests,
                rates=parse_rates(settings.rate_limit, config_key("rate_limit")),
            ),
            first_id=_make_first_id,
            observer=host.find_observer(loop),
            make_directory=make_directory,
            arrivals=host.arrivals,
        )
        if self.membership is not None:
            host.handshake_limits.share(self.application.runtime)
        self.reauthorization = Reauthorization(
            self.application,
            framework,
            settings.reauthorize_interval,
            ask=lambda: ask_again(host.protoo.authorizer, settings),
        )
        self._limited = host.limited
        #: Whether this is a copy in a forked child.
        self._is_of_parent = False

    def close(self) -> None:
        """Close every connection."""
        self.reauthorization.close()
        self.application.close()

    def leave_cluster(self) -> None:
        """Leave the cluster, when the clients have been told to go. Blocks for seconds at most."""
        if self.membership is not None:
            self.membership.leave()

    def leave_to_parent(self) -> None:
        """Tell the site nothing of the clients, in a process that was just forked."""
        self._is_of_parent = True

    # Connections -----------------------------------------------------------------------

    def connector(
        self,
        identity: Identity,
        context: HandshakeContext,
        agreed: Handshake,
        arrival: Arrival | None = None,
        welcome: bool = False,
        kind: type[Connection] = Connection,
    ) -> Callable[[Channel, bytes], Connection]:
        """Return ``make(channel, handshake)``, which makes the connection of a client.

        :param arrival: of the handshake; by default, it comes when the connection is made.
        :param welcome: whether the client wants to be told who it is.
        :param kind: of the connection: one that leaves its server, or one that stays.
        """
        place = None
        if arrival is not None:
            arrival.outlives_request = True
            place = arrival.place
        # Not closures, which weigh ten times as much: there are as many as connections.
        connect = partial(self._connect, identity, context, agreed.dialect, arrival, welcome)
        return partial(self._make_connection, kind, connect, agreed.codec, identity[:2], place)

    def _make_connection(
        self,
        kind: type[Connection],
        connect: Callable[[Connection], Inbox],
        codec: Any,
        device: tuple[str, str],
        place: Place | None,
        channel: Channel,
        handshake: bytes,
    ) -> Connection:
        if self.loop.is_foreign():
            raise ServerStopped("a server in another thread has taken the app over meanwhile")
        connection = kind(
            channel,
            self.loop,
            codec,
            handshake,
            connect=connect,
            disconnect=self._disconnect,
            silence=self.silence,
            max_outbox=self._settings.max_outbox,
            closing=self.closing_links,
            device=device,
        )
        if place is not None:
            assert isinstance(self.closing_links, CountedLinks)
            self.closing_links.expect(connection, place)
        return connection

    def _connect(
        self,
        identity: Identity,
        context: HandshakeContext,
        dialect: Dialect,
        arrival: Arrival | None,
        welcome: bool,
        connection: Connection,
    ) -> Inbox:
        try:
            inbox = self.application.connect(
                identity, connection, context, connection.open, dialect, arrival, welcome
            )
        except NoPlace as error:
            self._limited(error.limit)
            raise
        if isinstance(self.closing_links, CountedLinks):
            self.closing_links.opened(connection)
        self.reauthorization.watch(inbox.peer)
        return inbox

    def _disconnect(self, inbox: Inbox, code: int) -> None:
        if self._is_of_parent:
            return  # the site must not hear from a child that a client is offline
        inbox.closed(code)
        self.reauthorization.note_departure(inbox.peer)


def _warn_of_silent_events(host: Host) -> None:
    """Log a warning about listeners of events that never happen with these settings."""
    if host.settings.disconnect_grace_period:
        return
    for event in ("disconnect", "reconnect"):
        for function in host.protoo.listeners.get(EVENTS[event], []):
            host.app.logger.warning(
                'on("%s") never calls %s without PROTOO_DISCONNECT_GRACE_PERIOD: a '
                'connection that drops is "offline" at once',
                event,
                name_function(function),
            )


def _make_closing_links(host: Host, loop: Loop) -> ClosingLinks:
    seats, kind = host.handshake_limits.connections, ClosingLinks
    if seats is not None:
        seats.leave_all()  # those of a former loop have ended with its thread
        kind = CountedLinks
    per_user = host.settings.max_peers_per_user
    return kind(loop.lock(), per_user, total=find_limit() // CLOSING_SHARE)


def _find_time_limits(settings: Settings) -> TimeLimits:
    grace_period = settings.disconnect_grace_period
    detection = LATEST_DETECTION * (settings.ping_interval or NO_PING_DETECTION)
    return TimeLimits(
        request=settings.request_timeout,
        session=settings.session_timeout,
        response=settings.response_timeout,
        grace_period=grace_period,
        reload=min(settings.reload_grace_period, grace_period),
        detection=detection,
        answers=None if settings.ping_interval else detection + grace_period,
    )


def _make_first_id() -> int:
    """Return the first id of the requests to a peer: none that another could guess.

    Of 48 bits, so that MAX_ID is out of reach whatever is added.
    """
    return int.from_bytes(secrets.token_bytes(6), "big") + 1
