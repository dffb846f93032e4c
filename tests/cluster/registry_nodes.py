"""Nodes of a cluster as far as the registry goes: no bus, and hosts that take notes."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Callable, Iterator, Sequence

from protoo_flask.cluster.connection import RedisConnection, SharedRedisConnection, pack
from protoo_flask.cluster.host_calls import HostCalls
from protoo_flask.cluster.keys import Keys
from protoo_flask.cluster.lease import Lease
from protoo_flask.cluster.registry import Registry
from protoo_flask.cluster.wires import Wires
from protoo_flask.core.cluster.places import Claim, Place, Release, Telling, User
from tests.transport.wire import PATIENCE

#: Seconds; a fifth of it is the time between beats.
NODE_TIMEOUT = 2.0


class NotingHost:
    """A host that has peers, and takes notes of what it is told.

    :ivar peers: ``{(username, uuid): (data, age, online)}``
    :ivar notes: the names of methods and their arguments.
    """

    def __init__(self) -> None:
        self.peers: dict[tuple[str, str], tuple[bytes, float, bool]] = {}
        self.notes: list[tuple[Any, ...]] = []

    def noted(self, name: str) -> list[tuple[Any, ...]]:
        return [note[1:] for note in self.notes if note[0] == name]

    def receive(self, node: str, item: Any) -> None:
        self.notes.append(("receive", node, item))

    def lost(self, node: str, items: Sequence[Any]) -> None:
        self.notes.append(("lost", node, items))

    def may_have_lost(self, node: str) -> None:
        self.notes.append(("may_have_lost", node))

    def node_gone(self, node: str) -> None:
        self.notes.append(("node_gone", node))

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        self.notes.append(("buried", place, is_last))

    def probed(self, node: str, is_heard: bool) -> None:
        self.notes.append(("probed", node, is_heard))

    def fenced(self, former: str) -> None:
        self.notes.append(("fenced", former))

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        return [(*device, *peer) for device, peer in list(self.peers.items())]

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        self.notes.append(("claimed", username, uuid, claim))

    def status_changed(self) -> None:
        self.notes.append(("status_changed",))


class RegistryNode:
    """A node.

    :param world: as of ``tests.transport.worlds``.
    """

    def __init__(
        self, world: Any, port: int, prefix: str = "test", node_timeout: float = NODE_TIMEOUT
    ) -> None:
        self.world = world
        self.port = port
        self.host = NotingHost()
        self.calls = HostCalls(world.loop)
        self.wires = Wires(world.loop, Keys(prefix))
        self.registry = Registry(self.wires, self.calls.post)
        self.subscribed: list[str] = []
        self.lease = Lease(
            self.wires,
            self.registry,
            self.host,
            self.calls.post,
            self._subscribe,
            node_timeout,
        )
        # A busy machine may take longer than a part of this short time.
        self.lease._deaf_after = 1.0
        self._opened = 0
        self._connections: list[tuple[RedisConnection, Any, socket.socket]] = []

    @property
    def node(self) -> str:
        return self.wires.node

    # The connections ---------------------------------------------------------------------

    def connect(self) -> RegistryNode:
        self._opened += 1
        writer, reader = self.open(), self.open()
        self.lease.connected(writer, reader)
        return self

    def open(self) -> RedisConnection:
        """Open a connection; its end is noticed."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.sendall(pack("HELLO", 3))
        assert sock.recv(10_000).startswith(b"%")
        channel = self.world.make_channel(sock)
        kind = SharedRedisConnection if self.world.loop.preempts else RedisConnection
        opened = self._opened

        def take_end(reason: str) -> None:
            if opened == self._opened and self.wires.open_writer is not None:
                self.lease.disconnected(reason)

        connection = kind(channel, self.world.loop, self._take_push, take_end)
        self._connections.append((connection, channel, sock))
        connection.start()
        return connection

    def _take_push(self, message: list[Any]) -> None:
        if message[0] == b"invalidate":
            self.registry.take_push(message)

    def _subscribe(self, node: str) -> None:
        self.subscribed.append(node)
        self._connections[-1][0].call(b"SUBSCRIBE", self.wires.keys.channel(node))

    def disconnect(self) -> None:
        """End the connections, and wait until it is known here."""
        connections, self._connections = self._connections, []
        for connection, channel, sock in connections:
            connection.close()
            assert channel.closed.wait(PATIENCE) is not False
            sock.close()
        if connections:
            wait_until(lambda: self.wires.open_writer is None)

    def die(self) -> None:
        """End without a word, as by SIGKILL."""
        self.disconnect()

    def leave(self) -> None:
        self.lease.leave()
        self.disconnect()

    # Peers ---------------------------------------------------------------------------------

    def come(self, username: str, uuid: str, data: bytes = b"", limit: int = 8) -> Claim:
        """Have a device connect to this node."""
        claim = self.registry.claim(username, uuid, data, limit)
        self.host.peers[username, uuid] = (data, 0.0, True)
        return claim

    def release(self, username: str, uuid: str, token: int) -> Release | None:
        self.host.peers.pop((username, uuid), None)
        outcome: list[Release | None] = []
        self.registry.release(username, uuid, token, outcome.append)
        wait_until(lambda: outcome)
        return outcome[0]

    def find(self, username: str) -> list[str]:
        return [place.uuid for place in self.registry.find(username)]

    def watch(self, username: str) -> list[User]:
        """Return a list that gets each user that a watcher is told."""
        told: list[User] = []
        self.registry.watch(username, told.append)
        return told


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Let others run until something holds; the event behind it is in Redis, or in a greenlet."""
    import gevent

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        gevent.sleep(0.005)


@contextlib.contextmanager
def nodes(world: Any, server: Any, count: int, **options: Any) -> Iterator[list[RegistryNode]]:
    """Some nodes that have joined; they leave at the end."""
    made = [RegistryNode(world, server.port, **options).connect() for _ in range(count)]
    try:
        yield made
    finally:
        for node in made:
            if node.wires.open_writer is not None:
                node.leave()
            node.disconnect()
