"""Burial: the peers of a dead node are released, and the site is told that they are offline.

Several nodes may bury the same one at the same time: for each peer, Redis lets exactly one of
them release it, and that one tells. Each takes a random part of the dead node's set, so they
seldom try the same ones. Who dies while burying leaves the grave open, and others go on.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.cluster.places import Place
from ..core.cluster.protocol import ClusterAway
from ..core.excerpts import excerpt
from . import scripts
from .connection import RedisError
from .entries import read_place
from .keys import Member, read_members, text_bytes
from .registry import Registry
from .replies import Replies
from .scripts import KEEPING_TIME
from .wires import BATCH, Wires

#: Errors of Redis that pass: it is full, or another one is the master now.
PASSING = ("OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "MISCONF")

#: ``function(place, is_last)``.
Buried = Callable[[Place, bool], Any]


class Burial:
    """What one node does for the dead.

    :param tell: called for each peer that this node has released.
    """

    def __init__(self, wires: Wires, registry: Registry, tell: Buried) -> None:
        self._wires = wires
        self._registry = registry
        self._tell = tell
        self._lock = wires.loop.lock()
        self._at_work: set[str] = set()

    def begin(self, node: str) -> None:
        """Bury a node in a greenlet or thread of its own, unless this node does so already."""
        with self._lock:
            if node in self._at_work:
                return
            self._at_work.add(node)
        self._wires.loop.spawn(self._bury, node)

    def _bury(self, node: str) -> None:
        try:
            count = self.release_all(node, self._tell)
            self._wires.ask_all([(b"SREM", self._wires.keys.grave, node)])
            self._wires.logger.warning(
                "Node %s was dead; %d of its peers were released here", node, count
            )
        except ClusterAway:
            pass  # the next beat finds the grave again, here or at another node
        finally:
            with self._lock:
                self._at_work.discard(node)

    def release_all(self, node: str, tell: Buried) -> int:
        """Release all peers of a node; returns how many this node has got. Blocks.

        :raises ClusterAway: before all have been released.
        """
        wires = self._wires
        claims = wires.keys.claims(node)
        count = 0
        while True:
            members = wires.ask_all([(b"SRANDMEMBER", claims, BATCH)])[0]
            if not members:
                return count
            count += self._release(node, members, tell)
            wires.ask_all([(b"SREM", claims, *members)])

    def _release(self, node: str, members: list[bytes], tell: Buried) -> int:
        wires = self._wires
        writer = wires.writer
        listed = read_members(members)
        replies = Replies(wires.loop)
        expected = [replies.expect() for _ in listed]

        def send() -> None:
            for then, member in zip(expected, listed):
                key = wires.keys.user(member.username)
                uuid = text_bytes(member.uuid)
                scripts.REAP.ask(writer, then, key, uuid, node, b"", KEEPING_TIME)

        wires.run(send)
        found = replies.wait()
        return sum(self._note(member, reply, tell) for member, reply in zip(listed, found))

    def _note(self, member: Member, reply: Any, tell: Buried) -> bool:
        if isinstance(reply, RedisError) and not str(reply).startswith(PASSING):
            # Trying again would end the same way, and the others would never be released.
            self._wires.logger.error(
                "Redis has not released %s: %s", excerpt(member.username), reply
            )
            return False
        if isinstance(reply, Exception):
            raise ClusterAway(f"Redis has not answered: {reply}")
        was_mine, is_last, entry = reply
        if not was_mine:
            return False
        self._registry.lookups.forget(member.username)
        place = read_place(member.username, member.uuid, entry)
        if place is not None:
            tell(place, bool(is_last))
        return True
