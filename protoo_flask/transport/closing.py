"""How a connection ends: its states, and the events between them.

========  =======================  ==========  =========================================
state     event                    next state  action
========  =======================  ==========  =========================================
open      we close                 closing     send Close, start the close timer
open      we retire                closing     as above, but hand over unsent messages
open      Close received,          draining    send Close back, then FIN
          1000 or without code
open      Close received, another  draining    as above, but hand over unsent messages
open      violation, overflow,     draining    hand over unsent messages, send Close
          fatal error in handler               with the code, then FIN
open      end of the connection    closed      hand over unsent messages, release the rest
open      end noticed while        left        hand over unsent messages; read on when the
          reading is paused                    core resumes it, as the client may have sent
                                               requests before its end
closing   Close received           draining    FIN
closing   violation and so on      draining    FIN
any       end of the connection    closed      release everything
any       close timer              (same)      break the connection; its end follows. Or
                                               start the timer again: a slow client is
                                               receiving the data before our Close
any       too many are closing     (same)      break the connection; its end follows. See
                                               :mod:`.closing_links`
========  =======================  ==========  =========================================

In "left", the core takes the client for gone as in "closed". Only the requests that it sent
before are still read and handled.

The FIN is sent when the outbox is empty. Then the connection waits for the client's end:
closing a socket that still has unread bytes would make the kernel send a reset, which
may destroy the Close frame before the client has read it.

If the client does not mean to come back, its unsent messages are still sent, before the
Close frame. Otherwise they are handed over, and sent over the client's next link. A page
that goes away (1001) reads no more. A client that is slow, or silent, or breaks the
protocol, had better get its messages over a new connection.

The step that leaves the open state takes the unsent messages out of the outbox. They are
handed over once, when the directory asks for them: in the step in which it takes note of
the end, or of the next link.
"""

from __future__ import annotations

OPEN = "open"
LEFT = "left"
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
    (OPEN, "left"): LEFT,
    (OPEN, "ended"): CLOSED,
    (LEFT, "ended"): CLOSED,
    (CLOSING, "ended"): CLOSED,
    (DRAINING, "ended"): CLOSED,
}

#: Seconds that a client has to finish the closing handshake, when it has received our Close. See
#: :mod:`.waiting_frame` for the time before.
CLOSE_TIMEOUT = 5.0
