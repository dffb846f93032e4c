"""How a connection ends: its states, and what leads from one to the next.

========  =======================  ==========  =========================================
state     event                    next state  what is done
========  =======================  ==========  =========================================
open      we close                 closing     send Close, start the close timer
open      we retire                closing     as above, but hand over what waits
open      Close received,          draining    send Close back, then FIN
          1000 or without code
open      Close received, another  draining    as above, but hand over what waits
open      violation, overflow,     draining    hand over what waits, send Close with
          fatal error in handler               its code, then FIN
open      end of the connection    closed      hand over what waits, give the rest back
closing   Close received           draining    FIN
closing   violation and so on      draining    FIN
any       end of the connection    closed      give everything back
any       close timer              (same)      break the connection; its end follows
========  =======================  ==========  =========================================

The FIN is sent when the outbox is empty, and then the client's end is awaited:
closing a socket that still has unread bytes would make the kernel send a reset,
which may destroy the Close frame before the client has read it.

What waits in the outbox is still sent, before the Close frame, when nobody means to
come back. Else it is handed over, to be sent over the link that comes next: a page that
goes away (1001) reads no more, and a client that is slow, or silent, or that we cannot
understand, had better get it from the beginning. It is taken out of the outbox in the
step that leaves the open state, and handed over once, when somebody asks for it: the
registry does, in the step in which it takes note of the end, or of the next link.
"""

from __future__ import annotations

OPEN = "open"
CLOSING = "closing"
DRAINING = "draining"
CLOSED = "closed"

#: (state, event) -> state; the table above.
TRANSITIONS = {
    (OPEN, "close"): CLOSING,
    (OPEN, "received close"): DRAINING,
    (OPEN, "failed"): DRAINING,
    (CLOSING, "received close"): DRAINING,
    (CLOSING, "failed"): DRAINING,
    (OPEN, "ended"): CLOSED,
    (CLOSING, "ended"): CLOSED,
    (DRAINING, "ended"): CLOSED,
}

#: Seconds that a client has to finish the closing handshake.
CLOSE_TIMEOUT = 5.0
