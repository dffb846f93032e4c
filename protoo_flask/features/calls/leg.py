"""A leg of a call: one ringing device of the callee's.

A call to a user forks (RFC 3261 section 16.7): each device gets a ``session`` request of
its own and answers for itself. A leg has the state of one such request.

===========  ================================  ===========
state        event                             next state
===========  ================================  ===========
ringing      provisional: 1xx                  proceeding
proceeding   provisional: 1xx                  proceeding
either       accept: 2xx                       accepted
either       reject: 3xx to 6xx                rejected
either       gone: it went offline             gone
either       release: the call was answered    released
             elsewhere, or has ended
the others   anything                          the same
===========  ================================  ===========

The last four states are final. So when two devices accept, the second finds its leg
released. When a device accepts while it is being released, only the first event counts.
"""

from __future__ import annotations

from ...core.excerpts import excerpt
from ...core.peers.peer import Peer
from ...core.response import Response
from ...core.transactions.client import ClientTransaction

RINGING = "ringing"
PROCEEDING = "proceeding"
ACCEPTED = "accepted"
REJECTED = "rejected"
GONE = "gone"
RELEASED = "released"

#: (state, event) -> state; the table above. A pair that is not here is ignored.
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
    """One ringing device.

    :ivar transaction: of the ``session`` request to the device; ``None`` before it is sent.
    """

    __slots__ = ("peer", "state", "transaction")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.state = RINGING
        self.transaction: ClientTransaction | None = None

    def enter(self, event: str) -> bool:
        """Follow the table; ``False`` when the event is not in it for this state."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def __repr__(self) -> str:
        return f"<Leg {excerpt(self.peer.username)}/{excerpt(self.peer.uuid)} {self.state}>"


def event_of(response: Response) -> str:
    """Return the event of the table that a response to the ``session`` request causes."""
    if response.is_provisional:
        return "provisional"
    if response.is_accept:
        return "accept"
    # A 410 that the device itself has sent is a rejection.
    return "gone" if response.is_local and response.status == 410 else "reject"
