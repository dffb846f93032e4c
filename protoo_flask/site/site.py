"""The site: the live state of one Flask app.

It is ``app.extensions["protoo"]``; nothing of it is global, so two apps in one
process have nothing to do with each other.
"""

from __future__ import annotations

import secrets
import threading
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Protocol, Sequence, TypeVar

from flask import Flask, has_request_context
from flask import request as flask_request
from gevent import monkey

from ..core.application import Application
from ..core.arrivals import Arrival, Arrivals
from ..core.close_codes import AUTHORIZATION_REVOKED, GOING_AWAY
from ..core.connection_limit import Place
from ..core.deadlines import Deadlines
from ..core.errors import ServerStopped
from ..core.events import EventQueues
from ..core.exits import is_contained
from ..core.functions import name_function
from ..core.inbox import Inbox
from ..core.names import Name, to_name, to_name_or_none
from ..core.observer import Observer
from ..core.observers import join
from ..core.peers.directory import Directory, Identity, NoPlace
from ..core.peers.homes import HomeService
from ..core.peers.local_directory import LocalDirectory
from ..core.peers.peer import Peer
from ..core.rates import parse_rates
from ..core.routing.layer import RoutingOptions
from ..core.routing.router import Router
from ..core.runtime import Limits, Runtime, TimeLimits
from ..core.wire.dialect import PROTOO, Dialect
from ..settings import Settings, config_key
from ..transport.channel import Channel, Loop
from ..transport.closing_links import ClosingLinks
from ..transport.connection import Connection
from ..transport.counted_links import CountedLinks
from ..transport.descriptors import find_limit
from ..transport.forked_child import inherit
from ..transport.server_worlds import guess_loop
from ..transport.websocket.handshake import Handshake, HandshakeError
from .advice import Advice
from .authorization import Authorizer, ask_again
from .configuration import Configuration
from .context_choice import choose_context
from .contexts import HandshakeContext
from .entrance import current_arrival
from .flask_framework import EVENTS, FlaskFramework, Listeners
from .goodbye import say_goodbye_at_exit
from .handshake_limits import NO_PING_DETECTION, USUAL_DETECTION, HandshakeLimits
from .reauthorization import Reauthorization

if TYPE_CHECKING:
    # A site without a cluster imports nothing of it.
    from .membership import MakeCluster, Membership

T = TypeVar("T")

#: Ping intervals within which a dead connection is noticed; most are after USUAL_DETECTION. Of a
#: slow link, the last progress counts: see ``transport/waiting_frame.py``.
LATEST_DETECTION = 3

#: Connections that are closing have one of so many descriptors of the process, at most.
CLOSING_SHARE = 2

#: ``threading.RLock``, also in a process that gevent has patched.
make_real_lock: Callable[[], ContextManager[Any]] = monkey.get_original("_thread", "RLock")


class Registrations(Protocol):
    """The registrations of a site, as :class:`~protoo_flask.Protoo` keeps them."""

    router: Router
    authorizer: Authorizer | None
    listeners: Listeners
    services: dict[str, HomeService]
    observers: list[Observer]


