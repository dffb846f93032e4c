"""The site: the live state of one Flask app.

It is ``app.extensions["protoo"]``; nothing of it is global, so two apps in one
process have nothing to do with each other.
"""

from __future__ import annotations

import threading
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Sequence, TypeVar

from flask import Flask, has_request_context
from flask import request as flask_request
from gevent import monkey

from ..core.application import Application
from ..core.arrivals import Arrivals
from ..core.close_codes import AUTHORIZATION_REVOKED, GOING_AWAY
from ..core.events import EventQueues
from ..core.exits import is_contained
from ..core.names import Name, to_name, to_name_or_none
from ..core.observer import Observer
from ..core.observers import join
from ..core.peers.directory import Directory, Identity
from ..core.peers.homes import HomeService
from ..core.peers.local_directory import LocalDirectory
from ..core.peers.peer import Peer
from ..core.routing.layer import RoutingOptions
from ..core.runtime import Runtime
from ..core.wire.dialect import PROTOO, Dialect
from ..settings import Settings, config_key
from ..transport.channel import Loop
from ..transport.forked_child import inherit
from ..transport.server_worlds import guess_loop
from ..transport.websocket.handshake import HandshakeError
from .advice import Advice
from .configuration import Configuration
from .drain import Drain
from .entrance import current_arrival
from .goodbye import say_goodbye_at_exit
from .handshake_limits import NO_PING_DETECTION, USUAL_DETECTION, HandshakeLimits
from .servers import Servers
from .service import Registrations, Service

if TYPE_CHECKING:
    # A site without a cluster imports nothing of it.
    from .membership import MakeCluster, Membership

T = TypeVar("T")

#: ``threading.RLock``, also in a process that gevent has patched.
make_real_lock: Callable[[], ContextManager[Any]] = monkey.get_original("_thread", "RLock")


