"""The runtime: clock, timers, time limits, ids and limits of one app.

Everything in the core that needs the time, a lock or a limit gets it from here. A runtime
knows no peer: ``peer.runtime`` is the same object for all peers of an app.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Iterator, NamedTuple, TypeVar

from .arrivals import Arrivals
from .clustered_rate_limit import ClusteredRateLimit, Spend
from .deadlines import Deadlines
from .excerpts import excerpt
from .meter import Meter
from .observer import Observer
from .occasions import Occasions
from .rate_limit import Limit, make_buckets
from .rates import Rate, Rates
from .request_rates import RequestRates
from .scheduling import Scheduler
from .stuck_places import StuckPlaces
from .transactions.shares import SharedShares, Shares

S = TypeVar("S")


class TimeLimits(NamedTuple):
    """Time limits in seconds.

    :ivar request: a peer has this time for its final response.
    :ivar session: a call may ring for this time.
    :ivar response: handlers have this time to answer a request; ``None``: for ever.
    :ivar grace_period: a peer has this time to come back after its link has dropped; 0: none.
    :ivar detection: a dead link is noticed within this time.
    :ivar answers: nobody pings, and after this time the server looks whether an answer has
        arrived; ``None``: pongs tell.
    :ivar reload: the grace period of a page that was closed or reloaded; ``None``: as any other.
    """

    request: float
    session: float = 120
    response: float | None = None
    grace_period: float = 0
    detection: float = 0
    answers: float | None = None
    reload: float | None = None

    @property
    def delivery(self) -> float:
        """The time for a request that must arrive: after it, its peer is known to be offline."""
        return self.request + self.detection + self.grace_period


class Limits(NamedTuple):
    """Limits on sizes and numbers.

    :ivar peers_per_user: devices of one user that may be connected.
    :ivar waiting: bytes that may wait for a peer that is away.
    :ivar parallel_requests: requests of one device that are handled at a time.
    :ivar rates: of the requests and notifications of a device, and of a user.
    """

    peers_per_user: int
    waiting: int = 1024 * 1024
    parallel_requests: int = 1
    rates: Rates = Rates()

    @property
    def running_per_user(self) -> int:
        """Handlers that may run for one user: on each of its devices, as many as may."""
        return self.peers_per_user * self.parallel_requests


class Runtime:
    """What everything in the core needs, and no peer.

    :param call_back: ``call_back(peer, function, subject)`` runs a function of the site in
        the contexts of a peer, and logs its errors.
    :param time_out: called with a request that handlers have not answered in time.
    :param report_stuck: called with a username, the number of its handlers that do not return,
        and whether more of them may be called.
    :param fail: called with a request and the error that its handling has raised; answers it.
    :param first_id: gives the first id of the requests to a new peer.
    :param arrivals: handshakes in progress; by default, one without any.
    :ivar thread_id: that of the scheduler.
    :ivar now: that of the scheduler.
    :ivar observer: told of everything, for metrics; ``None``: nobody is.
    :ivar meter: counts messages while there is an observer.
    :ivar ids: of the requests to all peers, in a cluster, where transactions move between
        processes; ``None``: each peer has ids of its own.
    :ivar transactions: expires client transactions that have the usual time.
    :ivar sent: the bytes of the requests of each user that were sent on, and are not answered.
    :ivar unanswered: expires requests of peers that no handler answers.
    :ivar answers: forgets the answers that were given to peers, where nobody pings; else
        ``None``. See :mod:`.transactions.remembered_answers`.
    :ivar progress: gives up the places of handlers that do not return, in workloads in which
        requests wait.
    :ivar stuck_places: those places.
    :ivar rates: of the requests that clients send; ``None``: they may send any number.
    :ivar spend: takes from the buckets that all nodes of a cluster share; ``None``: there is none.
    :ivar warn: logs a warning of something that clients do: a format, and its arguments.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        time_limits: TimeLimits,
        limits: Limits,
        *,
        call_back: Callable[[Any, Callable[[Any], Any], Any], None],
        time_out: Callable[[Any], None],
        first_id: Callable[[], int],
        report_stuck: Callable[[str, int, bool], None] = lambda username, count, has_hope: None,
        fail: Callable[[Any, Any], None] = lambda request, error: None,
        observer: Observer | None = None,
        arrivals: Arrivals | None = None,
        warn: Callable[..., Any] = lambda text, *args: None,
    ) -> None:
        self.scheduler = scheduler
        self.arrivals = Arrivals(scheduler.lock()) if arrivals is None else arrivals
        self.thread_id = scheduler.thread_id
        self.now = scheduler.now
        self.time_limits = time_limits
        self.limits = limits
        self.call_back = call_back
        self.first_id = first_id
        self.ids: Iterator[int] | None = None
        self.observer = observer
        self.meter = Meter()
        self.transactions: Deadlines[Any] = Deadlines(
            scheduler, time_limits.request, lambda transaction: transaction.time_out()
        )
        self.unanswered: Deadlines[Any] = Deadlines(scheduler, time_limits.response, time_out)
        self.progress: Deadlines[Any] = Deadlines(
            scheduler, time_limits.response, lambda workload: workload.expire()
        )
        self.stuck_places = StuckPlaces(limits.running_per_user, scheduler)
        self.report_stuck = report_stuck
        self.fail = fail
        self.answers: Deadlines[Any] | None = None
        if time_limits.answers is not None and time_limits.grace_period:
            self.answers = Deadlines(
                scheduler, time_limits.answers, lambda requests: requests.look()
            )
        self.sent: Shares = SharedShares(scheduler) if scheduler.preempts else Shares()
        self._services: dict[object, Any] = {}
        self.warn = warn
        self._refusals = Occasions(scheduler.now)
        self.spend: Spend | None = None
        self.rates: RequestRates | None = None

    def limited(self, limit: str, peer: Any | None, reason: str, username: str = "") -> None:
        """Take note of a refusal: it is counted, and logged if it is the first for a while.

        Does not block: a log may, so it is written elsewhere.

        :param limit: the name of the limit; see :meth:`.Observer.limited`.
        :param peer: whose limit it is; ``None``: that of a device which this process does not know.
        :param reason: the limit, for the log; nothing that a client has chosen.
        :param username: untrusted, in place of a peer.
        """
        if self.observer is not None:
            self.observer.limited(limit, peer)
        if self._refusals.begins((limit, username if peer is None else peer.username)):
            whose = excerpt(username) if peer is None else peer
            text = "a limit is reached: %s, of %s: %s"
            self.scheduler.spawn(self.warn, text, limit, whose, reason)

    @property
    def services(self) -> list[Any]:
        """The services that have been made."""
        return list(self._services.values())

    def limit_rates(self) -> None:
        """Limit the rates of the requests that clients send, if the site says so.

        Called when :attr:`spend` is known.
        """
        if self.limits.rates != Rates():
            # A log may block, and a message is refused where nothing may.
            warn = partial(self.scheduler.spawn, self.warn)
            self.rates = RequestRates(self.limits.rates, self.make_limit, self.scheduler, warn)

    def make_limit(self, scope: str, rate: Rate) -> Limit:
        """Return a limit that each of many names has for itself; in a cluster, at all nodes.

        :param scope: names the limit, the same at all nodes.
        """
        scheduler = self.scheduler
        limit = make_buckets(scheduler, rate.per_second, rate.burst)
        if self.spend is None:
            return limit
        return ClusteredRateLimit(scope, limit, scheduler, self.spend)

    def service(self, key: object, make: Callable[[Runtime], S]) -> S:
        """Return the service of this app that belongs to ``key``, made when it is first needed.

        Several apps may share one router with a ``session_handler``, say; each app has
        calls of its own.

        :param key: of the middleware, such as its handler object.
        :param make: called with this runtime. Of several threads, the first wins.
        """
        service: S | None = self._services.get(key)
        if service is None:
            service = self._services.setdefault(key, make(self))
        return service

    def find_service(self, key: object) -> Any:
        """Return the service of ``key``; ``None`` if it was never needed."""
        return self._services.get(key)
