"""A tally: the counts of one app, as plain integers.

A counter of ``prometheus_client`` takes a lock, and with several workers it writes to a file. Here
a count is an addition. The totals go to ``prometheus_client`` when somebody looks: see
:mod:`.prometheus_metrics`. With all counts, a request takes 5 % more instructions.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Callable, Iterator, NamedTuple, Sequence, Tuple
from weakref import ref

from ..core.application import Application
from ..core.meter import Meter
from ..core.observer import Observer
from ..core.routing.inspection import list_methods
from ..core.routing.methods import METHODS
from .labels import OTHER, code_label, status_label

#: ``(name of the metric, values of its labels)``.
Key = Tuple[str, Tuple[str, ...]]

#: Words for limits that are counted one by one; there are some twenty.
MAX_LIMITS = 64


class MethodTally:
    """The requests of one method.

    :ivar statuses: ``{status: requests}``.
    :ivar buckets: requests by their duration: up to each of the bounds, and beyond the last.
    :ivar seconds: the durations, in total.
    :ivar notifications: how many.
    """

    __slots__ = ("buckets", "notifications", "seconds", "statuses")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(bounds) + 1)
        self.seconds = 0.0
        self.notifications = 0


class Durations(NamedTuple):
    """The durations of the requests of one method."""

    method: str
    buckets: list[int]
    seconds: float


class Tally(Observer):
    """Counts what an app does, from its first handshake on.

    Its methods are called by one thread at a time.

    :param bounds: of the buckets: seconds, the lowest first.
    :param wake: called with this when something rare has been counted.
    :ivar application: of the app; ``None``: no client has come, or the app is gone.
    """

    is_guarded = False

    def __init__(self, bounds: Sequence[float], wake: Callable[[Tally], None]) -> None:
        self._bounds = bounds
        self._wake = wake
        self._now: Callable[[], float] = float
        self.reset()

    def reset(self) -> None:
        """Forget everything: it is that of the parent of this process."""
        self._application: ref[Application] | None = None
        self._opened = self._violations = 0
        #: One for each runtime that the app has had; usually one.
        self._meters: list[Meter] = []
        self._closed: dict[int, int] = {}
        self._turned_away: dict[int, int] = {}
        self._limits: dict[str, int] = {}
        self._errors = {"handler": 0, "listener": 0}
        self._concluded: dict[int, int] = {}
        self._other = MethodTally(self._bounds)
        #: ``{method: its tally}``, of the methods that routes name.
        self._methods: dict[Any, MethodTally] = {}

    @property
    def application(self) -> Application | None:
        return None if self._application is None else self._application()

    @property
    def has_started(self) -> bool:
        """Whether a client has come."""
        return self._application is not None

    # What happens -----------------------------------------------------------------------

    def started(self, application: Application) -> None:
        self._application = ref(application)
        self._now = application.runtime.now
        self._meters.append(application.runtime.meter)
        for method in sorted({*METHODS, *list_methods(application.router)}):
            self._methods.setdefault(method, MethodTally(self._bounds))

    def connected(self, peer: Any) -> None:
        self._opened += 1
        self._wake(self)

    def closed(self, peer: Any, code: int) -> None:
        _count(self._closed, code)
        self._wake(self)

    def notified(self, request: Any) -> None:
        self._find(request).notifications += 1

    def answered(self, request: Any, status: int) -> None:
        if status < 200:
            return
        try:  # as _find() does, without the call
            tally = self._methods[request.method]
        except (KeyError, TypeError):
            tally = self._other
        try:
            tally.statuses[status] += 1
        except KeyError:
            tally.statuses[status] = 1
        try:
            seconds = self._now() - request.admitted_at
        except AttributeError:
            return  # it was refused before any handler saw it
        tally.seconds += seconds
        tally.buckets[bisect_left(self._bounds, seconds)] += 1

    def refused(self, peer: Any, reason: str) -> None:
        self._violations += 1

    def concluded(self, transaction: Any) -> None:
        status = transaction.response.status
        try:
            self._concluded[status] += 1
        except KeyError:
            self._concluded[status] = 1

    def limited(self, limit: str, peer: Any | None) -> None:
        is_known = limit in self._limits or len(self._limits) < MAX_LIMITS
        _count(self._limits, limit if is_known else OTHER)
        self._wake(self)

    def turned_away(self, status: int, reason: str) -> None:
        _count(self._turned_away, status)
        self._wake(self)

    def failed(self, error: BaseException, request: Any | None) -> None:
        self._errors["listener" if request is None else "handler"] += 1
        self._wake(self)

    def _find(self, request: Any) -> MethodTally:
        try:
            return self._methods[request.method]
        except (KeyError, TypeError):  # a handler may put anything there
            return self._other

    # What has happened --------------------------------------------------------------------

    def totals(self) -> Iterator[tuple[Key, int]]:
        """Go through the totals since the beginning; may be called by any thread.

        Several have the same key, and are to be added.
        """
        yield ("protoo_connections_opened_total", ()), self._opened
        yield ("protoo_violations_total", ()), self._violations
        for meter in self._meters:
            yield ("protoo_received_messages_total", ()), meter.received
            yield ("protoo_received_bytes_total", ()), meter.received_bytes
            yield ("protoo_sent_messages_total", ()), meter.sent
            yield ("protoo_sent_bytes_total", ()), meter.sent_bytes
        for code, count in _items(self._closed):
            yield ("protoo_connections_closed_total", (code_label(code),)), count
        for status, count in _items(self._turned_away):
            yield ("protoo_handshakes_refused_total", (status_label(status),)), count
        for limit, count in _items(self._limits):
            yield ("protoo_refusals_total", (limit,)), count
        for source, count in _items(self._errors):
            yield ("protoo_errors_total", (source,)), count
        for status, count in _items(self._concluded):
            yield ("protoo_transactions_total", (status_label(status),)), count
        for method, tally in self._tallies():
            for status, count in _items(tally.statuses):
                yield ("protoo_requests_total", (method, status_label(status))), count
            if tally.notifications:
                yield ("protoo_notifications_total", (method,)), tally.notifications

    def durations(self) -> Iterator[Durations]:
        """Go through the durations since the beginning, of methods that were requested."""
        for method, tally in self._tallies():
            if tally.statuses:
                yield Durations(method, list(tally.buckets), tally.seconds)

    def _tallies(self) -> Iterator[tuple[str, MethodTally]]:
        yield from _items(self._methods)
        yield OTHER, self._other


def _count(counts: dict[Any, int], key: Any) -> None:
    counts[key] = counts.get(key, 0) + 1


def _items(counts: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(counts.items())  # at once: another thread may add one meanwhile
