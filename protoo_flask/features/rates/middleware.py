"""rate_limit: how often the paths behind it may be asked."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any, Callable, Iterator

from ...core.callers import find_caller
from ...core.errors import UsageError
from ...core.excerpts import excerpt_of
from ...core.functions import check_function
from ...core.rates import Rate, parse_rate
from ...core.request import Request
from ...core.routing.registration import Next
from .path_limits import Key, PathLimit, name_by, name_peer, name_user

#: The names for ``by``.
SHARED_BY: dict[str, Callable[[Request], Any]] = {"user": name_user, "peer": name_peer}

#: The limits that each line of the site has made so far: no state of clients.
_numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


def rate_limit(
    rate: str | float | tuple[Any, float],
    *,
    burst: float | None = None,
    by: str | Key = "user",
    cost: float = 1,
    name: str | None = None,
) -> Callable[[Request, Next], None]:
    """Return a middleware that lets requests pass so often, and no more.

    ::

        protoo.use("/rooms", rate_limit("10/s", burst=20))
        protoo.message("/users/:name", rate_limit("5/s"), handler)
        protoo.get("/search", rate_limit("30/m", by="peer", cost=2), search)

    Beyond it, a request is answered 429 ``"too many requests"``, with the seconds after which it
    may come again as ``data.retryAfter``, and a notification goes no further. Requests of all
    paths and methods behind one middleware share its buckets; two calls of ``rate_limit()`` share
    nothing, unless both give the same name, rate and burst.

    :param rate: ``"10/s"``, ``"30/m"``, ``"100/h"``, ``"10/s burst=20"``, or a number per second.
    :param burst: requests that may come at once, 1 or more. By default, those of one period:
        10 of ``"10/s"``, 30 of ``"30/m"``.
    :param by: whose requests share a bucket: all of a ``"user"``, those of a ``"peer"`` (a device),
        or those for which a function ``by(req)`` returns the same text or integer; the function
        returns ``None`` for a request that is not limited. What it returns is untrusted if it
        comes from the request: a client may choose a new one each time.
    :param cost: of one request, more than 0, and no more than the burst.
    :param name: of the limit. In a cluster, the limits of all workers with this name are one. By
        default, it is made of the module and the line that call this function, and how often they
        have done so. A site whose workers register different things gives a name.
    :raises UsageError: for a value that cannot work.
    """
    parsed = parse_rate(rate, "rate_limit(rate)")
    if burst is not None:
        if parsed.burst is not None:
            raise UsageError(f"rate_limit({rate!r}, burst={burst!r}) has two bursts: give one")
        parsed = parse_rate((rate, _check_burst(burst)), "rate_limit(rate)")
    if parsed.burst is None:
        parsed = parsed._replace(burst=max(parsed.in_period, 1.0))
    limit = PathLimit(_find_scope(name, parsed), parsed, _find_namer(by), _check_cost(cost, parsed))

    def limit_rate(req: Request, next: Next) -> None:
        if limit.check(req):
            next()

    # As the table of routes and the log show it.
    limit_rate.__qualname__ = f"rate_limit({parsed})"
    return limit_rate


def _find_namer(by: Any) -> Callable[[Request], Any]:
    if isinstance(by, str) and by in SHARED_BY:
        return SHARED_BY[by]
    if isinstance(by, str) or not callable(by):
        raise UsageError(
            f'rate_limit(by=...) takes "user", "peer", or a function by(req), not {excerpt_of(by)}'
        )
    return name_by(check_function(by, "by(req)"))


def _check_burst(burst: Any) -> float:
    is_number = isinstance(burst, (int, float)) and not isinstance(burst, bool)
    if not is_number or not 1 <= burst < math.inf:
        raise UsageError(
            f"rate_limit(burst=...) takes a number, 1 or more, not {excerpt_of(burst)}"
        )
    return float(burst)


def _check_cost(cost: Any, rate: Rate) -> float:
    assert rate.burst is not None
    is_number = isinstance(cost, (int, float)) and not isinstance(cost, bool)
    if not is_number or not 0 < cost <= rate.burst:
        raise UsageError(
            "rate_limit(cost=...) takes a number above 0, and no more than the burst, which is "
            f"{rate.burst:g}, not {excerpt_of(cost)}"
        )
    return float(cost)


def _find_scope(name: Any, rate: Rate) -> str:
    if name is None:
        frame = find_caller()
        line = f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"
        return f"path {line} {next(_numbers[line])}"
    if not isinstance(name, str) or not name:
        raise UsageError(f"rate_limit(name=...) takes a text, not {excerpt_of(name)}")
    return f"named {name} {rate}"
