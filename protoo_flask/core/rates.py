"""Rates: how a site writes that something may happen so often.

==========================================  ====================================================
form                                        meaning
==========================================  ====================================================
``"50/s"``, ``"3000/m"``, ``"9000/h"``      so often per second, minute, hour, on average
``"50 per second"``                         the same, with the words second, minute, hour
``"50/s burst=100"``                        and so many at once
``50``                                      per second
``("50/s", 100)``                           a rate, and a burst
``{"peer": "50/s", "user": "200/s"}``       one for each device, one for all devices of a user;
                                            only where both exist: ``PROTOO_RATE_LIMIT``
==========================================  ====================================================
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from .errors import UsageError
from .excerpts import excerpt_of
from .rate_limit import BURST_SECONDS

#: The forms, as errors show them.
FORMS = '"50/s", "3000/m", "9000/h", "50/s burst=100" or ("50/s", 100)'

#: Messages that each client may send at once by default, however low the rate is. A call begins
#: with an offer and some thirty candidates, and more when it has several networks.
MIN_BURST = 100

#: A user may send so many times as much with all devices, if the site says nothing else. It is
#: the same number as for calls.
DEVICES = 4

_SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
}

#: Units, as rates are shown.
_UNITS = (("s", 1), ("m", 60), ("h", 3600))

#: The keys of a dict of rates.
_KEYS = {"peer", "user"}

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_RATE = re.compile(
    rf"\s*({_NUMBER})\s*(?:/|\s+per\s+)\s*({'|'.join(_SECONDS)})"
    rf"(?:\s*,?\s+burst\s*=\s*({_NUMBER}))?\s*",
    re.ASCII | re.IGNORECASE,
)


class Rate(NamedTuple):
    """So often, on average, and so many at once.

    :ivar per_second: times per second.
    :ivar burst: ``None``: the site has not said.
    :ivar in_period: times per period, as the site has written it.
    """

    per_second: float
    burst: float | None
    in_period: float

    def __str__(self) -> str:
        unit, seconds = next(
            (found for found in _UNITS if self.per_second * found[1] >= 1), _UNITS[-1]
        )
        rate = f"{self.per_second * seconds:g}/{unit}"
        return rate if self.burst is None else f"{rate} burst={self.burst:g}"


class Rates(NamedTuple):
    """The rates of a device, and of all devices of a user; ``None``: no limit."""

    peer: Rate | None = None
    user: Rate | None = None


def parse_rate(value: Any, where: str) -> Rate:
    """Return a rate in any of its forms.

    :param where: the option or setting, for the error.
    :raises UsageError: for anything else, with the legal forms.
    """
    rate = _read_rate(value)
    if rate is None:
        raise UsageError(f"{where} is a rate, like {FORMS}, not {excerpt_of(value)}")
    return rate


def parse_rates(value: Any, where: str) -> Rates:
    """Return the rates of devices and users.

    :param value: one rate, or a dict with ``peer``, ``user`` or both; or ``None``.
    :raises UsageError: as :func:`parse_rate`.
    """
    if value is None:
        return Rates()
    rate = _read_rate(value)
    if rate is None and (not isinstance(value, dict) or not value or set(value) - _KEYS):
        raise UsageError(
            f'{where} is a rate, like {FORMS}, a dict of rates, like {{"peer": "20/s", "user": '
            f'"60/s"}}, or None for no limit, not {excerpt_of(value)}'
        )
    if rate is None:
        of = {
            name: None if rate is None else _with_burst(parse_rate(rate, f"{where}[{name!r}]"))
            for name, rate in value.items()
        }
        return Rates(of.get("peer"), of.get("user"))
    peer = _with_burst(rate)
    assert peer.burst is not None
    user = Rate(DEVICES * peer.per_second, DEVICES * peer.burst, DEVICES * peer.in_period)
    return Rates(peer, user)


def _with_burst(rate: Rate) -> Rate:
    """Return a rate of messages, with a burst that lets a call begin."""
    if rate.burst is not None:
        return rate
    return rate._replace(burst=max(BURST_SECONDS * rate.per_second, MIN_BURST))


def _read_rate(value: Any) -> Rate | None:
    burst = None
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            return None
        value, burst = value
        if not _is_positive(burst) or burst < 1:
            return None
    if _is_positive(value):
        return Rate(float(value), burst, float(value))
    if not isinstance(value, str):
        return None
    found = _RATE.fullmatch(value)
    if found is None:
        return None
    count, period, written = found.groups()
    if written is not None:
        if burst is not None or float(written) < 1:
            return None
        burst = float(written)
    if not float(count):
        return None
    return Rate(float(count) / _SECONDS[period.lower()], burst, float(count))


def _is_positive(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value > 0 and math.isfinite(value)
