"""Path limits: the buckets of one ``rate_limit()``, in one app."""

from __future__ import annotations

from typing import Any, Callable, Union

from ...core.errors import UsageError
from ...core.excerpts import excerpt, excerpt_of
from ...core.occasions import Occasions
from ...core.rate_limit import to_retry_after
from ...core.rates import Rate
from ...core.request import Request
from ...core.request_rates import REASON
from ...core.runtime import Runtime

#: The limit, as an observer is told of it.
OF_PATH = "rate_of_path"

#: ``key(request)``: the name of the bucket; ``None``: the request is not limited.
Key = Callable[[Request], Union[str, int, None]]


class PathLimit:
    """One ``rate_limit()``.

    :param scope: its name, the same at all nodes of a cluster. Limits with the same one share
        buckets.
    :param find_name: returns the name of the bucket of a request.
    """

    def __init__(
        self, scope: str, rate: Rate, find_name: Callable[[Request], Any], cost: float
    ) -> None:
        self.scope = scope
        self.rate = rate
        self.find_name = find_name
        self.cost = cost

    def check(self, req: Request) -> bool:
        """Count a request; ``False`` when it was refused. May block in a cluster."""
        name = self.find_name(req)
        if name is None:
            return True
        peer = req.peer
        runtime = peer.runtime
        buckets: Buckets = runtime.service((PathLimit, self.scope), self._make_buckets)
        now = runtime.scheduler.now()
        limit, cost = buckets.limit, self.cost
        wait = limit.take_surely(name, now, cost)
        if not wait:
            return True
        if runtime.observer is not None:
            runtime.observer.limited(OF_PATH, peer)
        if buckets.occasions.begins(name):
            runtime.warn(
                "requests of %s to %s are refused for now: rate_limit() is %s there",
                excerpt_of(name),
                excerpt(req.original_path),
                self.rate,
            )
        if req.id is not None:
            wait = limit.promise(name, now, wait, cost)
            req.reply(429, REASON, {"retryAfter": to_retry_after(wait)})
        return False

    def _make_buckets(self, runtime: Runtime) -> Buckets:
        return Buckets(self.scope, self.rate, runtime)


class Buckets:
    """The buckets of a :class:`PathLimit` in one app."""

    def __init__(self, scope: str, rate: Rate, runtime: Runtime) -> None:
        self.limit = runtime.make_limit(scope, rate)
        self.occasions = Occasions(runtime.scheduler.now)


def name_user(req: Request) -> str:
    """Return the name of the bucket that all devices of a user share."""
    return req.peer.username


def name_peer(req: Request) -> tuple[str, str]:
    """Return the name of the bucket that a device has alone."""
    peer = req.peer
    return peer.username, peer.uuid


def name_by(key: Key) -> Callable[[Request], str | None]:
    """Return a function that names buckets as a function of the site says."""

    def find_name(req: Request) -> str | None:
        name = key(req)
        if name is None or isinstance(name, str):
            return name
        if isinstance(name, int):
            return str(name)
        raise UsageError(
            "the function by(req) of rate_limit() returns the name of a bucket, a text or an "
            f"integer, or None for no limit, not {excerpt_of(name)}"
        )

    return find_name
