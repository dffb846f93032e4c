"""Burial: the peers of a dead node are released, and the site is told that they are offline.

Several nodes may bury the same one at the same time: for each peer, Redis lets exactly one of
them release it, and that one tells. Each takes a random part of the dead node's set, so they
seldom try the same ones. A node that dies while burying leaves the grave open, and others go on.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from ..core.cluster.places import Place, Telling
from ..core.cluster.protocol import ClusterAway
from ..core.excerpts import excerpt
from . import scripts
from .connection import RedisError
from .entries import read_place, read_telling
from .keys import Member, read_members, text_bytes
from .registry import Registry
from .replies import Replies
from .scripts import KEEPING_TIME
from .wires import BATCH, Wires

#: Errors of Redis that pass: it is full, or another one is the master now.
PASSING = ("OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "MISCONF")

#: ``function(place, is_last, telling, before)``: as of ``ClusterHost.buried``.
Buried = Callable[[Place, bool, int, Optional[Telling]], Any]


class Burial:
    """The burials, by one node.

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

    def release_all(self, node: str, tell: Buried | None) -> int:
        """Release all peers of a node; returns how many this node has got. Blocks.

        :param tell: ``None``: the site is told nothing.

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

    def _release(self, node: str, members: list[bytes], tell: Buried | None) -> int:
        wires = self._wires
        writer = wires.writer
        listed = read_members(members)
        replies = Replies(wires.loop)
        expected = [replies.expect() for _ in listed]
        tellings = self._registry.claims.tellings
        # Now: another node may ask for them before this greenlet has read the replies.
        numbers = [0 if tell is None else tellings.begin(member.username) for member in listed]

        def send() -> None:
            for then, member, number in zip(expected, listed, numbers):
                key = wires.keys.user(member.username)
                args = text_bytes(member.uuid), node, b"", KEEPING_TIME
                events = tellings.write(number) if number else ""
                scripts.REAP.ask(writer, then, key, *args, events)

        try:
            wires.run(send)
            found = replies.wait()
            count = 0
            for index, (member, reply) in enumerate(zip(listed, found)):
                if self._note(member, reply, tell, numbers[index]):
                    count += 1
                    numbers[index] = 0  # it ends when they have been told
            return count
        finally:
            for number in numbers:
                tellings.end(number)

    def _note(self, member: Member, reply: Any, tell: Buried | None, number: int) -> bool:
        if isinstance(reply, RedisError) and not str(reply).startswith(PASSING):
            # Trying again would end the same way, and the others would never be released.
            self._wires.logger.error(
                "Redis has not released %s: %s", excerpt(member.username), reply
            )
            return False
        if isinstance(reply, Exception):
            raise ClusterAway(f"Redis has not answered: {reply}")
        was_mine, is_last, entry, *teller = reply
        if not was_mine:
            return False
        self._registry.lookups.forget(member.username)
        place = read_place(member.username, member.uuid, entry)
        if place is None:
            self._registry.claims.tellings.end(number)
        elif tell is not None:
            tell(place, bool(is_last), number, read_telling(teller[0]) if teller else None)
        return True
