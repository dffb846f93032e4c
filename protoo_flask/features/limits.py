"""Limits of a middleware: options that are integers of at least 1, and refusals because of them."""

from __future__ import annotations

from typing import Any

from ..core.errors import LimitReached, UsageError
from ..core.peers.peer import Peer


def check_limit(value: Any, description: str) -> int:
    """Return ``value`` when it is an integer of at least 1.

    :param description: the option, and the meaning of its value.
    :raises UsageError: for any other value, ``True`` included.

    >>> check_limit(0, "hall(max_seats=...) takes a number of seats")
    Traceback (most recent call last):
      ...
    protoo_flask.core.errors.UsageError: hall(max_seats=...) takes a number of seats, an integer of at least 1, not 0
    """  # noqa: E501 (a doctest needs the whole line)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{description}, an integer of at least 1, not {value!r}")
    return value


def refuse(
    limit: str, peer: Peer, status: int, reason: str, retry_after: float | None = None
) -> LimitReached:
    """Return the refusal of a request because of a limit, which is counted and logged.

    Does not block.

    :param limit: its name; see :meth:`~protoo_flask.core.observer.Observer.limited`.
    :param peer: whose limit it is.
    :param status: 429 for the peer's own number or rate, 503 for that of others.
    :param retry_after: seconds; ``None``: nobody knows.
    """
    peer.runtime.limited(limit, peer, reason)
    return LimitReached(status, reason, retry_after)
