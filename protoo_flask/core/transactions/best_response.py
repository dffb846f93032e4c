"""The best response: one answer chosen from the rejections of several devices.

A request to a user forks: each device gets a copy and answers for itself. When no device
has accepted, the sender is told the best of the rejections (RFC 3261 section 16.7, step 6):

======  ====================================================================
order   rule
======  ====================================================================
1       the lowest class wins: 3xx, then 4xx, 5xx, 6xx
2       in a class, a status of :data:`SAYS_LEAST` loses to all others
3       of the rest, the lowest status wins; of equal ones, the first
======  ====================================================================

The RFC leaves the choice within a class open. Rule 2 is for users with several kinds of
devices: a page that does not know calls answers 404 at once, and the phone of the same user
answers 486 "busy". The caller is told 486, because 404 tells nothing about the user.

A 6xx speaks for the user, and not only for one device. It ends a call at once
(``features/calls/leg.py``), so this rule meets one only for other requests.

Rejections made by this server follow the same rules: 408 (no answer) and 410 (offline) say
least, a 503 (too much is unanswered) is of the highest class that loses to a 4xx.
"""

from __future__ import annotations

from ..response import Response

#: The statuses which say only that a device did not take part: not found, method not allowed,
#: time-out, gone, unavailable.
SAYS_LEAST = frozenset({404, 405, 408, 410, 480})


def best_rejection(*rejections: Response | None) -> Response:
    """Return the best of several rejections; see the table above.

    :param rejections: at least one; a ``None`` stands for "no rejection so far".

    >>> best_rejection(Response(404, "not found"), Response(486, "busy here")).reason
    'busy here'
    """
    return min(
        (rejection for rejection in rejections if rejection is not None),
        key=_rank,
    )


def _rank(rejection: Response) -> tuple[int, bool, int]:
    """Return a key that sorts rejections, the best one first."""
    status = rejection.status
    return status // 100, status in SAYS_LEAST, status
