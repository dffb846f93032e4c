"""The server of an app's tests: in their process, without sockets, with a clock moved by hand."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Sequence

from flask import Flask, has_request_context
from flask import request as flask_request

from ..core.deadlines import Deadlines
from ..core.errors import UsageError
from ..site.handshake_limits import HandshakeLimits
from ..site.site import Site, make_real_lock
from ..transport.channel import Channel
from ..transport.greenlets.manual_loop import ManualLoop, ManualTimer
from ..transport.server_sockets import find_socket
from ..transport.websocket.handshake import HandshakeError
from .failures import Leak, Unsettled
from .stillness import Stillness, describe_greenlet

#: The key of ``app.extensions``: the live state of the kit belongs to one app.
KEY = "protoo_flask.testing"

#: Seconds of real time in which code that waits in real time may come to rest.
PATIENCE = 10.0

#: Seconds between two looks at code that waits in real time.
LOOK_INTERVAL = 0.001

#: Functions that the hub may start, each by the one before, without anything coming to rest.
ROUNDS = 1000

#: Functions that timers call, in words.
WORDS = {
    "Calls.expire": "nobody has answered a call",
    "ClientTransaction.time_out": "the time for a peer's response is over",
    "LocalDirectory._expire": "a grace period is over",
}


class Server:
    """Serves one app to its test clients; an
    :class:`~protoo_flask.transport.in_process.InProcessServer`.

    :ivar site: the site of the app.
    :ivar loop: has the clock.
    :ivar clients: those that have not been closed.
    :ivar patience: seconds of real time, see :data:`PATIENCE`.
    :ivar ids: of the requests of all clients.
    """

    def __init__(self, app: Flask, site: Site) -> None:
        self.app = app
        self.site = site
        self.loop = ManualLoop()
        self.stillness = Stillness()
        self.clients: list[Any] = []
        self.patience = PATIENCE
        self.ids = itertools.count(1)
        self._accepted: list[tuple[Callable[[Channel, bytes], Any], bytes]] = []
        #: Whether the limits of handshakes are those of the test that runs.
        self._has_limits = False

    def begin(self) -> None:
        """Begin a test. The handshakes of earlier ones do not count, as the clock stands still."""
        self.stillness.begin()
        self._has_limits = False

    def check_thread(self, call: str) -> None:
        """Check that a call of the test comes from the thread that has made the server.

        :raises UsageError: if not.
        """
        if self.loop.is_foreign():
            raise UsageError(
                f"{call} is for the thread that has made the first client of the test: the app "
                "runs on its hub. Let other threads call the app: peer.notify(), protoo.peers()"
            )

    # Handshakes --------------------------------------------------------------------------

    def begin_handshake(self) -> None:
        """Prepare the site, whose settings are read now, for its next client."""
        if not self._has_limits:
            self._has_limits = True
            # Their clock is the same as that of everything else.
            self.site.handshake_limits = HandshakeLimits(
                self.app, self.site.settings, make_real_lock, self.loop.now, self.site.limited
            )

    def accept(self, start: Callable[[Channel, bytes], Any], handshake: bytes) -> None:
        self._accepted.append((start, handshake))

    def begin_connection(self, channel: Channel) -> Any:
        """Begin the connection that was accepted last, as a server does after the response.

        :returns: the connection; ``None`` if none was accepted.
        """
        if not self._accepted:
            return None
        start, handshake = self._accepted.pop()
        connection = start(channel, handshake)
        self.loop.spawn(connection.serve)
        return connection

    # Time and rest -----------------------------------------------------------------------

    def run_ready(self) -> None:
        """Let the app go on until nothing is left but what waits for something."""
        for _ in range(ROUNDS):
            self.stillness.nap()
            if not self.stillness.has_ready:
                return

    def wait_until(self, is_done: Callable[[], bool]) -> list[str] | None:
        """Let the app go on until something has happened, or nothing can happen.

        :returns: ``None`` when ``is_done()``; else what may still act after :attr:`patience`, in
            words. An empty list: the app is at rest.
        """
        end = self.stillness.now() + self.patience
        while True:
            self.run_ready()
            if is_done():
                return None
            activity = self.stillness.find_activity()
            if not activity or self.stillness.now() > end:
                return None if is_done() else activity
            self.stillness.nap(LOOK_INTERVAL)

    def settle(self) -> None:
        """Let the app go on until it is at rest: nothing happens before the test does something.

        :raises Unsettled: when it does not come to rest.
        """
        activity = self.wait_until(lambda: False)
        if activity:
            raise Unsettled(self.patience, activity)

    def advance(self, seconds: float) -> None:
        """Move the clock; timers that are due fire in order, and the app comes to rest after each.

        :raises Unsettled: when it does not.
        """
        self.settle()
        end = self.loop.now() + seconds
        while True:
            timer = self.loop.take_due(end)
            if timer is None:
                return
            self.loop.spawn(timer.fire)
            self.settle()

    def describe_timers(self) -> list[str]:
        """Return what the clock will do when it is moved, in words: the next first. No pings."""
        words = {}
        service = self.site.service
        if service is not None:
            runtime = service.application.runtime
            words[id(runtime.transactions)] = "the time for a peer's response is over"
            words[id(runtime.unanswered)] = "a request that no handler answers gets 504"
            words[id(runtime.progress)] = "a handler that does not return loses its place"
            due = service.reauthorization._due
            words[id(due)] = "the site is asked whether a peer may stay"
        found = []
        for timer in filter(_does_something, self.loop.timers):
            when, deadlines = timer.when, _find_items(timer)
            if deadlines is not None:
                if service is not None and deadlines is service.silence:
                    continue
                when = min(deadlines._deadlines.values(), default=when)
                kinds = sorted({type(item).__name__ for item in list(deadlines._deadlines)})
                text = words.get(id(deadlines), f"the time of a {', '.join(kinds)} is over")
                if len(deadlines) > 1:
                    text += f" ({len(deadlines)} of them)"
            else:
                function: Any = getattr(timer.function, "__wrapped__", None) or timer.function
                name = getattr(function, "__qualname__", repr(function))
                text = WORDS.get(name, f"a timer calls {name}()")
            found.append((when, f"{text}, in {when - self.loop.now():g} s"))
        return [text for _, text in sorted(found)]

    # The end of a test -------------------------------------------------------------------

    def close_clients(self, earlier: Sequence[Any] = ()) -> None:
        """Close the clients, but for those of before the test."""
        for client in list(self.clients):
            if client not in earlier:
                client.close()

    def finish(self, earlier: Sequence[Any] = ()) -> None:
        """Close the clients, but for those of before the test, and check what is left.

        :raises Leak: when something is.
        :raises Unsettled: when the app does not come to rest.
        """
        self.close_clients(earlier)
        self._has_limits = False
        found = self.find_leaks()
        if found:
            raise Leak(found)

    def find_leaks(self) -> list[str]:
        """Return what is left in the app, in words: without its clients, there should be nothing.

        :raises Unsettled: when it does not come to rest.
        """
        self.settle()
        mine = {(client.username, client.uuid) for client in self.clients}
        found = [
            f"the peer {peer.username}/{peer.uuid}"
            for peer in self.site.local_peers()
            if (peer.username, peer.uuid) not in mine
        ]
        if not mine:
            found += self.describe_timers()
        blocked = [*self.loop.blocked, *self.stillness.find_blocked()]
        places = map(describe_greenlet, dict.fromkeys(blocked))
        return found + [f"{place}, which does not return" for place in places]


def find_server(app: Flask) -> Server:
    """Return the server of an app's tests, made when it is first asked for.

    :raises UsageError: when the app serves real clients.
    """
    server = app.extensions.get(KEY)
    site = app.extensions.get("protoo")
    if not isinstance(site, Site):
        raise UsageError(f"{app!r} has no Protoo: Protoo(app), or protoo.init_app(app)")
    if site.loop is not None and not isinstance(site.loop, ManualLoop):
        raise UsageError(
            f"{app!r} serves real clients in this process, so its clock cannot be moved by hand: "
            "the test kit is for tests. Make a new app for each test, and use the kit first"
        )
    if has_request_context() and _is_real(flask_request.environ):
        raise UsageError(
            "the test kit is for tests, and this is a request of a real server: call "
            "protoo.test_client() and protoo.test_clock in a test"
        )
    if isinstance(server, Server) and (server.loop.is_here() or server.clients):
        return server
    if site.is_clustered:
        raise UsageError(
            "the test kit serves an app in one process, with a clock that is moved by hand, and "
            "PROTOO_CLUSTER_URL is set: set it to None in the configuration for tests"
        )
    server = app.extensions[KEY] = Server(app, site)
    return server


def _is_real(environ: Any) -> bool:
    """Whether a request has come over a socket."""
    try:
        return find_socket(environ) is not None
    except HandshakeError:
        return False


def _find_items(timer: ManualTimer) -> Deadlines[Any] | None:
    """Return the deadlines that a timer is for, if there are any."""
    owner = getattr(timer.function, "__self__", None)
    return owner if isinstance(owner, Deadlines) else None


def _does_something(timer: ManualTimer) -> bool:
    """Whether a timer will do something: that of deadlines without items does nothing."""
    function = timer.function
    if function is None or getattr(function, "__self__", function) is None:
        return False  # canceled, or a method of an object that does not exist any more
    deadlines = _find_items(timer)
    return deadlines is None or len(deadlines) > 0
