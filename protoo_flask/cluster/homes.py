"""Homes: which node a room is at, as Redis has it.

A home whose node is dead has none: the node that finds it so becomes the home.
"""

from __future__ import annotations

from typing import Any

from ..core.cluster.protocol import ClaimRefused, ClusterAway
from . import node_scripts
from .connection import ConnectionLost, RedisError
from .replies import Replies
from .scripts import KEEPING_TIME
from .wires import ANSWER_TIME, Wires


class HomeTable:
    """The homes, from one node.

    :ivar mine: ``(kind, key)`` of those that this node has.
    :ivar unleft: those that it has given up, and Redis has not confirmed it.
    """

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._lock = wires.loop.lock()
        self.mine: set[tuple[str, str]] = set()
        self.unleft: set[tuple[str, str]] = set()

    def take(self, kind: str, key: str) -> str:
        """See ``Cluster.take_home``."""
        wires = self._wires
        node = self._take(kind, key, "")
        if node != wires.node and node not in wires.nodes and not self._is_alive(node):
            node = self._take(kind, key, node)
        if node == wires.node:
            with self._lock:
                self.mine.add((kind, key))
                self.unleft.discard((kind, key))
        return node

    def _is_alive(self, node: str) -> bool:
        """Ask Redis whether a node has joined a moment ago, or is dead."""
        wires = self._wires
        return bool(wires.ask_all([(b"HEXISTS", wires.keys.beat, node)])[0])

    def _take(self, kind: str, key: str, dead: str) -> str:
        wires = self._wires
        writer = wires.writer
        replies = Replies(wires.loop)
        args = (wires.keys.home(kind, key), wires.node, dead, KEEPING_TIME)
        wires.run(node_scripts.TAKE_HOME.ask, writer, replies.expect(), *args)
        reply: Any = replies.wait(ANSWER_TIME)[0]
        if isinstance(reply, RedisError):
            raise ClaimRefused(f"Redis takes no more homes: {reply}")
        if isinstance(reply, Exception):
            raise ClusterAway(f"Redis is away: {reply}")
        node: str = reply.decode()
        return node

    def leave(self, kind: str, key: str) -> None:
        """See ``Cluster.leave_home``."""
        with self._lock:
            self.mine.discard((kind, key))
            self.unleft.add((kind, key))
        self._wires.run(self._leave, kind, key)

    def _leave(self, kind: str, key: str) -> None:
        wires = self._wires

        def take(reply: Any) -> None:
            if not isinstance(reply, ConnectionLost):
                with self._lock:
                    self.unleft.discard((kind, key))

        writer = wires.open_writer
        if writer is not None:
            node_scripts.LEAVE_HOME.ask(writer, take, wires.keys.home(kind, key), wires.node)

    def leave_owed(self) -> None:
        """Give up what could not be while Redis was away. Called by the owner's thread."""
        with self._lock:
            unleft = list(self.unleft)
        for kind, key in unleft:
            self._leave(kind, key)

    def take_again(self, former: str = "") -> None:
        """Take those of this node again: Redis may have lost them, or the node has a new id.

        One that another node has taken meanwhile stays there. Called by the owner's thread.
        """
        wires = self._wires
        for kind, key in list(self.mine):

            def take(reply: Any, home: tuple[str, str] = (kind, key)) -> None:
                if not isinstance(reply, Exception) and reply.decode() != wires.node:
                    self.mine.discard(home)

            args = (wires.keys.home(kind, key), wires.node, former, KEEPING_TIME)
            node_scripts.TAKE_HOME.ask(wires.writer, take, *args)

    def leave_all(self) -> None:
        """Give all up: this node leaves. Called by the owner's thread."""
        mine, self.mine = self.mine, set()
        for kind, key in mine:
            self._leave(kind, key)