class Site:
    """The peers of one Flask app, and the way that new ones come in.

    :ivar protoo: the extension that serves this app.
    :ivar loop: of the thread or threads that serve the clients; ``None`` before the first one.
    :ivar arrivals: the handshakes in progress.
    :ivar dialects: the dialects that clients may ask for, by their sub-protocols.
    :ivar make_directory: makes the directory that finds peers, where there is no cluster.
    :ivar membership: in the cluster; ``None`` while there is none.
    :ivar make_cluster: makes the cluster; ``None``: one on Redis. These four are set before the
        first connection.
    """

    def __init__(self, protoo: Registrations, app: Flask, configuration: Configuration) -> None:
        self.protoo = protoo
        self.app = app
        self.configuration = configuration
        self.dialects: Sequence[Dialect] = (PROTOO,)
        self.make_directory: Callable[[Runtime, EventQueues], Directory[Peer]] = LocalDirectory
        self.make_cluster: MakeCluster | None = None
        self.advice = Advice(app)
        self.loop: Loop | None = None
        #: Keeps the handshakes; chosen with the application.
        self.context_class = HandshakeContext
        #: Whether :meth:`close` has been called: connections are not welcome any more.
        self.is_closed = False
        # Handshakes are in progress before it is known which kind of lock is needed. A real one
        # is right for greenlets, too: nothing blocks while it is held. And real threads may call.
        self.arrivals = Arrivals(make_real_lock(), current_arrival)
        self._lock = threading.Lock()
        self._application: Application | None = None
        self.membership: Membership | None = None
        #: Whether the application was made for code of the site, and the loop is a guess.
        self._is_guess = False
        self._reauthorization: Reauthorization | None = None
        #: Asks clients that are silent whether they are still there.
        self._silence: Deadlines[Connection] | None = None
        self._closing: ClosingLinks | None = None
        inherit(self)

    @property
    def retry_after(self) -> float:
        """Seconds after which there may be room for another device.

        By then, a connection that is dead now has usually been noticed.
        """
        return USUAL_DETECTION * (self.settings.ping_interval or NO_PING_DETECTION)

    @property
    def settings(self) -> Settings:
        """The settings of the app, read when they are first asked for.

        :raises UsageError: for a value that cannot work.
        """
        return self.configuration.settings

    @cached_property
    def observer(self) -> Observer | None:
        """Tells the listeners of ``Protoo.observe()``; ``None``: there are none.

        Also before it is known which world serves the clients, so it has a lock for any.
        """
        return join(self._listeners, self.app.logger, make_real_lock())

    @cached_property
    def _listeners(self) -> list[Observer]:
        return [listener.begin_app() for listener in self.protoo.observers]

    @property
    def has_begun(self) -> bool:
        """Whether a handshake has come for which listeners were looked for."""
        return "_listeners" in self.__dict__

    @cached_property
    def handshake_limits(self) -> HandshakeLimits:
        """The limits that handshakes meet first."""
        made = HandshakeLimits(self.app, self.settings, make_real_lock, count=self.limited)
        # Of two threads with the first handshakes, one wins: it is counted in one place.
        limits: HandshakeLimits = self.__dict__.setdefault("handshake_limits", made)
        return limits

    def limited(self, limit: str) -> None:
        """Tell the observer that a limit has refused a handshake."""
        if self.observer is not None:
            self.observer.limited(limit, None)

    # Its peers -----------------------------------------------------------------------

    def expect_peers(self, method: str) -> Site:
        """Return this site, for a call of the site's own code that is about its peers.

        In a process without clients, it joins the cluster of the site, which may block. If there
        is none, the caller may be warned; see :class:`Advice`.

        :param method: the method of :class:`~protoo_flask.Protoo` that was called.
        """
        if self.is_clustered:
            self._join_for_caller()
        elif self._application is None:
            self.advice.when_nobody_is_served(method)
        return self

    @property
    def is_clustered(self) -> bool:
        """Whether several processes are one site; not read as a setting, which would fix all."""
        return self.app.config.get(config_key("cluster_url")) is not None

    def _join_for_caller(self) -> None:
        loop = self.loop
        if self.is_closed:
            return
        if self._application is not None and not _is_lost(loop):
            self._wait_until_joined()
            return
        environ = flask_request.environ if has_request_context() else None
        self.open(guess_loop(environ), is_guess=True)

    def peers(self, username: Name | None = None, uuid: Name | None = None) -> list[Peer]:
        """See :meth:`Protoo.peers`."""
        username = to_name_or_none(username, "peers(username)")
        uuid = to_name_or_none(uuid, "peers(username, uuid)")
        directory = self._directory
        return [] if directory is None else self._ask(directory.find, username, uuid)

    def peer(self, username: Name, uuid: Name) -> Peer | None:
        """See :meth:`Protoo.peer`."""
        username = to_name(username, "peer(username, uuid)")
        uuid = to_name(uuid, "peer(username, uuid)")
        directory = self._directory
        return None if directory is None else self._ask(directory.get, username, uuid)

    def local_peers(self) -> list[Peer]:
        """Return the peers of this process."""
        directory = self._directory
        return [] if directory is None else directory.find_local()

    def _ask(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, which may block in a cluster; in a thread that may do so."""
        loop = self.loop
        if self.membership is None or loop is None or not loop.is_foreign():
            return function(*args)
        outcome: list[Callable[[], T]] = []
        done = loop.event()

        def run() -> None:
            try:
                result = function(*args)
                outcome.append(lambda: result)
            except BaseException as error:
                outcome.append(partial(_raise, error))  # it is for the thread that waits
                if not is_contained(error):
                    raise
            finally:
                done.set()

        loop.spawn(run)
        done.wait()
        return outcome[0]()

    @property
    def _directory(self) -> Directory[Peer] | None:
        """The peers; ``None`` when there are none, or they have gone with their thread."""
        loop, application = self.loop, self._application
        if application is None or _is_lost(loop):
            return None
        return application.directory

    def disconnect(
        self,
        username: Name,
        uuid: Name | None = None,
        code: int = AUTHORIZATION_REVOKED,
        reason: str = "authorization revoked",
    ) -> int:
        """See :meth:`Protoo.disconnect`."""
        username = to_name(username, "disconnect(username)")
        uuid = to_name_or_none(uuid, "disconnect(username, uuid)")
        if self._application is None or self._directory is None:
            self.arrivals.turn_away(username, uuid, code, reason)
            return 0
        return self._application.disconnect(username, uuid, code, reason)

    def close(self) -> None:
        """See :meth:`Protoo.close`."""
        self.is_closed = True
        # First: the first client of all may be coming just now.
        self.arrivals.turn_away(None, None, GOING_AWAY, "shutting down")
        loop = self.loop
        # If the loop is gone, the connections have ended with the thread that served them.
        if loop is not None and not loop.is_gone():
            loop.call(self._close_all)
            self._ask(self.leave_cluster)

    def leave_cluster(self) -> None:
        """Leave the cluster, when the clients have been told to go. Blocks for seconds at most."""
        if self.membership is not None:
            self.membership.leave()

    def _close_all(self) -> None:
        if self._reauthorization is not None:
            self._reauthorization.close()
        if self._application is not None:
            self._application.close()

    # Opening ---------------------------------------------------------------------------

    def check_space(self, identity: Identity) -> None:
        """Check that a device may join the others of its user.

        :raises NoPlace: when it may not.
        """
        if self._directory is not None:
            self._directory.check_space(identity)

    def find_loop(self, make_loop: Callable[[], Loop]) -> Loop:
        """Return the loop for a client that comes in the current thread.

        It is usually that of the first client. But the tests of a site may serve the same
        app several times, each time in a thread of its own, on a hub of its own.

        :param make_loop: makes a loop for the current thread.
        :raises HandshakeError: 503 when clients are connected that another hub serves.
        """
        loop = self.loop
        if loop is None:
            return make_loop()
        if self._is_guess:
            made = make_loop()
            return loop if loop.is_here() and loop.preempts is made.preempts else made
        if loop.is_here():
            return loop
        if self.local_peers():  # none, if that hub is gone
            raise HandshakeError(
                503,
                "clients of this app are connected to a server in another thread of this "
                "process, whose gevent hub owns them all: run one gevent server for each app, "
                "or several in the same thread",
            )
        return make_loop()

    def open(self, loop: Loop, is_guess: bool = False) -> Application:
        """Return the application, made when the first client comes.

        Only then is it known whether the server runs greenlets or threads, and from
        then on routes and handlers stay as they are.

        :param loop: becomes :attr:`loop`, unless there is one that serves the current thread;
            see :meth:`find_loop`.
        :param is_guess: whether no client has come, and code of the site asks for peers.
        """
        if self._application is not None and self.loop is loop:
            if not is_guess:
                self._is_guess = False
            self._wait_until_joined()
            return self._application
        former_membership = self.membership
        # Under threads, the first two clients may come at once.
        with self._lock:
            application = former = self._application
            if former is None or not self._is_usable(loop, is_guess):
                application = self._application = self._make_application(loop)
                self._is_guess = is_guess
                if former is None:
                    say_goodbye_at_exit(self)
            membership = self.membership
        assert application is not None
        # Without the lock, as both block.
        if membership is not None:
            membership.join()
            if former_membership is not None and former_membership is not membership:
                former_membership.leave()
            if self.is_closed:
                membership.leave()  # this handshake was in progress then
        return application

    def _wait_until_joined(self) -> None:
        """Wait until the caller before this one has had the site join its cluster."""
        membership = self.membership
        if membership is not None and not membership.has_joined:
            self._ask(membership.join)

    def _is_usable(self, loop: Loop, is_guess: bool) -> bool:
        """Whether the loop that there is can serve the current thread."""
        if self.loop is None:
            return True
        if self._is_guess and not is_guess and self.loop.preempts is not loop.preempts:
            return False
        return self.loop.is_here()

    def freeze_routes(self) -> None:
        """Close the registration, and compile the paths with the settings of the app."""
        settings = self.settings
        options = RoutingOptions(settings.case_sensitive_routing, settings.strict_routing)
        if not self.protoo.router.freeze(options):
            self.app.logger.warning(
                "PROTOO_CASE_SENSITIVE_ROUTING and PROTOO_STRICT_ROUTING of this app are ignored: "
                "its routers have compiled their paths for another app, which has other values. "
                "Apps with different values need a Protoo and routers of their own"
            )

    def _warn_of_silent_events(self) -> None:
        """Log a warning about listeners of events that never happen with these settings."""
        if self.settings.disconnect_grace_period:
            return
        for event in ("disconnect", "reconnect"):
            for function in self.protoo.listeners.get(EVENTS[event], []):
                self.app.logger.warning(
                    'on("%s") never calls %s without PROTOO_DISCONNECT_GRACE_PERIOD: a '
                    'connection that drops is "offline" at once',
                    event,
                    name_function(function),
                )

    def _make_application(self, loop: Loop) -> Application:
        settings = self.settings
        self.freeze_routes()
        self._warn_of_silent_events()
        self.loop = loop
        self.context_class = choose_context(self.app)
        if settings.ping_interval:
            self._silence = Deadlines(
                loop, settings.ping_interval, lambda connection: connection.keep_alive()
            )
        detection = LATEST_DETECTION * (settings.ping_interval or NO_PING_DETECTION)
        grace_period = settings.disconnect_grace_period
        self._closing = self._make_closing_links(loop)
        observer = self.observer
        framework = FlaskFramework(self.app, self.protoo.listeners, observer)
        make_directory = self.make_directory
        if self.is_clustered:
            from .membership import Membership

            self.membership = Membership(
                self.app,
                settings,
                loop,
                self.make_cluster,
                self.protoo,
                self.context_class,
            )
            make_directory = self.membership.make_directory
        application = Application(
            self.protoo,
            self.protoo.router,
            framework,
            loop,
            TimeLimits(
                request=settings.request_timeout,
                session=settings.session_timeout,
                response=settings.response_timeout,
                grace_period=grace_period,
                reload=min(settings.reload_grace_period, grace_period),
                detection=detection,
                answers=None if settings.ping_interval else detection + grace_period,
            ),
            Limits(
                peers_per_user=settings.max_peers_per_user,
                waiting=settings.max_outbox,
                parallel_requests=settings.parallel_requests,
                rates=parse_rates(settings.rate_limit, config_key("rate_limit")),
            ),
            first_id=_make_first_id,
            # Among greenlets, all listeners are called in the thread of the hub.
            observer=observer if loop.preempts else join(self._listeners, self.app.logger, None),
            make_directory=make_directory,
            arrivals=self.arrivals,
        )
        if self.membership is not None:
            self.handshake_limits.share(application.runtime)
        self._reauthorization = Reauthorization(
            application,
            framework,
            settings.reauthorize_interval,
            ask=lambda: ask_again(self.protoo.authorizer, settings),
        )
        return application

    def _make_closing_links(self, loop: Loop) -> ClosingLinks:
        seats, kind = self.handshake_limits.connections, ClosingLinks
        if seats is not None:
            seats.leave_all()  # those of a former loop have ended with its thread
            kind = CountedLinks
        per_user = self.settings.max_peers_per_user
        return kind(loop.lock(), per_user, total=find_limit() // CLOSING_SHARE)

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
        assert self.loop is not None
        if self.loop.is_foreign():
            raise ServerStopped("a server in another thread has taken the app over meanwhile")
        connection = kind(
            channel,
            self.loop,
            codec,
            handshake,
            connect=connect,
            disconnect=self._disconnect,
            silence=self._silence,
            max_outbox=self.settings.max_outbox,
            closing=self._closing,
            device=device,
        )
        if place is not None:
            assert isinstance(self._closing, CountedLinks)
            self._closing.expect(connection, place)
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
        assert self._application is not None
        assert self._reauthorization is not None
        try:
            inbox = self._application.connect(
                identity, connection, context, connection.open, dialect, arrival, welcome
            )
        except NoPlace as error:
            self.limited(error.limit)
            raise
        if isinstance(self._closing, CountedLinks):
            self._closing.opened(connection)
        self._reauthorization.watch(inbox.peer)
        return inbox

    def _disconnect(self, inbox: Inbox, code: int) -> None:
        if self._reauthorization is None:
            return  # in a forked child: the site must not hear from it that a client is offline
        inbox.closed(code)
        self._reauthorization.note_departure(inbox.peer)

    def leave_to_parent(self) -> None:
        """Forget, in a process that was just forked, the clients: the parent serves them.

        A client that connects to this process makes everything anew.
        """
        self.loop = None
        self._application = None
        self.membership = None
        self._reauthorization = None
        self._silence = None
        # A thread that the child does not have may hold the locks.
        self._lock = threading.Lock()
        self.__dict__.pop("handshake_limits", None)
        self.arrivals = Arrivals(make_real_lock(), current_arrival)
        self.__dict__.pop("observer", None)  # its lock, too


def _make_first_id() -> int:
    """Return the first id of the requests to a peer: none that another could guess.

    Of 48 bits, so that MAX_ID is out of reach whatever is added.
    """
    return int.from_bytes(secrets.token_bytes(6), "big") + 1


def _is_lost(loop: Loop | None) -> bool:
    """Whether the peers of a loop have gone with its thread."""
    return loop is not None and loop.is_foreign() and loop.is_gone()


def _raise(error: BaseException) -> Any:
    raise error
