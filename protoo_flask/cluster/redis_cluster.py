"""The cluster on Redis: its connections, and the parts that use them, joined.

There are two connections: the writer, and the reader, which has the subscriptions and the tracked
lookups. Only the reader can be cut off for reading slowly. They live and die together:

============  =========================  ====================================================
state         event                      then
============  =========================  ====================================================
away          both are open, and the     the lease tells the status: up or settling
              node has joined
joined        one ends, or the ear       both are closed: away. Everything unanswered is lost
              hears nothing
away          some time has passed       they are opened anew, for ever; the waiting time grows
                                         up to two seconds
============  =========================  ====================================================
"""

from __future__ import annotations

import contextlib
import logging
import random
from typing import Any, Callable, Sequence

from ..core.cluster.items import Item
from ..core.cluster.places import Claim, Place, Release, User
from ..core.cluster.protocol import (
    AWAY,
    AWAY_MESSAGE,
    ClaimRefused,
    ClusterAway,
    ClusterHost,
    Traffic,
    Watcher,
)
from ..core.clustered_rate_limit import Spending, Spent
from ..core.errors import ProtooError
from ..core.occasions import Occasions
from ..core.scheduling import Event
from ..transport.channel import Loop
from ..transport.forked_child import inherit
from .bus import Bus, SharedBus
from .connection import ConnectionLost, RedisConnection, RedisError
from .ear import Ear
from .frames import FrameCodec
from .host_calls import HostCalls
from .keys import Keys
from .lease import Lease
from .opening import RedisAddress, open_connection
from .registry import Registry
from .server_check import ServerCheck
from .wires import Wires

#: Seconds until the connections are opened anew: at first, and at most. Each time is a random part
#: of it, so that a hundred processes do not come all at once.
FIRST_DELAY, MAX_DELAY = 0.1, 2.0

#: Seconds that :meth:`RedisCluster.start` and :meth:`RedisCluster.close` block, at most.
JOINING_TIME = LEAVING_TIME = 2.0

NOT_STARTED = "this process has not joined the cluster yet"


