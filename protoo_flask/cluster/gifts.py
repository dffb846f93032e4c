"""Gifts: devices that a node gives to others as it leaves, and those that it was given."""

from __future__ import annotations

from typing import Any, Callable

from . import scripts
from .claims import Claims, Owned
from .entries import read_member
from .keys import Member, encode_member, text_bytes
from .lookups import Lookups
from .scripts import KEEPING_TIME
from .wires import Wires


class Gifts:
    """The gifts of one node.

    :param post: as of the registry.
    """

    def __init__(
        self, wires: Wires, lookups: Lookups, claims: Claims, post: Callable[..., None]
    ) -> None:
        self._wires = wires
        self._keys = wires.keys
        self._lookups = lookups
        self._claims = claims
        self._post = post

    def give(
        self, username: str, uuid: str, token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        """See ``Cluster.give``."""
        self._wires.run(self._give, (username, uuid), token, node, then)

    def _give(
        self, device: tuple[str, str], token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        username, uuid = device

        outcome: list[Any] = []

        def take(reply: Any) -> None:
            outcome.append(reply)

        def look(is_there: Any) -> None:
            reply = outcome[0]
            if isinstance(reply, Exception) or not reply:
                self._claims.strike_off(node, Member(username, uuid, token))
                self._post(then, False)
            elif is_there == 0:
                # It was buried, or has left, before it could get the device. Nobody would ever
                # release what is entered for it now.
                self._take_back(device, token, node, then)
            else:
                with self._claims.lock:
                    self._claims.owned.pop(device, None)
                self._lookups.forget(username)
                self._claims.strike_off(*read_member(username, uuid, reply))
                self._post(then, True)

        writer = self._wires.open_writer
        if writer is None:
            self._post(then, False)
            return
        # No nonce of the other node is as large as a token.
        member = encode_member(username, uuid, token)
        scripts.ENLIST.ask(writer, None, self._keys.claims(node), KEEPING_TIME, member)
        key = self._keys.user(username)
        scripts.GIVE.ask(writer, take, key, text_bytes(uuid), token, node, token)
        writer.ask(look, b"HEXISTS", self._keys.beat, node)

    def _take_back(
        self, device: tuple[str, str], token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        username, uuid = device

        def take(reply: Any) -> None:
            self._claims.strike_off(node, Member(username, uuid, token))
            self._lookups.forget(username)
            self._post(then, False)

        writer = self._wires.open_writer
        if writer is None:
            self._post(then, False)
            return
        [member] = self._claims.give_nonces([device])
        self._claims.enlist(writer, None, [member])
        key, own = self._keys.user(username), self._wires.node
        scripts.GIVE.ask(writer, take, key, text_bytes(uuid), token, own, member.nonce)

    def take(self, username: str, uuid: str, token: int, born: int) -> None:
        """See ``Cluster.take``."""
        device = (username, uuid)
        with self._claims.lock:
            self._claims.owned[device] = Owned(token, born)
            self._claims.forget_debts(device)
        self._lookups.forget(username)
