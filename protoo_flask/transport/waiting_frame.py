"""A ping or a Close that waits behind data, on its way to a slow client.

A client can answer such a frame only when it has received everything before the frame. A phone
with a bad network may need a minute for that. So as long as the frame waits, the client is
alive if the data before the frame gets ahead. As soon as the frame has arrived, the usual
rule holds. The connection looks regularly, after each ping interval or close timeout.

=========  ==========================================================  ==========
state      seen at a look                                              next state
=========  ==========================================================  ==========
sent       the frame has arrived                                       arrived
sent       some of the data before it has arrived                      moving
sent       nothing has arrived since the last look                     stuck
moving     the frame has arrived                                       arrived
moving     some of the data before it has arrived                      moving
moving     nothing has arrived since the last look                     resting
resting    the frame has arrived                                       arrived
resting    some of the data before it has arrived                      moving
resting    nothing has arrived since the last look                     stuck
any of     the time that a link of ``SLOWEST`` bytes per second would  stuck
the above  need for the data is over, and the frame has not arrived
=========  ==========================================================  ==========

"resting" exists because bytes arrive in bursts. A proxy takes another 64 KiB when it has
passed 64 KiB on, which may take longer than an interval.

"Arrived" is the kernel's word: the other side's kernel, or a proxy, has the bytes.
"""

from __future__ import annotations

from typing import Protocol

SENT = "sent"
MOVING = "moving"
RESTING = "resting"
ARRIVED = "arrived"
STUCK = "stuck"

#: (state, event) -> state; the table above.
TRANSITIONS = {
    (SENT, "frame"): ARRIVED,
    (SENT, "some"): MOVING,
    (SENT, "none"): STUCK,
    (MOVING, "frame"): ARRIVED,
    (MOVING, "some"): MOVING,
    (MOVING, "none"): RESTING,
    (RESTING, "frame"): ARRIVED,
    (RESTING, "some"): MOVING,
    (RESTING, "none"): STUCK,
    **{(state, "time is over"): STUCK for state in (SENT, MOVING, RESTING)},
}

#: Bytes per second of the slowest link that a chat can use: a modem of 9600 baud, about. A
#: client that reads a byte now and then, and answers nothing, must not stay for ever. With the
#: outbox and the kernel's buffer full (5 MiB), it stays for 90 minutes.
SLOWEST = 1000


class Deliveries(Protocol):
    """An outbox, and how far its bytes have come."""

    @property
    def arrived(self) -> int:
        """The bytes that have arrived at the other side, in total."""

    @property
    def undelivered(self) -> int:
        """The bytes that have not; 0 only if everything has arrived."""


class WaitingFrame:
    """A frame that was just sent, with data before it.

    :param deliveries: of the outbox, asked before the frame was sent.
    :param now: seconds, of any clock.
    """

    __slots__ = ("_arrived", "_deliveries", "_latest", "_position", "state")

    def __init__(self, deliveries: Deliveries, now: float) -> None:
        self.state = SENT
        self._deliveries = deliveries
        self._arrived = deliveries.arrived
        #: When that many bytes have arrived, the frame is next.
        self._position = self._arrived + deliveries.undelivered
        self._latest = now + deliveries.undelivered / SLOWEST

    def look(self, now: float) -> str:
        """Follow the table, at a look; returns the new state."""
        self.state = TRANSITIONS[self.state, self._see(now)]
        return self.state

    def _see(self, now: float) -> str:
        before, self._arrived = self._arrived, self._deliveries.arrived
        # The position may be too high: an outbox counts messages that it will compress, and
        # TLS and Unix sockets count more bytes than they were given.
        if self._arrived > self._position or not self._deliveries.undelivered:
            return "frame"
        if now > self._latest:
            return "time is over"
        return "some" if self._arrived > before else "none"
