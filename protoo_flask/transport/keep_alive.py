"""Keep-alive: the decision whether a client is still there, after each ping interval.

The connection looks at the time of each ping. The decision depends on the signs of life since
the last look, and on the ping, if one waits behind data (:mod:`.waiting_frame`):

==========  ================  =========================================================
the client  the waiting ping  decision
==========  ================  =========================================================
has spoken  none, arrived     ping: ask again
has spoken  moving, resting   wait: one ping at a time is on its way
has spoken  stuck             watch anew: the client sends and does not read, and the ping
                              is still on its way
is silent   none              end: the client has not answered
is silent   arrived           wait: from now on, it has the usual time for its answer
is silent   moving, resting   wait: it receives the data before the ping
is silent   stuck             end
==========  ================  =========================================================

A sign of life is any byte from the client.
"""

from __future__ import annotations

from .waiting_frame import ARRIVED, MOVING, RESTING, STUCK

SPOKEN = "has spoken"
SILENT = "is silent"

ASK = "ping"
WAIT = "wait"
WATCH_ANEW = "watch anew"
END = "end"

#: (the client, state of the ping that waits) -> decision; the table above.
DECISIONS = {
    (SPOKEN, None): ASK,
    (SPOKEN, ARRIVED): ASK,
    (SPOKEN, MOVING): WAIT,
    (SPOKEN, RESTING): WAIT,
    (SPOKEN, STUCK): WATCH_ANEW,
    (SILENT, None): END,
    (SILENT, ARRIVED): WAIT,
    (SILENT, MOVING): WAIT,
    (SILENT, RESTING): WAIT,
    (SILENT, STUCK): END,
}
