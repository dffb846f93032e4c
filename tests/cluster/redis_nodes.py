"""Whole nodes on a real Redis, in the test's own world, with hosts that take notes."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable

import gevent

from protoo_flask.cluster import make_cluster
from protoo_flask.core.cluster.items import Moved
from tests.transport.wire import PATIENCE

from .registry_nodes import NotingHost


class RedisNode:
    """A node, which has been started.

    :param options: of ``make_cluster``.
    """

    def __init__(self, world: Any, url: str, **options: Any) -> None:
        self.world = world
        self.host = NotingHost()
        options = {"node_timeout": 3.0, "logger": logging.getLogger("tests.cluster"), **options}
        self.cluster: Any = make_cluster(url, loop=world.loop, **options)
        self.cluster.start(self.host)

    @property
    def id(self) -> str:
        id: str = self.cluster.node
        return id

    @property
    def received(self) -> list[Any]:
        return [item for _, item in self.host.noted("receive")]

    @property
    def lost(self) -> list[Any]:
        return [item for _, items in self.host.noted("lost") for item in items]

    def reaches(self, other: RedisNode, seconds: float = PATIENCE) -> bool:
        """Whether an item arrives at another node."""
        marker = Moved(len(other.host.notes) + 1_000_000)
        self.cluster.send(other.id, marker)
        return eventually(self.world, lambda: marker in other.received, seconds)

    def until(self, condition: Callable[[], Any]) -> None:
        assert eventually(self.world, condition), "it never happens"


#: Starts a node: ``start(url=..., **options)``; see the fixture.
Start = Callable[..., RedisNode]


def eventually(world: Any, condition: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Wait until something is so; ``False`` if it is never."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        (time.sleep if world.loop.preempts else gevent.sleep)(0.005)
    return True
