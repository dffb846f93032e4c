"""The endings of a ringing call: the answer to the caller, and the reason for the devices.

session.py has the events that end a call. For each of them this table has the answer to
the caller's request, and the reason in the ``end`` that each ringing device gets:

===========  =======================================  =============================
event        answer to the caller's request           reason in the ``end``
===========  =======================================  =============================
(accept)     the response of the device, with         answered elsewhere
             ``sessionPath``
rejected     the best rejection                       (no device rings any more)
declined     that 6xx                                 declined elsewhere
gone         410 peer offline                         (no device rings any more)
unavailable  404 peer not found                       (no device has rung)
canceled     487 canceled                             canceled
offline      487 offline                              offline
timeout      408 request timeout, or a rejection      timeout
             that says more
glare        491 request pending                      glare
failed       (it has been answered)                   failed
lost         503 server lost                          server lost
refused      (it has been answered)                   (no device has rung)
===========  =======================================  =============================

A device that went offline does not count when others have rejected: a user that answered
"busy" at one device was present. For the same reason a device that rings until the time is
up does not count either, if another one has said more than it (see
:data:`~protoo_flask.core.transactions.best_response.SAYS_LEAST`).

SIP uses the same statuses 491 and 487 for these cases (RFC 3261 sections 14.1 and 21.4.25).
"""

from __future__ import annotations

from typing import NamedTuple


class Ending(NamedTuple):
    """One line of the table.

    :ivar status: of the answer to the caller, when no device has sent a better one.
    :ivar reason: of the same answer.
    :ivar told: the reason in the ``end`` of ringing devices.
    """

    status: int
    reason: str
    told: str


#: event -> Ending; the table above.
ENDINGS = {
    "rejected": Ending(480, "temporarily unavailable", "rejected"),
    "declined": Ending(603, "declined", "declined elsewhere"),
    "gone": Ending(410, "peer offline", "gone"),
    "unavailable": Ending(404, "peer not found", "unavailable"),
    "canceled": Ending(487, "canceled", "canceled"),
    "offline": Ending(487, "offline", "offline"),
    "timeout": Ending(408, "request timeout", "timeout"),
    "glare": Ending(491, "request pending", "glare"),
    "failed": Ending(500, "internal server error", "failed"),
    "lost": Ending(503, "server lost", "server lost"),
}
