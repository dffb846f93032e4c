"""The times at which a server wants its clients back: in an HTTP header, and in a close reason.

Both are untrusted texts. What cannot be read counts as no time at all.
"""

from __future__ import annotations

import email.utils
import re
import time

from ..core.close_codes import GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER
from ..core.response import MAX_RETRY_AFTER

#: Seconds: a server that restarts is back by then.
MAX_CLOSE_HINT = 60.0

#: The codes whose reason may have a hint: the server goes away for a short time.
BRIEF_CODES = (GOING_AWAY, SERVICE_RESTART, TRY_AGAIN_LATER)

_CLOSE_HINT = re.compile(r"(?:^|;) ?retry-after=([0-9]+(?:\.[0-9]+)?)(?:;|\Z)")


def parse_retry_after(value: str) -> float:
    """Read a Retry-After header, seconds or a date (RFC 9110 section 10.2.3); 0 without one.

    >>> parse_retry_after("120"), parse_retry_after("soon")
    (120.0, 0)
    """
    text = value.strip()
    try:
        if text.isdigit():
            return min(float(text), MAX_RETRY_AFTER)
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0
    return max(0.0, min(seconds, MAX_RETRY_AFTER))


def parse_close_hint(code: int, reason: str) -> float:
    """Read the seconds in the reason of a close; 0 without any.

    See "Close reasons with a hint for clients" in docs/wire-protocol.md.

    >>> parse_close_hint(1001, "shutting down; retry-after=2.35"), parse_close_hint(1001, "bye")
    (2.35, 0)
    """
    found = _CLOSE_HINT.search(reason) if code in BRIEF_CODES else None
    return 0 if found is None else min(float(found[1]), MAX_CLOSE_HINT)
