"""The worlds of the contract suite: nodes in a hub, and nodes on a real Redis.

Both have the same verbs. A node of a world has ``cluster`` and ``host``.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any, Callable

import gevent

from protoo_flask.core.cluster.items import Moved
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.threads.loop import ThreadLoop
from tests.cluster.in_process import Hub
from tests.cluster.partition import Partition
from tests.cluster.redis_servers import RedisServer

from .hosts import RecordingHost

#: Seconds within which something has to happen that is waited for.
PATIENCE = 20.0

_markers = itertools.count(1_000_000)


class Node:
    """A node of a world.

    :ivar cluster: what is tested.
    """

    def __init__(self, cluster: Any, network: Partition | None = None) -> None:
        self.cluster = cluster
        self.host = RecordingHost()
        self.network = network

    @property
    def id(self) -> str:
        id: str = self.cluster.node
        return id

    def claim(self, username: str = "alice", uuid: str = "a1", data: bytes = b"", limit: int = 16):
        """Claim a device; it is then among the claims of the host."""
        claim = self.cluster.claim(username, uuid, data, limit)
        self.host.local.append((username, uuid, data, 0.0, True))
        return claim

    def release(self, username: str, uuid: str, token: int) -> list[Any]:
        """Release a device; returns a list that gets the outcome."""
        self.host.local = [peer for peer in self.host.local if peer[:2] != (username, uuid)]
        outcomes: list[Any] = []
        self.cluster.release(username, uuid, token, outcomes.append)
        return outcomes


class World:
    """The verbs of all worlds.

    :ivar nodes: those that have joined, and were not killed.
    :ivar made: all nodes.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.made: list[Node] = []

    def join(self) -> Node:
        """Return a new node, which is up."""
        node = self.start()
        self.until(lambda: node.cluster.status == "up")
        return node

    def start(self) -> Node:
        """Return a new node, which tries to join."""
        node = self.new_node()
        self.made.append(node)
        self.nodes.append(node)
        node.cluster.start(node.host)
        return node

    def new_node(self) -> Node:
        raise NotImplementedError

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so; fail if it is never."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until everything that was sent and ordered before has been done."""
        for node in self.nodes:
            node.cluster.find("nobody")
            for other in self.nodes:
                marker = Moved(next(_markers))
                node.cluster.send(other.id, marker)
                self.until(lambda: marker in other.host.items)  # noqa: B023
                other.host.log.remove(("receive", node.id, marker))

    def leave(self, node: Node) -> None:
        """Let a node leave in good order."""
        self.nodes.remove(node)
        node.cluster.close()

    def close(self) -> None:
        for node in list(self.nodes):
            self.leave(node)

    @property
    def leftovers(self) -> Any:
        """What is left when all nodes have left; empty, but for what is to stay."""
        raise NotImplementedError


class HubWorld(World):
    """Nodes in a hub."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.refuse_claims = self.hub.refuse_claims
        self.take_claims = self.hub.take_claims

    def new_node(self) -> Node:
        return Node(self.hub.new_node())

    def until(self, condition: Callable[[], Any]) -> None:
        end = self.hub.clock.time + PATIENCE
        self.hub.run()
        while not condition():
            assert self.hub.clock.time < end, "it never happens"
            self.hub.advance(0.1)

    def let_pass(self, seconds: float) -> None:
        self.hub.advance(seconds)

    def settle(self) -> None:
        self.hub.run()

    def kill(self, node: Node) -> None:
        """End a node like SIGKILL."""
        self.nodes.remove(node)
        self.hub.kill(node.cluster)

    def cut(self, node: Node) -> None:
        """Let nothing pass between a node and the directory, without a word."""
        self.hub.cut(node.cluster)

    def mend(self, node: Node) -> None:
        self.hub.mend(node.cluster)

    def go_away(self) -> None:
        self.hub.go_away()

    def come_back(self, empty: bool = False) -> None:
        self.hub.come_back(empty)

    @property
    def leftovers(self) -> Any:
        return self.hub.leftovers


class RedisWorld(World):
    """Nodes on a real Redis, each with a network of its own."""

    #: PROTOO_NODE_TIMEOUT: short, as deaths are waited for.
    NODE_TIMEOUT = 3.0
    #: Where the nodes live, and how the test waits meanwhile.
    make_loop: Callable[[], Any] = ThreadLoop
    sleep = staticmethod(time.sleep)

    def __init__(self, redis: RedisServer) -> None:
        super().__init__()
        self.redis = redis
        self._networks: list[Partition] = []
        self._killed: list[Node] = []

    def new_node(self) -> Node:
        from protoo_flask.cluster import make_cluster

        network = Partition(self.redis.port)
        self._networks.append(network)
        cluster = make_cluster(
            f"redis://127.0.0.1:{network.port}/0",
            prefix="protoo",
            node_timeout=self.NODE_TIMEOUT,
            loop=self.make_loop(),
            logger=logging.getLogger("tests.cluster"),
        )
        return Node(cluster, network)

    def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it never happens"
            self.sleep(0.005)

    def let_pass(self, seconds: float) -> None:
        self.sleep(seconds)

    def kill(self, node: Node) -> None:
        # Seen from others, a node without a network is one that was killed.
        self.nodes.remove(node)
        self._killed.append(node)
        assert node.network is not None
        node.network.cut()

    def cut(self, node: Node) -> None:
        assert node.network is not None
        node.network.hold()

    def mend(self, node: Node) -> None:
        assert node.network is not None
        node.network.release()

    def go_away(self) -> None:
        self.redis.stop()

    def come_back(self, empty: bool = False) -> None:
        assert empty, "this Redis keeps nothing"
        self.redis.start()

    def refuse_claims(self) -> None:
        self.redis.ask("CONFIG", "SET", "maxmemory", "1")

    def take_claims(self) -> None:
        self.redis.ask("CONFIG", "SET", "maxmemory", "0")

    def close(self) -> None:
        super().close()
        while self._killed:
            self._killed.pop().cluster.close()
        while self._networks:
            self._networks.pop().close()

    @property
    def leftovers(self) -> Any:
        return self.redis.left_keys()


class GreenletRedisWorld(RedisWorld):
    """The same nodes on gevent's hub, where the test is a greenlet, too."""

    make_loop = GreenletLoop
    sleep = staticmethod(gevent.sleep)
