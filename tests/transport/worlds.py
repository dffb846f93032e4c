"""The worlds in which connections live, and a site in each of them, over real sockets.

Nothing is patched. In the world of greenlets the test runs in a greenlet as well, and
its clients wait on gevent's hub. In the world of threads everything waits in a thread.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Iterator

import gevent
import gevent.event
import gevent.queue
import gevent.socket
import simple_websocket

from protoo_flask.core.application import Application
from protoo_flask.core.deadlines import Deadlines
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.router import Router
from protoo_flask.core.runtime import Limits, TimeLimits
from protoo_flask.transport.attached_connection import AttachedConnection
from protoo_flask.transport.connection import Connection
from protoo_flask.transport.greenlets.channel import GreenletChannel
from protoo_flask.transport.greenlets.greenlet_pool import GreenletPool
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.greenlets.write_batching import WriteBatching
from protoo_flask.transport.tap import Tap
from protoo_flask.transport.threads.channel import ThreadChannel
from protoo_flask.transport.threads.loop import ThreadLoop
from protoo_flask.transport.websocket.fast_frames import FastFrameCodec
from protoo_flask.transport.websocket.frames import FrameCodec
from protoo_flask.transport.websocket.wsproto_frames import WsprotoCodec
from tests.fakes import FakeContext, FakeFramework

from .wire import HANDSHAKE, PATIENCE, Client


def connect_tcp(buffers: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: the server's, and the client's."""
    with socket.socket() as listener, socket.socket() as client:
        if buffers is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        return server, client.dup()


class WatchedGreenletChannel(GreenletChannel):
    """Says when it is closed."""

    def __init__(self, sock: socket.socket, pool: Any) -> None:
        super().__init__(sock, True, pool)
        self.closed = gevent.event.Event()

    def close(self) -> None:
        super().close()
        self.closed.set()


