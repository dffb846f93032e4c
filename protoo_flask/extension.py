"""Protoo, the Flask extension: registration, and questions about the peers that are there."""

from __future__ import annotations

import gc
import itertools
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence, TypeVar, overload
from weakref import WeakSet

from flask import Flask, Response, current_app, has_app_context, has_request_context

from .commands import commands
from .core.close_codes import AUTHORIZATION_REVOKED
from .core.errors import UsageError
from .core.functions import Decorator, F, check_function, name_function, show
from .core.names import Name
from .core.observer import Observer
from .core.peers.homes import HomeService
from .core.peers.peer import Peer, broadcast
from .core.registration_log import RegistrationLog
from .core.routing.matching.patterns import PathPattern
from .core.routing.methods import METHODS, MethodDecorators
from .core.routing.registration import ParamHandler, Registered
from .core.routing.route import Route
from .core.routing.router import Router
from .core.suggestions import hint
from .settings import Settings
from .site.authorization import Authorizer
from .site.configuration import Configuration
from .site.drain import Drain, is_timeout
from .site.entrance import Entrance
from .site.flask_framework import EVENTS, FOREIGN_EVENTS, FORMS, Listeners
from .site.routes import add_routes
from .site.site import Site
from .site.sock_routes import SockRoutes
from .site.views import Views

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from .testing import TestClient, TestClock

L = TypeVar("L", bound=Observer)

#: The key of ``app.extensions`` for the routes of flask-sock.
SOCK_ROUTES = "protoo_flask.sock_routes"


