"""The best response: one answer chosen from the rejections of several devices.

A request to a user forks: each device gets a copy and answers for itself. When no device
has accepted, the sender is told the best of the rejections (RFC 3261 section 16.7, step 6).
The RFC prefers the lowest class (3xx before 4xx) and leaves the choice within a class open.
Here the lowest status wins, which is always of the lowest class.
"""

from __future__ import annotations

from ..response import Response


def best_rejection(*rejections: Response | None) -> Response:
    """Return the rejection of the lowest status; of equal ones, the first.

    :param rejections: at least one; a ``None`` stands for "no rejection so far".

    >>> best_rejection(Response(486, "busy here"), Response(480, "away")).reason
    'away'
    """
    return min(
        (rejection for rejection in rejections if rejection is not None),
        key=lambda rejection: rejection.status,
    )
