"""How a connection ends: its states, and what leads from one to the next.

========  =======================  ==========  =========================================
state     event                    next state  action
========  =======================  ==========  =========================================
open      we close                 closing     send Close, start the close timer
open      we retire                closing     as above, but hand over the outbox
open      Close received,          draining    send Close back, then FIN
          1000 or without code
open      Close received, another  draining    as above, but hand over the outbox
open      violation, overflow,     draining    hand over the outbox, send Close with
          fatal error in handler               its code, then FIN
open      end of the connection    closed      hand over the outbox, give all else back
closing   Close received           draining    FIN
closing   violation and so on      draining    FIN
any       end of the connection    closed      give everything back
any       close timer              (same)      break the connection; its end follows
========  =======================  ==========  =========================================

The FIN is sent when the outbox is empty, and then the client's end is awaited. To close a
socket that still has unread bytes would make the kernel send a reset, and a reset may destroy
the Close frame before the client has read it.

When the client does not mean to come back, messages in the outbox are still sent, before the
Close frame. Otherwise they are handed over, and the next link sends them: a page that goes
away (1001) reads no more, and a client that is slow, or silent, or not understood, should get
them from the beginning. They are taken out of the outbox in the step that leaves the open
state. They are handed over once, when the directory asks for them: as it takes note of the
end, or of the next link.
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
