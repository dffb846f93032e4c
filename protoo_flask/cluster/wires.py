"""Wires: the connections of a node, as its registry, its homes and its lease use them."""

from __future__ import annotations

import logging
from typing import Any, Callable, Sequence

from ..core.cluster.protocol import ClusterAway
from ..transport.channel import Loop
from .connection import RedisConnection
from .keys import Keys
from .replies import Replies

_logger = logging.getLogger(__name__)

#: Commands that are sent at a time, where there are many: Redis serves others in between.
BATCH = 512

#: Seconds for the reply to a claim or a lookup: somebody waits for it.
ANSWER_TIME = 2.0


class Wires:
    """The connections of one node, and its id.

    :ivar node: the id of this node; empty before it has joined.
    :ivar nodes: the ids of all nodes, as the latest beat has told.
    :ivar reason: why there is no connection.
    :ivar logger: that of the site.
    """

    def __init__(self, loop: Loop, keys: Keys, logger: logging.Logger = _logger) -> None:
        self.loop = loop
        self.logger = logger
        self.keys = keys
        self.node = ""
        self.nodes: frozenset[str] = frozenset()
        self.reason = "this node has not joined yet"
        self.open_writer: RedisConnection | None = None

    @property
    def writer(self) -> RedisConnection:
        """:raises ClusterAway:"""
        writer = self.open_writer
        if writer is None:
            raise ClusterAway(self.reason)
        return writer

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function where connections may be used, which is this thread usually."""
        if self.loop.is_foreign():
            self.loop.hand_over(function, *args)
        else:
            function(*args)

    def ask_many(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the replies to commands, sent at once; errors among them. Blocks.

        :raises ClusterAway: when not all have come.
        """
        writer = self.writer
        replies = Replies(self.loop)
        expected = [replies.expect() for _ in commands]

        def send() -> None:
            for then, command in zip(expected, commands):
                writer.ask(then, *command)

        self.run(send)
        return replies.wait()

    def ask_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the replies to commands, sent in batches. Blocks.

        :raises ClusterAway: also for an error of Redis.
        """
        found: list[Any] = []
        for start in range(0, len(commands), BATCH):
            found += self.ask_many(commands[start : start + BATCH])
        for reply in found:
            if isinstance(reply, Exception):
                raise ClusterAway(f"Redis has not answered: {reply}")
        return found
