"""A leg of a call: one device of the callee's that is being rung.

A call to a user forks (RFC 3261 section 16.7): each device gets a ``session`` request of
its own and answers for itself. A leg is what has become of one of them.

===========  ================================  ===========
state        event                             next state
===========  ================================  ===========
ringing      provisional: 1xx                  proceeding
proceeding   provisional: 1xx                  proceeding
either       accept: 2xx                       accepted
either       reject: 3xx to 6xx                rejected
either       gone: it went offline             gone
either       release: the call is not for it   released
             any more
the others   anything                          the same
===========  ================================  ===========

In the last four nothing can happen any more. So of two devices that accept, the second
finds its leg released, and of a device that accepts while it is being released only what
came first counts: there is no way from one of them to another.
"""

from __future__ import annotations

from ...core.peers.peer import Peer
from ...core.response import Response
from ...core.transactions.client import ClientTransaction

RINGING = "ringing"
PROCEEDING = "proceeding"
ACCEPTED = "accepted"
REJECTED = "rejected"
GONE = "gone"
RELEASED = "released"

#: (state, event) -> state; the table above. What is not here is ignored.
TRANSITIONS = {
    (RINGING, "provisional"): PROCEEDING,
    (RINGING, "accept"): ACCEPTED,
    (RINGING, "reject"): REJECTED,
    (RINGING, "gone"): GONE,
    (RINGING, "release"): RELEASED,
    (PROCEEDING, "provisional"): PROCEEDING,
    (PROCEEDING, "accept"): ACCEPTED,
    (PROCEEDING, "reject"): REJECTED,
    (PROCEEDING, "gone"): GONE,
    (PROCEEDING, "release"): RELEASED,
}


class Leg:
    """One device that is being rung.

    :ivar transaction: that of the ``session`` request to it; ``None`` before it is sent.
    """

    __slots__ = ("peer", "state", "transaction")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.state = RINGING
        self.transaction: ClientTransaction | None = None

    def enter(self, event: str) -> bool:
        """Follow the table; ``False`` when the event means nothing any more."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def __repr__(self) -> str:
        return f"<Leg {self.peer.username}/{self.peer.uuid} {self.state}>"


def event_of(response: Response) -> str:
    """Return the event that a response to the ``session`` request is."""
    if response.is_provisional:
        return "provisional"
    if response.is_accept:
        return "accept"
    # A 410 of the device's own is its way to reject.
    return "gone" if response.is_local and response.status == 410 else "reject"