class RedisCluster:
    """A :class:`~..core.cluster.protocol.Cluster` on Redis.

    :param address: of Redis.
    :param prefix: of the keys and channels.
    :param key: the secret that signs frames; empty: none are signed.
    :param node_timeout: seconds after which a silent node is taken for dead.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        key: str | bytes,
        node_timeout: float,
        loop: Loop,
        logger: logging.Logger,
    ) -> None:
        self._logger = logger
        self._address = address
        self._prefix = prefix
        self._codec = FrameCodec(key)
        self._node_timeout = node_timeout
        self._loop = loop
        self._calls = HostCalls(loop)
        self._wires = Wires(loop, Keys(prefix), logger)
        self._registry = Registry(self._wires, self._calls.post)
        self._server_check = ServerCheck(address, prefix, loop, self._run, logger)
        self._parts: _Parts | None = None
        self._lock = loop.lock()
        self._occasions = Occasions(loop.now)
        self._has_joined = loop.event()
        self._has_closed = loop.event()
        self._wake = loop.event()
        #: The connections, while they are open.
        self._open: list[RedisConnection] = []
        self._is_of_parent = False
        self._reason = NOT_STARTED
        inherit(self)

    # Status ----------------------------------------------------------------------------------

    @property
    def node(self) -> str:
        return self._wires.node

    @property
    def status(self) -> str:
        parts = self._parts
        return AWAY if parts is None or not self._open else parts.lease.status

    @property
    def reason(self) -> str:
        parts = self._parts
        return self._reason if parts is None or not self._open else parts.lease.reason

    @property
    def traffic(self) -> Traffic:
        parts = self._parts
        return Traffic() if parts is None else Traffic(*parts.bus.traffic)

    # Life ------------------------------------------------------------------------------------

    def start(self, host: ClusterHost) -> None:
        """See ``Cluster.start``."""
        self._parts = _Parts(self, host)
        # The name of a host may take long to be looked up.
        self._reason = f"Redis at {self._address.name} has not answered yet"
        self._loop.spawn(self._stay_connected)
        self._has_joined.wait(JOINING_TIME)

    def close(self) -> None:
        """See ``Cluster.close``."""
        parts = self._parts
        if parts is None or self._has_closed.is_set():
            return
        self._has_closed.set()
        self._wake.set()
        if self._open:
            has_left = self._loop.event()
            self._loop.spawn(self._leave, parts, has_left)
            if not has_left.wait(LEAVING_TIME):
                self._logger.warning(
                    "This process has not left the cluster in good order: Redis has not replied "
                    "for %g seconds",
                    LEAVING_TIME,
                )
        self._disconnect("this process has left the cluster")

    def _leave(self, parts: _Parts, has_left: Event) -> None:
        try:
            parts.lease.leave()
            with contextlib.suppress(ConnectionLost, RedisError):
                parts.bus.leave()
        except Exception:
            # A defect: others bury this node. Its connections must end nevertheless.
            self._logger.exception("this process has not left the cluster in good order")
        finally:
            has_left.set()

    def leave_to_parent(self) -> None:
        """Be nobody, in a process that was just forked; see ``transport.forked_child``."""
        self._is_of_parent = True
        self._open = []
        self._wires.open_writer = None
        self._wires.reason = self._reason = "this process was forked from one of the cluster"

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        if self._loop.is_foreign():
            self._loop.hand_over(function, *args)
        else:
            function(*args)

    # The connections -------------------------------------------------------------------------

    def _stay_connected(self) -> None:
        """Open the connections, whenever they are not, until :meth:`close`."""
        delay = FIRST_DELAY
        parts = self._parts
        assert parts is not None
        while not self._is_over():
            self._wake = self._loop.event()
            try:
                self._connect()
            except Exception as error:  # noqa: BLE001 (of Redis, of redis-py, or a defect)
                self._note_away(error)
                parts.lease.is_late = True
                # Until some time has passed, or close().
                self._wake.wait(delay * (0.5 + random.random() / 2))
                delay = min(2 * delay, MAX_DELAY)
            else:
                delay = FIRST_DELAY
                self._wake.wait()

    def _is_over(self) -> bool:
        return self._is_of_parent or self._has_closed.is_set()

    def _connect(self) -> None:
        """Open the connections, and join."""
        parts = self._parts
        assert parts is not None
        session = _Session(self, parts)
        writer = open_connection(self._address, self._loop, session.take_push, session.end)
        try:
            reader = open_connection(self._address, self._loop, session.take_push, session.end)
        except BaseException:
            # Also one that ends this greenlet: nobody else knows the connection.
            writer.close()
            raise
        session.connections = [writer, reader]
        try:
            self._server_check.check_rights(writer, JOINING_TIME)
            if session.reason or self._is_over():
                raise ClusterAway(session.reason or self._reason)
            self._open = [writer, reader]
            parts.bus.connect(writer, reader)
            is_back = self._has_joined.is_set()
            parts.lease.connected(writer, reader)
            if self._is_over():
                # close() may have seen that there was nothing to close.
                raise ClusterAway("this process has left the cluster")
        except BaseException as error:
            # As above, of both.
            self._disconnect(str(error))
            for connection in session.connections:
                connection.close()
            raise
        self._has_joined.set()
        if is_back:
            # Its end was an error in the log, so its return must not be less.
            self._logger.warning("Back in the cluster of %s", self._address.name)
            parts.bus.doubt(self._wires.nodes)
        else:
            self._logger.info("Joined the cluster of %s as %s", self._address.name, self.node)
            self._run(self._server_check.check_eviction, writer)
        self._run(parts.ear.start)
        if session.reason:
            self._disconnect(session.reason)
        if not self._open:
            parts.ear.stop()  # the connections have ended, or were closed here, before it started

    def _note_away(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self._reason = text
        if self._wires.open_writer is None:
            self._wires.reason = text
        if self._is_over():
            return
        if not isinstance(error, (ProtooError, RedisError)):
            self._logger.exception("the cluster cannot be joined")
        elif self._occasions.begins(text):
            self._logger.error(AWAY_MESSAGE, text)

    def _disconnect(self, reason: str) -> None:
        """Be away from now on; harmless when it is."""
        with self._lock:
            connections, self._open = self._open, []
        parts = self._parts
        if not connections or parts is None:
            return
        self._reason = reason
        parts.ear.stop()
        if not self._has_closed.is_set():
            parts.lease.disconnected(reason)
        parts.bus.disconnect()
        for connection in connections:
            self._run(connection.close)
        self._wake.set()

    def take_end(self, reason: str) -> None:
        """Take note that a connection has ended, or is to."""
        if self._open and not self._is_over():
            if self._occasions.begins(reason):
                self._logger.error(
                    "The connection to Redis at %s is lost: %s", self._address.name, reason
                )
            self._run(self._disconnect, reason)

    # Devices, presence, homes: of the registry -----------------------------------------------

    def claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        try:
            return self._registry.claim(username, uuid, data, limit)
        except ClaimRefused as error:
            if self._occasions.begins("refused"):
                self._logger.error("New devices are answered 503: %s", error)
            raise

    def release(
        self,
        username: str,
        uuid: str,
        token: int,
        then: Callable[[Release | None], None],
        telling: int = 0,
    ) -> None:
        self._registry.release(username, uuid, token, then, telling)

    def begin_telling(self, username: str) -> int:
        return self._registry.tellings.begin(username)

    def is_telling(self, number: int) -> bool:
        return self._registry.tellings.is_open(number)

    def end_telling(self, number: int) -> None:
        self._registry.tellings.end(number)

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None = None
    ) -> None:
        self._registry.mark(username, uuid, token, online, data)

    def give(
        self, username: str, uuid: str, token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        self._registry.give(username, uuid, token, node, then)

    def take(self, username: str, uuid: str, token: int, born: int) -> None:
        self._registry.take(username, uuid, token, born)

    def others(self) -> list[str]:
        return sorted(self._wires.nodes - {self._wires.node})

    def find(self, username: str | None) -> list[Place]:
        try:
            return self._registry.find(username)
        except ClusterAway as error:
            # The caller goes on with the peers of this process.
            if self._occasions.begins("find"):
                self._logger.warning(
                    "peers() and peer() find peers of this process only, and those last known: %s",
                    error,
                )
            raise

    def look(self, username: str) -> list[Place] | None:
        return self._registry.look(username)

    def watch(self, username: str, function: Watcher) -> None:
        self._registry.watch(username, function)

    def unwatch(self, username: str, function: Watcher) -> None:
        self._registry.unwatch(username, function)

    def get_presence(self, username: str) -> User:
        return self._registry.get_presence(username)

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        self._registry.publish(username, fields)

    def take_home(self, kind: str, key: str) -> str:
        return self._registry.take_home(kind, key)

    def leave_home(self, kind: str, key: str) -> None:
        self._registry.leave_home(kind, key)

    def spend(self, spending: Spending, then: Callable[[Spent | None], Any]) -> None:
        self._registry.spend(spending, then)

    # The bus ---------------------------------------------------------------------------------

    def send(self, node: str, item: Item) -> None:
        """See ``Cluster.send``."""
        parts = self._parts
        assert parts is not None, NOT_STARTED
        parts.bus.send(node, item)

    def probe(self, node: str) -> None:
        """See ``Cluster.probe``."""
        parts = self._parts
        assert parts is not None, NOT_STARTED
        self._run(parts.bus.probe_node, node)


class _Parts:
    """The parts that need a host."""

    def __init__(self, cluster: RedisCluster, host: ClusterHost) -> None:
        loop, post = cluster._loop, cluster._calls.post
        kind = SharedBus if loop.preempts else Bus
        self.bus = kind(
            loop, cluster._prefix, cluster._codec, host, post, self._forget, cluster._logger
        )
        self.registry = cluster._registry
        self.lease = Lease(
            cluster._wires, cluster._registry, host, post, self.bus.subscribe, cluster._node_timeout
        )
        self.lease.greet = self.bus.greet
        self.bus.greeted = self.lease.greeted
        lease = self.lease
        self.bus.is_deaf = lambda: lease.is_deaf
        self.ear = Ear(loop, self.bus, cluster.take_end)

    def _forget(self, node: str) -> None:
        self.lease.forget(node)
        self.bus.forget(node)


class _Session:
    """A pair of connections, and their end.

    :ivar reason: of the end of either.
    """

    def __init__(self, cluster: RedisCluster, parts: _Parts) -> None:
        self.connections: Sequence[RedisConnection] = ()
        self.reason = ""
        self._cluster = cluster
        self._bus = parts.bus
        self._registry = parts.registry

    def take_push(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == b"message":
            self._bus.take(message[2])
        elif kind == b"invalidate":
            self._registry.take_push(message)

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self.connections and self.connections[0] in self._cluster._open:
            self._cluster.take_end(reason)
