"""Ownership: the devices that this node has claimed, and the handshakes that are about to use it.

=========================  ============================================================
event                      then
=========================  ============================================================
a claim succeeds           the device is owned, with the token of the latest claim
its peer departs           released; a handshake in progress claims anew
another node takes it      not owned any more; a handshake in progress is turned away
no handshake is admitted   released, unless there is a peer
=========================  ============================================================
"""

from __future__ import annotations

from ..cluster.items import HandOver
from ..cluster.places import NEW, Claim


class Ownership:
    """A device that this node owns.

    :ivar token: of the latest claim; 0: the directory was away, and there is none.
    :ivar born: as of places.
    :ivar is_first: whether the user comes online with the device; ``None``: the directory was
        away, and nobody knows.
    :ivar telling: as of the claim, until the peer is listed.
    :ivar began: when its connection began, by the scheduler.
    :ivar expires: when its grace period ends, if it is away.
    :ivar claims: handshakes in progress that rely on it.
    :ivar is_taken: whether another node has it now.
    :ivar next: the node that has claimed it since, with its ``HandOver``: obeyed when the handshake
        is done.
    :ivar gave_way: whether it was taken off to make room for another device of its user.
    :ivar was_buried: whether others may have told that its peer is offline.
    """

    __slots__ = (
        "began",
        "born",
        "claims",
        "expires",
        "gave_way",
        "is_first",
        "is_taken",
        "next",
        "telling",
        "token",
        "was_buried",
    )

    def __init__(self, claim: Claim | None, now: float) -> None:
        self.token = 0 if claim is None else claim.token
        self.born = 0 if claim is None else claim.born
        self.telling = None if claim is None else claim.telling
        self.is_first = None if claim is None else claim.verdict == NEW and claim.is_first
        self.began = now
        self.expires = now
        self.claims = 0
        self.is_taken = False
        self.next: tuple[str, HandOver] | None = None
        self.gave_way = False
        self.was_buried = False
