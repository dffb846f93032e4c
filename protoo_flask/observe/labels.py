"""Labels: their values come from a fixed list, whatever clients send.

A client chooses methods, close codes, and the statuses that are relayed to others. Each new value
of a label would be one more time series, which Prometheus keeps for weeks.

>>> status_label(404), status_label(419), code_label(1006), code_label(4711)
('404', '4xx', '1006', '4xxx')
"""

from __future__ import annotations

from http import HTTPStatus

from ..core.close_codes import (
    AUTHORIZATION_REVOKED,
    ONLINE_ELSEWHERE,
    PAGE_GONE,
)

#: Stands for methods that no route of the site names.
OTHER = "other"

#: Those of HTTP, and those that SIP has besides (RFC 3261 section 21).
STATUSES = frozenset(
    {int(status) for status in HTTPStatus}
    | {180, 181, 182, 183, 380, 420, 480, 481, 482, 483, 484, 485, 486, 487, 488, 491, 493}
    | {600, 603, 604, 606}
)

#: Those that RFC 6455 section 7.4.1 and IANA's registry define, and those of this package.
CODES = frozenset({*range(1000, 1016), ONLINE_ELSEWHERE, AUTHORIZATION_REVOKED, PAGE_GONE} - {1004})


def status_label(status: int) -> str:
    """Return a status; of one that nobody has defined, its class."""
    return str(status) if status in STATUSES else f"{status // 100}xx"


def code_label(code: int) -> str:
    """Return a close code; of one that nobody has defined, its range."""
    return str(code) if code in CODES else f"{code // 1000}xxx"