class WatchedThreadChannel(ThreadChannel):
    """Says when it is closed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, has_reader=True)
        self.closed = threading.Event()

    def close(self) -> None:
        super().close()
        self.closed.set()


class WatchedThreadLoop(ThreadLoop):
    """Keeps the errors that end a thread."""

    def __init__(self, errors: Any) -> None:
        super().__init__()
        self._errors = errors

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        def run() -> None:
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001
                self._errors.put(error)

        super().spawn(run)


class Greenlets:
    """Everything on gevent's hub; a connection leaves its server and owns its socket.

    :ivar errors: a queue of the errors that ended a greenlet; a test that expects some takes them.
    """

    name = "greenlets"
    #: How many watchers stay active on the hub between tests.
    _staying = 0
    kind: type[Connection] = Connection
    make_codec: Callable[[int], Any] = FastFrameCodec

    def __init__(self) -> None:
        self.loop = GreenletLoop()
        self.errors = self.make_queue()
        gevent.sleep(0)  # now the hub exists, and has opened its file descriptors

    def make_queue(self) -> Any:
        return gevent.queue.Queue()

    def wrap_client(self, sock: socket.socket) -> Any:
        return gevent.socket.socket(fileno=sock.detach())

    def make_channel(self, sock: socket.socket) -> WatchedGreenletChannel:
        return WatchedGreenletChannel(sock, self.loop.pool)

    def start(self, connection: Any, sock: socket.socket) -> None:
        gevent.spawn(connection.serve)

    def spawn(self, function: Callable[..., Any], *args: Any) -> Callable[[], None]:
        """Run a part of the test beside it; returns a function that waits for its end."""
        outcome = gevent.event.AsyncResult()
        gevent.spawn(_run, outcome, function, *args)
        return lambda: outcome.get(timeout=PATIENCE)

    def settle(self) -> None:
        """Wait until everything that the test has started has ended."""
        with gevent.Timeout(PATIENCE):
            gevent.sleep(0)  # the hub starts its callbacks
            while self._started() or self.loop.pool.busy:
                gevent.joinall(self._started())
                gevent.sleep(0.001)
            gevent.sleep(0.001)  # the last one may have asked the hub for another call

    @contextlib.contextmanager
    def check_leaks(self) -> Iterator[None]:
        hub = gevent.get_hub()
        _wait_for_rest(hub.loop, Greenlets._staying, 1.0)  # for what earlier tests have left
        active = Greenlets._staying = hub.loop.activecnt
        self._spawned: list[gevent.Greenlet] = []
        gevent.Greenlet.add_spawn_callback(self._spawned.append)
        hub.handle_error = lambda context, kind, value, tb: self.errors.put(value)
        try:
            yield
            self.settle()
            _wait_for_rest(hub.loop, active, PATIENCE)  # a library may be about to end something
            assert hub.loop.activecnt == active, "a watcher or a timer is still active"
        finally:
            del hub.handle_error
            gevent.Greenlet.remove_spawn_callback(self._spawned.append)
        assert self.errors.empty(), self.errors.get()

    def _started(self) -> list[gevent.Greenlet]:
        return [greenlet for greenlet in self._spawned if not greenlet.ready()]


def _wait_for_rest(loop: Any, count: int, seconds: float) -> None:
    """Wait until no more watchers than these are active; gives up after some seconds."""
    # Not a gevent.Timeout, which would be one of them.
    deadline = time.monotonic() + seconds
    gevent.sleep(0.001)
    while loop.activecnt > count and time.monotonic() < deadline:
        gevent.sleep(0.001)


class AttachedThreads:
    """A thread for everything that waits; the socket stays the server's.

    A thread of simple-websocket reads for each connection.

    :ivar errors: a queue of the errors that ended a thread; a test that expects some takes them.
    """

    name = "attached, threads"
    kind = AttachedConnection

    def __init__(self) -> None:
        self.errors = self.make_queue()
        self.loop = WatchedThreadLoop(self.errors)

    def make_queue(self) -> Any:
        return queue.Queue()

    def wrap_client(self, sock: socket.socket) -> Any:
        return sock

    def make_channel(self, sock: socket.socket) -> WatchedThreadChannel:
        """Make a channel, and lend it the thread of simple-websocket."""
        tap, _ = open_tap()
        assert tap.wait_for_reader()
        channel = WatchedThreadChannel(sock)
        tap.bind()
        tap.lend(channel.read)
        return channel

    def make_codec(self, max_message_size: int) -> WsprotoCodec:
        tap, server = open_tap()
        tap.release()
        return WsprotoCodec(server.ws, max_message_size)

    def start(self, connection: Any, sock: socket.socket) -> None:
        def serve() -> None:
            with sock:
                connection.serve_to_the_end()

        self.loop.spawn(serve)

    def spawn(self, function: Callable[..., Any], *args: Any) -> Callable[[], None]:
        """Run a part of the test beside it; returns a function that waits for its end."""
        outcome: Future[None] = Future()
        self.loop.spawn(_run, outcome, function, *args)
        return lambda: outcome.result(PATIENCE)

    def settle(self) -> None:
        """Wait until everything that the test has started has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._started():
            assert time.monotonic() < deadline, self._started()
            for thread in self._started():
                # One that is being started cannot be joined yet.
                with contextlib.suppress(RuntimeError):
                    thread.join(PATIENCE)

    @contextlib.contextmanager
    def check_leaks(self) -> Iterator[None]:
        self._before = set(threading.enumerate())
        yield
        self.settle()
        assert self.errors.empty(), self.errors.get()

    def _started(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._before


def open_tap() -> tuple[Tap, Any]:
    """Have simple-websocket answer a handshake; returns the tap and its server."""
    environ = {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate", "werkzeug.socket": None}
    tap = Tap(environ)
    tap.put("dGhlIHNhbXBsZSBub25jZQ==", "protoo")
    server = simple_websocket.Server(environ, subprotocols=["protoo"])
    server.close()  # as flask-sock does when the view has returned
    return tap, server


def _run(outcome: Any, function: Callable[..., Any], *args: Any) -> None:
    try:
        result = function(*args)
    except Exception as error:  # noqa: BLE001
        outcome.set_exception(error)
    else:
        (outcome.set_result if isinstance(outcome, Future) else outcome.set)(result)


class PlainGreenlets(Greenlets):
    """Greenlets without any of the fast ways: one by one, and each message sent now."""

    name = "greenlets, one by one, sent now"
    make_codec = FrameCodec

    def __init__(self) -> None:
        super().__init__()
        self.loop = GreenletLoop(GreenletPool, WriteBatching)


class AttachedGreenlets(Greenlets):
    """Greenlets, and a connection that stays with its server's: with TLS."""

    name = "attached, greenlets"
    kind = AttachedConnection

    def make_codec(self, max_message_size: int) -> WsprotoCodec:  # type: ignore[override]
        tap, server = open_tap()
        tap.release()
        server.thread.join(PATIENCE)
        return WsprotoCodec(server.ws, max_message_size)

    def start(self, connection: Any, sock: socket.socket) -> None:
        gevent.spawn(connection.serve_to_the_end)


WORLDS = [Greenlets, PlainGreenlets, AttachedGreenlets, AttachedThreads]


class Site:
    """A site with one router, and clients that are connected to it.

    :param settings: those of :class:`Connection`, and ``max_message_size``.
    """

    def __init__(
        self,
        world: Any,
        max_peers_per_user: int = 2,
        parallel_requests: int = 1,
        grace_period: float = 0,
        **settings: Any,
    ) -> None:
        self.world = world
        self.router = Router()
        self.framework = FakeFramework()
        self.clients: list[Client] = []
        self._silences: list[Deadlines[Connection]] = []
        #: For each connection that is no longer open: its code, and its unsent messages.
        self.departures: Any = world.make_queue()
        self._settings: dict[str, Any] = {
            "ping_interval": None,
            "max_outbox": 1024 * 1024,
            "max_message_size": 65536,
            **settings,
        }
        self.application = Application(
            object(),
            self.router,
            self.framework,
            world.loop,
            TimeLimits(request=PATIENCE, grace_period=grace_period),
            Limits(max_peers_per_user, parallel_requests=parallel_requests),
            first_id=lambda: 100,
        )

    def connect(self, username: str = "alice", uuid: str = "a1", **options: Any) -> Client:
        """Connect a client, and take the handshake; see :meth:`begin`."""
        client = self.begin(username, uuid, **options)
        client.receive_handshake()
        return client

    def begin(
        self,
        username: str = "alice",
        uuid: str = "a1",
        *,
        codec: Any = None,
        buffers: int | None = None,
        early: bytes = b"",
        gone: bool = False,
        connect: Any = None,
        **settings: Any,
    ) -> Client:
        """Connect a client.

        :param buffers: bytes that the sockets keep for a client that does not read, about.
        :param early: bytes that the client has sent before the connection begins.
        :param gone: whether the client has sent its FIN, too.
        :param connect: instead of telling the application.
        """
        self.router.freeze(RoutingOptions())
        server, sock = connect_tcp(buffers)
        sock.sendall(early)
        if gone:
            sock.shutdown(socket.SHUT_WR)
        options = {**self._settings, **settings}
        max_message_size = options.pop("max_message_size")
        ping_interval = options.pop("ping_interval")
        channel = self.world.make_channel(server)
        connection = self.world.kind(
            channel,
            self.world.loop,
            codec or self.world.make_codec(max_message_size),
            HANDSHAKE,
            connect=connect
            or (
                lambda link: self.application.connect(
                    Identity(username, uuid), link, FakeContext(self.framework), link.open
                )
            ),
            disconnect=self._disconnect,
            device=(username, uuid),
            silence=self._make_silence(ping_interval),
            **options,
        )
        client = Client(self.world.wrap_client(sock), connection, channel.closed)
        self.clients.append(client)
        self.world.start(connection, server)
        return client

    def _make_silence(self, ping_interval: float | None) -> Deadlines[Connection] | None:
        if ping_interval is None:
            return None
        silence = Deadlines(self.world.loop, ping_interval, Connection.keep_alive)
        self._silences.append(silence)
        return silence

    def _disconnect(self, inbox: Any, code: int) -> None:
        link = inbox._link
        inbox.closed(code)
        # Without a grace period, nobody else has asked for it.
        self.departures.put((code, [payload for payload, _ in link.take_unsent()]))

    def peer(self, username: str = "alice", uuid: str = "a1") -> Any:
        return self.application.directory.get(username, uuid)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for client in self.clients:
            assert client.closed.wait(PATIENCE)
        for silence in self._silences:
            silence.clear()


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))