class Protoo(MethodDecorators):
    """Chat, presence and calls for a Flask site.

    ::

        app = Flask(__name__)
        app.secret_key = "..."
        protoo = Protoo(app)                  # or protoo.init_app(app) in an app factory

        @protoo.message("/echo")
        def echo(req, next):
            req.reply(200, "OK", req.data)

    Every user that has logged in to the site (``session["username"]``) can connect.
    Registrations are shared by all apps that this object was initialised for. Peers belong to
    one app: ``app.extensions["protoo"]``.

    :param app: the site's app; or none, and :meth:`init_app` later.
    :param options: settings by their names without ``PROTOO_``, in lower case; they win
        over ``app.config``.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = Settings.check_options(options)
        #: The router that every request enters.
        self.router = Router()
        #: The function given to :meth:`authorize`, or ``None`` for the default.
        self.authorizer: Authorizer | None = None
        #: ``{name of a signal: functions}``, given to :meth:`on`.
        self.listeners: Listeners = {}
        #: ``{name: service}``, given to :meth:`add_service`.
        self.services: dict[str, HomeService] = {}
        #: Given to :meth:`observe`.
        self.observers: list[Observer] = []
        self._registrations = RegistrationLog()
        self._sites: WeakSet[Site] = WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the WebSocket route and the browser client on a site's app.

        :raises UsageError: for a setting that cannot work, or when the app has a Protoo.
        """
        if not isinstance(app, Flask):
            raise UsageError(f"Protoo(app) and init_app(app) take a Flask app, not {app!r}")
        if "protoo" in app.extensions:
            raise UsageError(f"{app!r} has a Protoo already; an app has one, with many routers")
        configuration = Configuration(app, self._options)
        site = Site(self, app, configuration)
        views = Views(site)
        add_routes(app, views, configuration.at_registration)
        app.extensions[SOCK_ROUTES] = SockRoutes(site, views)
        configuration.watch()
        app.extensions["protoo"] = site
        self._sites.add(site)
        app.wsgi_app = Entrance(  # type: ignore[method-assign]
            app.wsgi_app, site, configuration.at_registration.path, views.refuse_early
        )
        app.cli.add_command(commands)
        self._registrations.begin_app()
        self.router.begin_app()

    # Registration --------------------------------------------------------------------

    def authorize(self, function: Authorizer) -> Authorizer:
        """Decide whether a client may connect, in the Flask request of the handshake.

        The function takes no arguments and returns ``(username, uuid)`` or ``(username,
        uuid, data)``; ``uuid`` may be ``None``, and one is made up. To refuse, it returns
        ``None``, raises ``Reject(code, reason)``, or any ``HTTPException`` (``abort(401)``):
        the handshake is answered with that status. ``data`` becomes ``peer.data``.

        ::

            @protoo.authorize
            def authorize():
                if not current_user.is_authenticated:
                    raise Reject(401, "log in first")
                return current_user.get_id(), request.args.get("uuid")
        """
        check_function(function, "fn()")
        self._registrations.add("authorize", function)
        if self.authorizer is not None:
            raise UsageError(
                f"@protoo.authorize was given {name_function(self.authorizer)} already; a Protoo "
                "has one authorizer, for all of its apps"
            )
        self.authorizer = function
        return function

    @overload
    def use(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def use(self, function: F, /) -> F: ...

    @overload
    def use(self, *args: Registered) -> Any: ...

    def use(self, *args: Any) -> Any:
        """Run functions or routers for every request below a path: see :class:`Router`."""
        return self.router.use(*args)

    @overload
    def all(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def all(self, function: F, /) -> F: ...

    @overload
    def all(self, *args: Registered) -> Any: ...

    def all(self, *args: Any) -> Any:
        """Handle requests of any method whose whole path matches: see :class:`Router`."""
        return self.router.all(*args)

    @overload
    def method(self, name: str, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def method(self, name: str, function: F, /) -> F: ...

    @overload
    def method(self, name: str, *args: Registered) -> Any: ...

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``, which may be any string."""
        return self.router.method(name, *args)

    def route(self, path: PathPattern, *, methods: None = None) -> Route:
        """Return a :class:`Route`, to give one path functions for several methods."""
        return self.router.route(path, methods=methods)

    @overload
    def param(self, names: str | Sequence[str], function: None = None) -> Decorator: ...

    @overload
    def param(self, names: str | Sequence[str], function: ParamHandler) -> Router: ...

    def param(self, names: str | Sequence[str], function: Any = None) -> Any:
        """Run ``fn(req, next, value)`` before layers whose path has such a parameter."""
        return self.router.param(names, function)

    @overload
    def errorhandler(self, *args: PathPattern | type[BaseException]) -> Decorator: ...

    @overload
    def errorhandler(self, function: F, /) -> F: ...

    @overload
    def errorhandler(self, *args: Registered) -> Any: ...

    def errorhandler(self, *args: Any) -> Any:
        """Handle the errors of the functions registered above: ``fn(error, req, next)``."""
        return self.router.errorhandler(*args)

    def Router(
        self,
        case_sensitive: bool | None = None,
        strict: bool | None = None,
        merge_params: bool = False,
    ) -> Router:
        """Return a new :class:`Router`, to be mounted with :meth:`use`."""
        return Router(case_sensitive, strict, merge_params)

    @overload
    def on(self, event: str, function: None = None) -> Decorator: ...

    @overload
    def on(self, event: str, function: F) -> F: ...

    def on(self, event: str, function: Callable[..., Any] | None = None) -> Any:
        """Call a function when something happens; a call or a decorator.

        ``"online"``, ``"disconnect"``, ``"reconnect"``, ``"offline"`` call ``fn(peer)``,
        ``"user_online"``, ``"user_offline"`` call ``fn(username)``, and
        ``"routing_error"`` calls ``fn(error, request)``. See ``protoo_flask.signals``.
        """
        if event not in EVENTS:
            raise UsageError(
                f"on(event, fn) knows {', '.join(EVENTS)}, not {show(event)}{_hint_at_event(event)}"
            )

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            check_function(function, FORMS.get(event, "fn(peer)"))
            self._registrations.add("on", event, function)
            self.listeners.setdefault(EVENTS[event], []).append(function)
            return function

        return decorate if function is None else decorate(function)

    def observe(self, listener: L) -> L:
        """Have a listener told of everything that passes: connections, messages, refusals.

        For metrics and logs: see ``protoo_flask.observe``, which has some, and the base class
        for others. It is told of all apps of this object. Without a listener, nothing is called.

        ::

            from protoo_flask.observe import EventLog

            protoo.observe(EventLog())

        :returns: the listener.
        :raises UsageError: for anything but an ``Observer``, for one that was given before, or
            after the first handshake.
        """
        if not isinstance(listener, Observer):
            raise UsageError(
                "observe(listener) takes an instance of a subclass of "
                f"protoo_flask.observe.Observer, not {show(listener)}"
            )
        if any(site.has_begun for site in self._sites):
            raise UsageError(
                "observe(listener) comes before the first handshake: later on, the listener would "
                "have missed a part"
            )
        self._registrations.add("observe", listener)
        if any(other is listener for other in self.observers):
            raise UsageError(f"{show(listener)} observes already: it would count everything twice")
        self.observers.append(listener)
        return listener

    def add_service(self, name: str, service: HomeService) -> str:
        """Register a middleware that works across workers; see :mod:`.core.peers.homes`.

        The workers of a cluster run the same code, so they register in the same order, and a
        name stands for the same middleware in all of them.

        :returns: its name: ``"calls"``, and of a second middleware of the kind ``"calls-2"``.
        """
        names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        name = next(free for free in names if free not in self.services)
        self.services[name] = service
        return name

    # Peers ----------------------------------------------------------------------------

    def peers(self, username: Name | None = None, uuid: Name | None = None) -> list[Peer]:
        """Return the peers of a user, of a device, of both, or all of them.

        Usernames and uuids are strings. Here and below, an integer or a UUID is converted:
        ``peers(current_user.id)``.

        :raises UsageError: for a name of any other type; it is a ``TypeError``, too.
        """
        return self._site.expect_peers("peers").peers(username, uuid)

    def peer(self, username: Name, uuid: Name) -> Peer | None:
        """Return one peer, or ``None``; for the names, see :meth:`peers`."""
        return self._site.expect_peers("peer").peer(username, uuid)

    def broadcast(
        self,
        peers: Iterable[Peer],
        method: str,
        data: dict[str, Any] | None = None,
        sender: dict[str, str] | None = None,
    ) -> int:
        """Send each of ``peers`` the same notification, which is written once; never blocks.

        ::

            protoo.broadcast(protoo.peers("bob"), "news", {"title": "..."})

        :param sender: the ``address`` of the peer it comes from, if it does.
        :returns: how many are there to receive it.
        :raises Unsendable: when the data is not JSON; nobody has got anything then.
        """
        return broadcast(peers, method, data, sender)

    def disconnect(
        self,
        username: Name,
        uuid: Name | None = None,
        code: int = AUTHORIZATION_REVOKED,
        reason: str = "authorization revoked",
    ) -> int:
        """Close the connections of a user, or of one device; they are offline at once.

        For a site that logs a user out, or bans them: after 3001 the client does not come
        back by itself. A handshake of theirs that is in progress does not get in, either: it
        is answered 403. Change your database first: the next handshake asks the authorizer.

        :returns: how many connections there were, without handshakes in progress.
        """
        site = self._site.expect_peers("disconnect")
        return site.disconnect(username, uuid, code, reason)

    def drain(self, timeout: float | None = None) -> Drain:
        """Let the clients of this process go in good order; returns at once.

        New handshakes are answered 503. Handlers finish; calls, and requests that are not answered
        yet, may end. A client is closed with 1001 when nothing of it is in progress, or at the
        deadline. The servers of gevent, and gunicorn's gevent worker, do so by themselves when
        they end: this is for others, and to begin earlier::

            signal.signal(signal.SIGUSR2, lambda *_: protoo.drain())

        May be called anywhere, signal handlers included. There is one drain: once more, the
        earlier deadline counts.

        :param timeout: seconds until the deadline; 0 closes everybody at once. By default,
            ``PROTOO_DRAIN_TIMEOUT``.
        :returns: the drain. ``drain.wait(seconds)`` waits for its end, in any greenlet or thread
            but that of a handler; ``drain.is_over`` tells whether it has come.
        :raises UsageError: for a timeout that is no number of seconds.
        """
        if timeout is not None and not is_timeout(timeout):
            raise UsageError(
                f"drain(timeout) takes a number of seconds, 0 or more, or None, not {show(timeout)}"
            )
        return self._site.drain(timeout)

    def close(self) -> None:
        """Close every connection with 1001, and answer new ones with 503."""
        self._site.close()

    @property
    def _site(self) -> Site:
        if has_app_context():
            site = current_app.extensions.get("protoo")
            if isinstance(site, Site) and site.protoo is self:
                return site
        sites = self._find_open_sites()
        if not sites:
            raise UsageError("this Protoo has no app yet: Protoo(app), or protoo.init_app(app)")
        if len(sites) > 1:
            names = ", ".join(sorted(str(site.app) for site in sites))
            raise UsageError(
                f"this Protoo serves several apps ({names}), so it must know which one is meant: "
                "call it inside a handler or a view, or inside `with app.app_context():`"
            )
        return sites[0]

    def _find_open_sites(self) -> list[Site]:
        """Return the sites of the apps that are still in use; of closed ones, one."""
        sites = _without_closed(self._sites)
        if len(sites) > 1:
            # An app is part of reference circles: those that a test suite has dropped are there
            # until Python looks for them.
            del sites
            gc.collect()
            sites = _without_closed(self._sites)
        return sites

    # Tests ---------------------------------------------------------------------------

    def test_client(
        self,
        flask_client: FlaskClient | None = None,
        *,
        username: str | None = None,
        uuid: str | None = None,
        **options: Any,
    ) -> TestClient:
        """Connect a client to the app in this process, for a test: docs/testing.md is the guide.

        ::

            with protoo.test_client(app.test_client(), username="alice", uuid="phone") as alice:
                assert alice.request("get", "/echo", {"n": 1}).data == {"n": 1}

        There is no socket, and everything else is as in production: the view of the handshake, the
        frames, the messages, the Flask contexts. From now on, the clock of the app stands still:
        see :attr:`test_clock`.

        :param flask_client: a test client of Flask, with the cookies of a browser. Without one, a
            new one of the app.
        :param username: is put into the session, as the default authorizer finds it. For a site
            with an authorizer of its own, log in with the Flask client before.
        :param uuid: the device, sent as ``?uuid=``.
        :param options: ``path``; ``query`` and ``headers``, dicts; ``origin``, of the page;
            ``subprotocol``; and others that ``flask_client.open()`` takes, such as ``base_url``.
        :raises Refused: when the site does not let the client in, with the HTTP status.
        :raises UsageError: when the app serves real clients.
        """
        from .testing.client import TestClient, check_arguments, log_in  # a site needs none of it
        from .testing.server import find_server

        check_arguments(flask_client, username)
        app = self._site.app if flask_client is None else flask_client.application
        site = app.extensions.get("protoo")
        if not isinstance(site, Site) or site.protoo is not self:
            raise UsageError(f"this Protoo does not serve {app!r}: protoo.init_app(app)")
        client = app.test_client() if flask_client is None else flask_client
        server = find_server(app)
        if username is not None:
            log_in(client, site.settings.session_key, username, options)
        return TestClient(server, client, uuid=uuid, **options)

    @property
    def test_clock(self) -> TestClock:
        """The clock of the app, which a test moves: ``protoo.test_clock.advance(seconds)``.

        It stands still from its first use on, or from that of :meth:`test_client`.

        :raises UsageError: when the app serves real clients.
        """
        from .testing.clock import TestClock
        from .testing.server import find_server

        return TestClock(find_server(self._site.app))

    # Routes of flask-sock ---------------------------------------------------------------

    def admit(self) -> Response | None:
        """Let a client in, or refuse it by an HTTP status; for ``before_request``.

        For the blueprint of flask-sock's routes whose views call :meth:`serve`::

            signaling = Blueprint("signaling", __name__)
            signaling.before_request(protoo.admit)

        The authorizer is asked, and every limit of a handshake holds. Without an authorizer,
        nobody is refused for not having logged in: the view may name the user.

        :returns: the response that refuses, or ``None``.
        """
        return self._find_sock_routes("admit").admit()

    def serve(
        self, ws: Any, username: Name | None = None, uuid: Name | None = None, data: Any = None
    ) -> None:
        """Serve a WebSocket of flask-sock, when its view has returned. It must come last.

        ::

            @sock.route("/signal", bp=signaling)
            def signal(ws):
                protoo.serve(ws)                  # or protoo.serve(ws, current_user.get_id())

        Until the view returns, it can still refuse the client: ``abort(403)``.

        :param username: of the client; by default, that of the authorizer.
        :param uuid: of the device; by default, that of the authorizer. If the username is given
            and this is not, one is made up.
        :param data: becomes ``peer.data``.
        :raises UsageError: without :meth:`admit`, or without our sub-protocol; it names the line
            to add.
        """
        self._find_sock_routes("serve").serve(ws, username, uuid, data)

    def _find_sock_routes(self, method: str) -> SockRoutes:
        if not has_request_context():
            raise UsageError(f"protoo.{method}() is for the request of a handshake")
        site = current_app.extensions.get("protoo")
        if not isinstance(site, Site) or site.protoo is not self:
            raise UsageError(
                f"protoo.{method}() was called for {current_app!r}, which this Protoo does not "
                "serve: add protoo.init_app(app)"
            )
        routes: SockRoutes = current_app.extensions[SOCK_ROUTES]
        return routes

    # On its own ----------------------------------------------------------------------

    def run(self, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve it with gevent until interrupted: the app it has, or none but itself.

        For trying out, and for signaling servers without a site. A site keeps the server that
        it has.
        """
        from .serving import serve  # the server is not part of the extension

        sites = self._find_open_sites()
        if len(sites) > 1:
            raise UsageError("this Protoo serves several apps: run one of them")
        if not sites:
            self.init_app(Flask("protoo_flask.standalone", static_folder=None))
        serve(self._site.app, host, port)


def _hint_at_event(event: object) -> str:
    meant = hint(event, EVENTS, FOREIGN_EVENTS)
    if not meant and event in METHODS:
        return f"; requests are handled by @protoo.{event}(path)"
    return meant


def _without_closed(sites: Iterable[Site]) -> list[Site]:
    every = list(sites)
    # Nobody comes to a closed one any more, so which of them answers makes no difference.
    return [site for site in every if not site.is_closed] or every[:1]
