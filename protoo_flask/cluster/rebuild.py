"""Rebuild: this node claims its peers again, because the registry may lack them.

=======================  ==================================================================
after                    what differs
=======================  ==================================================================
a lost connection        most entries are there, and stay as they are
Redis was emptied        entries are new, with the ``born`` that this node remembers: nobody
                         is told anything
this node was buried     the site was told "offline" by others. The claims have a new
                         ``born``: these are new peers for everybody
=======================  ==================================================================

A link that is younger wins, on whatever node it is; its beginning is counted back from Redis' clock
by its age, which its own node has measured.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.cluster.places import TAKEN, Claim
from ..core.cluster.protocol import ClusterAway, ClusterHost
from ..core.excerpts import excerpt
from ..core.occasions import Occasions
from .audit import Audit
from .claims import Owned
from .connection import ConnectionLost, RedisError
from .registry import Registry
from .replies import Replies
from .wires import BATCH, Wires

#: Seconds that the host may take for what it is told before its peers are asked for.
TELLING_TIME = 0.5


class Rebuild:
    """The new claims of one node.

    :param post: as of the registry.
    """

    def __init__(
        self,
        wires: Wires,
        registry: Registry,
        host: ClusterHost,
        audit: Audit,
        post: Callable[..., None],
    ) -> None:
        self._audit = audit
        self._occasions = Occasions(wires.loop.now)
        self._wires = wires
        self._registry = registry
        self._host = host
        self._post = post

    def claim_all(self, former: str = "") -> None:
        """Claim everything again that this node has. Blocks.

        :param former: the id of this node before, if it has a new one.
        :raises ClusterAway:
        """
        registry = self._registry
        # Before this node says in a beat that it is back: then others claim anew.
        self._wires.run(registry.claims.tellings.enter_again)
        if former:
            registry.claims.owned.clear()
        since, kept = registry.claims.give_nonce(), set(registry.claims.owned)
        claims = self._ask_host()
        self._forget_others(claims)
        self._claim(claims, former)
        self._audit.take_off_outdated(since, kept)
        self._wires.run(self._registry.homes.take_again, former)
        self._wires.run(self._publish)

    def forget_others(self) -> None:
        """Forget devices that other nodes have taken over: nobody releases them here."""
        self._forget_others(self._ask_host())

    def _forget_others(self, claims: list[Any]) -> None:
        registry = self._registry
        listed = {(claim[0], claim[1]) for claim in claims}
        for device in [device for device in list(registry.claims.owned) if device not in listed]:
            registry.claims.owned.pop(device, None)
        users = {username for username, _ in listed}
        for username in [name for name in list(registry.published) if name not in users]:
            registry.published.pop(username, None)

    def claim_owed(self) -> None:
        """Claim the devices whose claims have failed. Blocks.

        :raises ClusterAway:
        """
        registry = self._registry
        refused = registry.claims.refused
        owed = {*registry.claims.unclaimed, *registry.claims.unsure, *refused}
        if owed:
            claims = self._ask_host()
            refused &= {found[:2] for found in claims}
            self._claim([found for found in claims if found[:2] in owed], "")
            self._wires.loop.call(registry.claims.forgive)

    def claim_missing(self) -> None:
        """Claim the devices that Redis has thrown away, and take off what is left over. Blocks.

        :raises ClusterAway:
        """
        missing = set(self._audit.find_missing())
        if missing:
            listed = [found for found in self._ask_host() if found[:2] in missing]
            if listed and self._occasions.begins("missing"):
                self._wires.logger.error(
                    "Redis has thrown away %d devices of this process; they are claimed again. "
                    "It must not evict keys: set maxmemory-policy to noeviction",
                    len(listed),
                )
            self._claim(listed, "")
        self._audit.take_off_unknown()

    def _ask_host(self) -> list[Any]:
        """Return the peers of the host, after it has been told what it is to be told before.

        Unless that takes long: code of the site may block there, and this node must go on to beat.
        """
        told = self._wires.loop.event()
        self._post(told.set)
        told.wait(TELLING_TIME)
        return self._host.claims()

    def _claim(self, claims: list[Any], former: str) -> None:
        for start in range(0, len(claims), BATCH):
            self._claim_some(claims[start : start + BATCH], former)

    def _claim_some(self, claims: list[Any], former: str) -> None:
        wires, registry = self._wires, self._registry
        devices = [(username, uuid) for username, uuid, *_ in claims]
        known = [registry.claims.owned.get(device) for device in devices]
        members = registry.claims.give_nonces(devices)
        replies = Replies(wires.loop)
        takers: list[Callable[[Any], Claim | None]] = []

        def send() -> None:
            registry.claims.enlist(wires.writer, None, members)
            for member, (_, _, data, age, online) in zip(members, claims):
                then = replies.expect()
                takers.append(registry.claims.reclaim(then, member, data, age, online, former))

        wires.loop.call(send)
        for device, before, take, reply in zip(devices, known, takers, replies.wait()):
            if isinstance(reply, ConnectionLost):
                raise ClusterAway(f"Redis is away: {reply}")
            if isinstance(reply, RedisError):
                # It is full, for example. The next beat tries again.
                registry.claims.refused.add(device)
                if self._occasions.begins("refused"):
                    self._wires.logger.error(
                        "Redis has refused to enter %s: %s", excerpt(device[0]), reply
                    )
                continue
            claim = take(reply)
            if not _is_as_before(claim, before):
                self._post(self._host.claimed, *device, claim)

    def _publish(self) -> None:
        for username, fields in list(self._registry.published.items()):
            self._registry.send_published(username, fields)


def _is_as_before(claim: Claim | None, before: Owned | None) -> bool:
    """Whether the entry was there, and is the one that the host knows."""
    return (
        claim is not None
        and before is not None
        and claim.verdict == TAKEN
        and claim.token == before.token
    )
