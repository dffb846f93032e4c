"""Both worlds in which connections live, and a site in either, over real sockets.

Nothing is patched: in the world of greenlets the test runs in a greenlet as well and
its clients wait on gevent's hub; in the world of threads all that waits are threads.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
from typing import Any, Callable, Iterator

import gevent
import gevent.socket

from protoo_flask.core.application import Application
from protoo_flask.core.peers import Identity
from protoo_flask.core.router import Router, RoutingOptions
from protoo_flask.transport.connection import Connection
from protoo_flask.transport.frames import FrameCodec
from protoo_flask.transport.greenlets import GreenletChannel, GreenletLoop, GreenletTimer
from protoo_flask.transport.threads import ThreadChannel, ThreadLoop
from tests.fakes import FakeHost

from .wire import HANDSHAKE, PATIENCE, Client


def connect_tcp() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection: the server's, and the client's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return server, client


class Greenlets:
    """Everything on gevent's hub; a connection leaves its server and owns its socket."""

    name = "greenlets"

    def __init__(self) -> None:
        self.loop = GreenletLoop()

    def wrap_client(self, sock: socket.socket) -> Any:
        return gevent.socket.socket(fileno=sock.detach())

    def make_channel(self, sock: socket.socket) -> GreenletChannel:
        return GreenletChannel(sock, True)

    def start(self, connection: Connection, sock: socket.socket) -> Any:
        return gevent.spawn(connection.serve)

    def spawn(self, function: Callable[..., Any], *args: Any) -> Callable[[], None]:
        """Run a part of the test next to it; returns what waits for its end."""
        greenlet = gevent.spawn(function, *args)
        return lambda: greenlet.get(timeout=PATIENCE)

    def wait_readable(self, sock: Any, timeout: float) -> bool:
        with gevent.Timeout(timeout, False):
            gevent.socket.wait_read(sock.fileno())
            return True
        return False

    @contextlib.contextmanager
    def check_leaks(self) -> Iterator[None]:
        gc.collect()
        before = set(map(id, self._alive()))
        active = gevent.get_hub().loop.activecnt
        yield
        gevent.joinall([one for one in self._alive() if id(one) not in before], PATIENCE)
        gc.collect()
        left = [one for one in self._alive() if id(one) not in before]
        assert left == []
        assert [one for one in self._timers() if one._watcher is not None] == []
        assert gevent.get_hub().loop.activecnt == active, "a watcher is still active"

    def _alive(self) -> list[gevent.Greenlet]:
        found = [one for one in gc.get_objects() if isinstance(one, gevent.Greenlet)]
        return [one for one in found if not one.ready()]

    def _timers(self) -> list[GreenletTimer]:
        return [one for one in gc.get_objects() if isinstance(one, GreenletTimer)]


class Threads:
    """A thread for everything that waits; the socket stays the server's."""

    name = "threads"

    def __init__(self) -> None:
        self.loop = ThreadLoop()

    def wrap_client(self, sock: socket.socket) -> Any:
        return sock

    def make_channel(self, sock: socket.socket) -> ThreadChannel:
        return ThreadChannel(sock)

    def start(self, connection: Connection, sock: socket.socket) -> Any:
        def serve() -> None:
            with sock:
                connection.serve_to_the_end()

        return self._spawn(serve)

    def spawn(self, function: Callable[..., Any], *args: Any) -> Callable[[], None]:
        """Run a part of the test next to it; returns what waits for its end."""
        thread = self._spawn(function, *args)

        def join() -> None:
            thread.join(PATIENCE)
            assert not thread.is_alive()

        return join

    def wait_readable(self, sock: Any, timeout: float) -> bool:
        sock.settimeout(timeout)
        try:
            sock.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            return False
        finally:
            sock.settimeout(PATIENCE)
        return True

    @contextlib.contextmanager
    def check_leaks(self) -> Iterator[None]:
        before = set(threading.enumerate())
        yield
        deadline = time.monotonic() + PATIENCE
        for thread in set(threading.enumerate()) - before:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert set(threading.enumerate()) - before == set()

    def _spawn(self, function: Callable[..., Any], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        return thread


WORLDS = [Greenlets, Threads]


class Site:
    """A site with one router, and clients that are connected to it.

    :param settings: those of :class:`Connection`, and ``max_message_size``.
    """

    def __init__(self, world: Any, **settings: Any) -> None:
        self.world = world
        self.router = Router()
        self.host = FakeHost()
        self.connections: list[Connection] = []
        self.clients: list[Client] = []
        self._settings: dict[str, Any] = {
            "ping_interval": None,
            "max_outbox": 1024 * 1024,
            "max_message_size": 65536,
            **settings,
        }
        self.application = Application(
            object(),
            self.router,
            self.host,
            world.loop,
            first_id=lambda: 100,
            request_timeout=PATIENCE,
            max_peers_per_user=2,
        )

    def connect(
        self,
        username: str = "alice",
        uuid: str = "a1",
        *,
        sockets: Any = None,
        codec: Any = None,
        send_buffer: int | None = None,
        **settings: Any,
    ) -> Client:
        """Connect a client, and take the handshake.

        :param sockets: both ends, where it matters which.
        :param send_buffer: bytes that the server's socket takes at once, about.
        """
        client = self.begin(
            username, uuid, sockets=sockets, codec=codec, send_buffer=send_buffer, **settings
        )
        client.receive_handshake()
        return client

    def begin(
        self,
        username: str = "alice",
        uuid: str = "a1",
        *,
        sockets: Any = None,
        codec: Any = None,
        send_buffer: int | None = None,
        **settings: Any,
    ) -> Client:
        self.router.freeze(RoutingOptions())
        server, client_sock = sockets or connect_tcp()
        if send_buffer is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            client_sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
        options = {**self._settings, **settings}
        codec = codec or FrameCodec(options.pop("max_message_size"))
        options.pop("max_message_size", None)
        connection = Connection(
            self.world.make_channel(server),
            self.world.loop,
            codec,
            HANDSHAKE,
            connect=lambda link: self.application.connect(Identity(username, uuid), link),
            disconnect=lambda inbox, link: self.application.registry.disconnect(inbox.peer, link),
            **options,
        )
        self.connections.append(connection)
        client = Client(self.world.wrap_client(client_sock))
        self.clients.append(client)
        self.world.start(connection, server)
        return client

    def peer(self, username: str = "alice", uuid: str = "a1") -> Any:
        return self.application.registry.get(username, uuid)

    def close(self) -> None:
        for client in self.clients:
            client.close()


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))
