"""Limits: options of a middleware that are integers of at least 1."""

from __future__ import annotations

from typing import Any

from ..core.errors import UsageError


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