class Site:
    """The peers of one Flask app, and the way that new ones come in.

    :ivar protoo: the extension that serves this app.
    :ivar arrivals: the handshakes in progress.
    :ivar dialects: the dialects that clients may ask for, by their sub-protocols.
    :ivar make_directory: makes the directory that finds peers, where there is no cluster.
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
        #: What serves the clients; ``None`` before the first one.
        self.service: Service | None = None
        #: Whether :meth:`close` has been called: connections are not welcome any more.
        self.is_closed = False
        # Handshakes are in progress before it is known which kind of lock is needed. A real one
        # is right for greenlets, too: nothing blocks while it is held. And real threads may call.
        self.arrivals = Arrivals(make_real_lock(), current_arrival)
        self._lock = threading.Lock()
        #: Those that clients have come by.
        self.servers = Servers(self)
        inherit(self)

    @property
    def loop(self) -> Loop | None:
        """The loop of the clients; ``None`` before the first one."""
        service = self.service
        return None if service is None else service.loop

    @property
    def application(self) -> Application | None:
        """The application; ``None`` before the first client, and in a forked child."""
        service = self.service
        return None if service is None else service.application

    @property
    def membership(self) -> Membership | None:
        """The membership in the cluster; ``None`` while there is none."""
        service = self.service
        return None if service is None else service.membership

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

    def find_observer(self, loop: Loop) -> Observer | None:
        """Return the observer of what passes in the threads of a loop."""
        # Among greenlets, all listeners are called in the thread of the hub.
        return self.observer if loop.preempts else join(self._listeners, self.app.logger, None)

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
        elif self.service is None:
            self.advice.when_nobody_is_served(method)
        return self

    @property
    def is_clustered(self) -> bool:
        """Whether several processes are one site; not read as a setting, which would fix all."""
        return self.app.config.get(config_key("cluster_url")) is not None

    def _join_for_caller(self) -> None:
        if self.is_closed:
            return
        if self.service is not None and not _is_lost(self.service.loop):
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
        service = self.service
        if service is None or _is_lost(service.loop):
            return None
        return service.application.directory

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
        service = self.service
        if service is None or self._directory is None:
            self.arrivals.turn_away(username, uuid, code, reason)
            return 0
        return service.application.disconnect(username, uuid, code, reason)

    def close(self) -> None:
        """See :meth:`Protoo.close`."""
        self.is_closed = True
        # First: the first client of all may be coming just now.
        self.arrivals.turn_away(None, None, GOING_AWAY, "shutting down")
        service = self.service
        # If the loop is gone, the connections have ended with the thread that served them.
        if service is not None and not service.loop.is_gone():
            service.loop.call(service.close)
            self._ask(service.leave_cluster)

    # Draining --------------------------------------------------------------------------

    #: The drain, if there is one.
    _drain: Drain | None = None

    @property
    def is_draining(self) -> bool:
        """Whether this process lets its clients go, and takes no new ones."""
        return self._drain is not None

    def drain(self, seconds: float | None = None) -> Drain:
        """See :meth:`Protoo.drain`."""
        if seconds is None:
            seconds = self.settings.drain_timeout or 0.0
        return self.begin_drain(seconds, Drain)

    def begin_drain(self, seconds: float, make: Callable[..., Drain]) -> Drain:
        """Begin a drain, or hurry the one that there is.

        :param make: ``make(site, seconds)``.
        """
        made = make(self, seconds)
        # Of several threads, or a signal handler in between, the first wins.
        drain: Drain = vars(self).setdefault("_drain", made)
        if drain is made:
            made.begin()
        else:
            drain.hurry(seconds)
        return drain

    @property
    def services(self) -> dict[str, HomeService]:
        """The middleware that have calls or rooms, by their names."""
        return self.protoo.services

    def end_service(self, for_good: bool) -> None:
        """Leave the cluster, as the last step of a drain. Blocks for seconds at most.

        Without a cluster, nobody is told that peers are offline which have a grace period: they are
        back at another process, maybe, where "online" was told.

        :param for_good: whether no client may come any more; else everything is made anew for the
            next one: a server of gevent may be followed by another one in the same process.
        """
        self.is_closed = self.is_closed or for_good
        service = self.service
        if service is not None and not service.loop.is_gone():
            service.loop.call(service.reauthorization.close)
            self._ask(service.leave_cluster)
        if not for_good:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Make everything anew for the next client."""
        self.service = None
        self.servers = Servers(self)
        vars(self).pop("_drain", None)

    def leave_cluster(self) -> None:
        """Leave the cluster, when the clients have been told to go. Blocks for seconds at most."""
        if self.service is not None:
            self.service.leave_cluster()

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
        if self.service is None:
            return make_loop()
        loop = self.service.loop
        if self.service.is_guess:
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
        service = self.service
        if service is not None and service.loop is loop:
            if not is_guess:
                service.is_guess = False
            self._wait_until_joined()
            return service.application
        # Under threads, the first two clients may come at once.
        with self._lock:
            former = service = self.service
            if service is None or not _is_usable(service, loop, is_guess):
                self.freeze_routes()
                service = self.service = Service(self, loop, is_guess)
                if former is None:
                    say_goodbye_at_exit(self)
        # Without the lock, as both block.
        if service.membership is not None:
            service.membership.join()
            if former is not None and former is not service:
                former.leave_cluster()
            if self.is_closed:
                service.leave_cluster()  # this handshake was in progress then
        return service.application

    def _wait_until_joined(self) -> None:
        """Wait until the caller before this one has had the site join its cluster."""
        membership = self.membership
        if membership is not None and not membership.has_joined:
            self._ask(membership.join)

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

    def leave_to_parent(self) -> None:
        """Forget, in a process that was just forked, the clients: the parent serves them.

        A client that connects to this process makes everything anew.
        """
        if self.service is not None:
            self.service.leave_to_parent()
        self._begin_anew()
        # A thread that the child does not have may hold the locks.
        self._lock = threading.Lock()
        self.__dict__.pop("handshake_limits", None)
        self.arrivals = Arrivals(make_real_lock(), current_arrival)
        self.__dict__.pop("observer", None)  # its lock, too


def _is_usable(service: Service, loop: Loop, is_guess: bool) -> bool:
    """Whether a service can serve the current thread, whose loop is this one."""
    if service.is_guess and not is_guess and service.loop.preempts is not loop.preempts:
        return False
    return service.loop.is_here()


def _is_lost(loop: Loop | None) -> bool:
    """Whether the peers of a loop have gone with its thread."""
    return loop is not None and loop.is_foreign() and loop.is_gone()


def _raise(error: BaseException) -> Any:
    raise error
