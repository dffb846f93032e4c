"""Audit: what Redis says of the devices of this node, compared with what this node has.

=================================  ================================  ==========================
found                              how that comes                    then
=================================  ================================  ==========================
a device of this node is missing   Redis throws keys away when it    it is claimed again
                                   is full (``maxmemory-policy``),
                                   or somebody has deleted them
an entry of an earlier claim       a failover to older data: it was  it is taken off without a
                                   released since                    word
this node's set names a claim      its end could not be said: the    it is struck off
that Redis does not have           connection was lost just then
a device was given to this node,   the one that gave it has died     it is taken off, and the
which does not know it             before it could tell              site is told
=================================  ================================  ==========================
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

from . import scripts
from .entries import read_member, read_place
from .keys import Member, encode_member, read_members, text_bytes
from .registry import Registry
from .replies import Replies
from .scripts import KEEPING_TIME
from .wires import BATCH, Wires

#: Nonces of this node's own claims are less. Those of devices that were given to it are tokens.
MIN_TOKEN = 10**12


class Audit:
    """The comparison, at one node.

    :param tell: ``tell(place, is_last)``: as of ``Burial``.
    """

    def __init__(self, wires: Wires, registry: Registry, tell: Callable[..., Any]) -> None:
        self._wires = wires
        self._registry = registry
        self._tell = tell
        #: Claims that were unknown at the last time; one that is under way is known the next time.
        self._unknown: set[Member] = set()
        #: The devices in the set of this node that Redis did not have at the last time.
        self._ended: set[Member] = set()

    def find_missing(self) -> list[tuple[str, str]]:
        """Return the devices of this node that Redis does not have. Blocks.

        :raises ClusterAway:
        """
        wires = self._wires
        devices = list(self._registry.claims.owned)
        if devices and not wires.ask_all([(b"EXISTS", wires.keys.claims(wires.node))])[0]:
            return devices  # nobody would find them when this node dies
        asked = [
            (b"HEXISTS", wires.keys.user(username), b"d:" + text_bytes(uuid))
            for username, uuid in devices
        ]
        return [device for device, found in zip(devices, wires.ask_all(asked)) if not found]

    def take_off_outdated(self, since: int, kept: set[tuple[str, str]]) -> None:
        """Take off what earlier claims of this node have left, after a rebuild. Blocks.

        :param since: the first nonce of the rebuild; all that this node has is claimed since.
        :param kept: devices that this node had before the rebuild.
        :raises ClusterAway:
        """
        self._take_off(
            [member for member in self._list() if member.nonce < since and member[:2] not in kept],
            lambda place, is_last: None,
        )

    def take_off_unknown(self) -> None:
        """Take off what was given to this node, which has known nothing of it twice. Blocks.

        :raises ClusterAway:
        """
        owned = self._registry.claims.owned
        listed = self._list()
        self._strike_off_ended(listed)
        unknown = {
            member for member in listed if member.nonce >= MIN_TOKEN and member[:2] not in owned
        }
        self._take_off(list(unknown & self._unknown), self._tell)
        self._unknown = unknown

    def _strike_off_ended(self, listed: list[Member]) -> None:
        """Strike claims off the set of this node that have ended, and were not known twice."""
        wires, owned = self._wires, self._registry.claims.owned
        counts = Counter(member[:2] for member in listed)
        doubtful = [
            member
            for member in listed
            if member.nonce < MIN_TOKEN and (member[:2] not in owned or counts[member[:2]] > 1)
        ]
        ended = set()
        for start in range(0, len(doubtful), BATCH):
            some = doubtful[start : start + BATCH]
            asked = [
                (b"HGET", wires.keys.user(username), b"d:" + text_bytes(uuid))
                for username, uuid, _ in some
            ]
            entries = wires.ask_many(asked)
            ended |= {
                member for member, entry in zip(some, entries) if self._is_over(member, entry)
            }
        gone, self._ended = sorted(ended & self._ended), ended
        for start in range(0, len(gone), BATCH):
            struck = [encode_member(*member) for member in gone[start : start + BATCH]]
            wires.ask_all([(b"SREM", wires.keys.claims(wires.node), *struck)])

    def _is_over(self, member: Member, entry: Any) -> bool:
        """Whether a claim of this node is not the one that the entry of its device tells."""
        if isinstance(entry, Exception):
            return False  # the key of the user holds something else
        try:
            return not entry or read_member(*member[:2], entry) != (self._wires.node, member)
        except ValueError:
            return False

    def _list(self) -> list[Member]:
        wires = self._wires
        return read_members(wires.ask_all([(b"SMEMBERS", wires.keys.claims(wires.node))])[0])

    def _take_off(self, members: list[Member], tell: Callable[..., Any]) -> None:
        for start in range(0, len(members), BATCH):
            self._take_some_off(members[start : start + BATCH], tell)

    def _take_some_off(self, members: list[Member], tell: Callable[..., Any]) -> None:
        wires = self._wires
        writer = wires.writer
        replies = Replies(wires.loop)
        expected = [replies.expect() for _ in members]

        def send() -> None:
            for then, (username, uuid, nonce) in zip(expected, members):
                key = wires.keys.user(username)
                args = (text_bytes(uuid), wires.node, nonce, KEEPING_TIME)
                scripts.REAP.ask(writer, then, key, *args)

        wires.run(send)
        for member, reply in zip(members, replies.wait()):
            if isinstance(reply, Exception):
                continue  # the next audit finds it again
            wires.run(
                writer.ask, None, b"SREM", wires.keys.claims(wires.node), encode_member(*member)
            )
            was_mine, is_last, entry, *_ = reply
            if was_mine:
                self._registry.lookups.forget(member.username)
                place = read_place(member.username, member.uuid, entry)
                if place is not None:
                    tell(place, bool(is_last))
