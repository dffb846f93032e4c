"""Keep-alive: the decision whether a client is still there, after each ping interval.

The connection looks at the time of each ping. The decision depends on the signs of life since
the last look, and on the ping, if one waits behind data (:mod:`.waiting_frame`):

===========  ================  =========================================================
the client   the waiting ping  decision
===========  ================  =========================================================
has spoken   none, arrived     ping: ask again
has spoken   moving, resting   wait: one ping at a time is on its way
has spoken   stuck             watch anew: the client sends and does not read, and the ping
                               is still on its way
is silent    none              end: the client has not answered
is silent    arrived           wait: from now on, it has the usual time for its answer
is silent    moving, resting   wait: it receives the data before the ping
is silent    stuck             end
is not read  none, arrived     ping
is not read  moving, resting   wait
is not read  stuck             watch anew
is lost      none, arrived     ping
is lost      moving, resting   wait
is lost      stuck             end
===========  ================  =========================================================

A sign of life is any byte from the client. While reading is paused, nobody would hear one. Then
the client's kernel has to speak for it, by acknowledging the ping. A client whose kernel has not
answered lately is "lost"; one that only takes no bytes is "not read" (:mod:`.hang_up`).
"""

from __future__ import annotations

from .waiting_frame import ARRIVED, MOVING, RESTING, STUCK

SPOKEN = "has spoken"
SILENT = "is silent"
UNREAD = "is not read"
LOST = "is lost"

ASK = "ping"
WAIT = "wait"
WATCH_ANEW = "watch anew"
END = "end"

#: (the client, state of the ping that waits) -> decision; the table above.
DECISIONS: dict[tuple[str, str | None], str] = {
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
    **{(client, state): ASK for client in (UNREAD, LOST) for state in (None, ARRIVED)},
    **{(client, state): WAIT for client in (UNREAD, LOST) for state in (MOVING, RESTING)},
    (UNREAD, STUCK): WATCH_ANEW,
    (LOST, STUCK): END,
}
