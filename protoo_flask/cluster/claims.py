"""Claims: the devices of this node, as it makes them known in Redis.

**A node remembers little of its claims**: the token, to know its own entry, and the token
of the first claim (``born``), because Redis may lose it. What could not be said while Redis was
away is made up by comparing, not by repeating: :mod:`.rebuild` claims the peers of the host
again. Only releases are remembered, because a peer that has gone is in no list.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable, NamedTuple

from ..core.cluster.places import FULL, Claim, Release
from ..core.cluster.protocol import ClaimRefused, ClusterAway
from ..core.excerpts import excerpt
from ..core.scheduling import Event
from . import scripts
from .connection import ConnectionLost, RedisConnection, RedisError, Then
from .entries import read_claim, read_member, read_release
from .keys import Member, encode_member, text_bytes
from .lookups import Lookups
from .replies import Replies
from .scripts import KEEPING_TIME
from .tellings import Tellings
from .wires import ANSWER_TIME, Wires

#: Seconds that a claim waits for the directory to be complete. A client waits meanwhile.
COMPLETION_TIME = 1.0

#: Seconds within which a connection whose claim has failed is in the list of its host, or gone.
#: A handshake goes on within a few seconds.
OWING_TIME = 10.0


class Owned(NamedTuple):
    """A claim of this node, as it remembers it."""

    token: int
    born: int


class Claims:
    """The claims of one node.

    :param post: as of the registry.
    :param gone: ``gone(username)``: called when the last device of a user was released here.
    """

    def __init__(
        self,
        wires: Wires,
        lookups: Lookups,
        post: Callable[..., None],
        gone: Callable[[str], Any],
    ) -> None:
        self._wires = wires
        self._loop = wires.loop
        self._keys = wires.keys
        self._post = post
        self._gone = gone
        self._lookups = lookups
        self.tellings = Tellings(wires)
        self.lock = wires.loop.lock()
        self._nonces = itertools.count(1)
        #: ``{(username, uuid): Owned}``
        self.owned: dict[tuple[str, str], Owned] = {}
        #: Whether others may have taken this node for dead, and a function that has it found out:
        #: it calls :meth:`end_settling` then.
        self.is_doubtful: Callable[[], bool] = lambda: False
        self.find_out: Callable[[], Any] = lambda: None
        #: Set when the directory is complete; ``None``: it is, or is away.
        self._completion: Event | None = None
        #: Whether there may be peers that were never claimed.
        self.has_refused = False
        #: Devices whose claim was not sent, and when that was. They are in the host's list when
        #: the connection is back, except those whose handshake goes on just then.
        self.unclaimed: dict[tuple[str, str], float] = {}
        #: Devices whose claim was sent, and its nonce; its outcome is not known.
        self.unsure: dict[tuple[str, str], tuple[float, int]] = {}
        #: Devices whose claim Redis has refused in a rebuild.
        self.refused: set[tuple[str, str]] = set()
        #: Releases that Redis has not confirmed.
        self.unreleased: dict[tuple[str, str], int] = {}

    def clear(self) -> None:
        """Forget everything: this node has left."""
        for table in (self.owned, self.unclaimed, self.unsure, self.unreleased):
            table.clear()
        self.refused.clear()
        self.tellings.clear()

    def release_owed(self) -> None:
        """Send what Redis has not confirmed: the connection is back."""
        with self.lock:
            unreleased = list(self.unreleased.items())
        for device, token in unreleased:
            self._release(device, token, lambda release: None, 0)

    def begin_settling(self) -> None:
        """Take note that the directory may lack peers that are there."""
        self._completion = self._completion or self._loop.event()

    def end_settling(self) -> None:
        completion, self._completion = self._completion, None
        if completion is not None:
            completion.set()

    def await_completion(self) -> bool:
        """Wait for a while until the directory has what all nodes have; returns whether it has."""
        if self.is_doubtful() and self._wires.open_writer is not None:
            # A claim by the id of a dead node would be buried with it.
            self.begin_settling()
            self.find_out()
        completion = self._completion
        if completion is None:
            return True
        return not self._loop.is_foreign() and bool(completion.wait(COMPLETION_TIME))

    # Claiming ------------------------------------------------------------------------------

    def claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        """See ``Cluster.claim``."""
        # Else a device could seem to be the first one of its user, or its former owner could not be
        # found.
        self.await_completion()
        replies = Replies(self._loop)
        device = (username, uuid)
        nonce, node = 0, self._wires.node
        try:
            writer = self._wires.writer
            if self.is_doubtful():
                raise ClusterAway("other nodes may have taken this one for dead")
            nonce = next(self._nonces)
            listed = replies.expect()
            claimed = replies.expect(lambda reply: self._take_late(device, nonce, reply))
            args = (text_bytes(uuid), node, nonce, limit, KEEPING_TIME, data)

            def send() -> None:
                # In this order: if this node dies, others find all its claims in the set.
                self.enlist(writer, listed, [Member(username, uuid, nonce)])
                scripts.CLAIM.ask(writer, claimed, self._keys.user(username), *args)

            self._wires.run(send)
            enlisted, reply = replies.wait(ANSWER_TIME)
            if isinstance(reply, ConnectionLost):
                raise ClusterAway(f"Redis is away: {reply}")
        except ClusterAway:
            self._owe_claim(device, nonce)
            raise
        error = next((found for found in (reply, enlisted) if isinstance(found, Exception)), None)
        if error is not None:
            self._withdraw(device, nonce, reply)
            raise ClaimRefused(f"Redis takes no more devices: {error}")
        return self._settle_claim(device, nonce, reply)._replace(node=node)

    def enlist(self, writer: RedisConnection, then: Then, members: list[Member]) -> None:
        """Add claims to the set of this node, before they are made."""
        listed = [encode_member(*member) for member in members]
        scripts.ENLIST.ask(writer, then, self._keys.claims(self._wires.node), KEEPING_TIME, *listed)

    def _settle_claim(self, device: tuple[str, str], nonce: int, reply: Any) -> Claim:
        """Take note of the verdict, and strike the claims off that it has ended."""
        username, uuid = device
        claim = read_claim(username, uuid, reply)
        if claim.verdict == FULL:
            self._wires.run(self.strike_off, self._wires.node, Member(username, uuid, nonce))
            return claim
        with self.lock:
            self.owned[device] = Owned(claim.token, claim.born)
            self.forget_debts(device)
        self._wires.run(self._clear_up, device, reply)
        return claim

    def _clear_up(self, device: tuple[str, str], reply: Any) -> None:
        username, uuid = device
        self._lookups.forget(username)
        _, _, _, _, former, gone, gone_entry, *_ = reply
        if former:
            self.strike_off(*read_member(username, uuid, former))
        if gone_entry:
            gone_uuid = gone.decode("utf-8", "surrogatepass")
            self.strike_off(*read_member(username, gone_uuid, gone_entry))

    def _withdraw(self, device: tuple[str, str], nonce: int, reply: Any) -> None:
        """Undo a claim of which one of the two commands was refused."""
        self._wires.run(self.strike_off, self._wires.node, Member(*device, nonce))
        if not isinstance(reply, Exception):
            claim = self._settle_claim(device, nonce, reply)
            if claim.verdict != FULL:
                self.release(*device, claim.token, lambda release: None)

    def _take_late(self, device: tuple[str, str], nonce: int, reply: Any) -> None:
        """Take a verdict for which nobody waits any more: the peer goes on without.

        One of the next beats claims it again, or finds that it has gone.
        """
        if isinstance(reply, Exception):
            return
        self._clear_up(device, reply)
        if reply[0] == b"full":
            self.strike_off(self._wires.node, Member(*device, nonce))
            with self.lock:
                self.unsure.pop(device, None)

    def _owe_claim(self, device: tuple[str, str], nonce: int) -> None:
        now = self._loop.now()
        with self.lock:
            self.has_refused = True
            if nonce:
                self.unsure[device] = now, nonce
                return
            self.unclaimed.pop(device, None)
            self.unclaimed[device] = now
            for other, failed in list(itertools.islice(self.unclaimed.items(), 2)):
                if now - failed > OWING_TIME:
                    del self.unclaimed[other]

    def forget_debts(self, device: tuple[str, str]) -> None:
        """Take note that a claim of a device has been answered; under the lock."""
        self.unclaimed.pop(device, None)
        self.unsure.pop(device, None)
        self.unreleased.pop(device, None)
        self.refused.discard(device)

    def forgive(self) -> None:
        """Take back the claims that were made up for nobody: their devices have gone meanwhile.

        Called by the owner's thread, after those of the others.
        """
        now = self._loop.now()
        with self.lock:
            for device, since in list(self.unclaimed.items()):
                if now - since > OWING_TIME:
                    del self.unclaimed[device]
            gone = [
                (device, nonce)
                for device, (since, nonce) in self.unsure.items()
                if now - since > OWING_TIME
            ]
        for device, nonce in gone:
            self._reap_mine(device, nonce)

    def _reap_mine(self, device: tuple[str, str], nonce: int) -> None:
        username, uuid = device

        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                return
            with self.lock:
                if self.unsure.get(device, (0, 0))[1] == nonce:
                    del self.unsure[device]
            self._lookups.forget(username)
            self.strike_off(self._wires.node, Member(username, uuid, nonce))

        key, node = self._keys.user(username), self._wires.node
        writer = self._wires.writer
        scripts.REAP.ask(writer, take, key, text_bytes(uuid), node, nonce, KEEPING_TIME)

    def strike_off(self, node: str, member: Member) -> None:
        """Take a claim that has ended off the set of its node. No other claim is like it."""
        writer = self._wires.open_writer
        if writer is not None:
            writer.ask(None, b"SREM", self._keys.claims(node), encode_member(*member))

    def give_nonce(self) -> int:
        """Return a number that is less than those of all claims to come."""
        return next(self._nonces)

    def give_nonces(self, devices: list[tuple[str, str]]) -> list[Member]:
        """Return what the set of this node is to say of claims that will be made."""
        return [Member(*device, next(self._nonces)) for device in devices]

    def reclaim(
        self, then: Then, member: Member, data: bytes, age: float, online: bool, former: str
    ) -> Callable[[Any], Claim | None]:
        """Send the claim of a device that this node has already; in the owner's thread.

        :param member: it is in the set of this node.
        :returns: a function that takes the reply, and returns the verdict; ``None``: a younger
            link has won.
        :raises ClusterAway:
        """
        writer = self._wires.writer
        username, uuid, nonce = member
        device = (username, uuid)
        known = self.owned.get(device)
        state = "c" if online else "a"
        args = (text_bytes(uuid), self._wires.node, nonce, f"{age:.6f}", state, KEEPING_TIME)
        born = known.born if known else 0
        scripts.RECLAIM.ask(writer, then, self._keys.user(username), *args, data, former, born)

        def take(reply: Any) -> Claim | None:
            if reply[0] == b"younger":
                self.strike_off(self._wires.node, member)
                with self.lock:
                    self.owned.pop(device, None)
                    self.forget_debts(device)
                return None
            return self._settle_claim(device, nonce, reply)

        return take

    # Releasing -----------------------------------------------------------------------------

    def release(
        self,
        username: str,
        uuid: str,
        token: int,
        then: Callable[[Release | None], None],
        telling: int = 0,
    ) -> None:
        """See ``Cluster.release``."""
        device = (username, uuid)
        if not token:
            # It was never claimed, as far as its owner knows.
            with self.lock:
                self.unclaimed.pop(device, None)
            self._post(then, None)
            return
        with self.lock:
            owned = self.owned.get(device)
            if owned is not None and owned.token == token:
                del self.owned[device]
            self.unreleased[device] = token
        self._wires.run(self._release, device, token, then, telling)

    def _release(
        self,
        device: tuple[str, str],
        token: int,
        then: Callable[[Release | None], None],
        telling: int,
    ) -> None:
        username, uuid = device

        def take(reply: Any) -> None:
            if isinstance(reply, Exception):
                # It is released when the connection is back.
                if isinstance(reply, RedisError):
                    self._wires.logger.error(
                        "Redis has not released %s: %s", excerpt(username), reply
                    )
                self._post(then, None)
                return
            with self.lock:
                if self.unreleased.get(device) == token:
                    del self.unreleased[device]
            release = read_release(reply)
            self._lookups.forget(username)
            if release.was_mine:
                self.strike_off(*read_member(username, uuid, reply[2]))
            if release.is_last:
                self._gone(username)
            self._post(then, release)

        writer = self._wires.open_writer
        if writer is None:
            self._post(then, None)
            return
        args = (text_bytes(uuid), token, KEEPING_TIME)
        events = self.tellings.write(telling) if telling else ""
        scripts.RELEASE.ask(writer, take, self._keys.user(username), *args, events)
