"""Metrics for Prometheus: the tallies of all apps, entered into objects of ``prometheus_client``.

=====================  ====================================================================
a process is           the tallies are entered
=====================  ====================================================================
alone                  when somebody collects from the registry
one of several         once a second while there are clients, when this process is scraped,
(PROMETHEUS_MULTIPROC  and when it ends; each into a file of this process, and a scrape of
_DIR)                  any of them reads the files of all
=====================  ====================================================================

A tally grows for ever, and what is entered is its growth. So the site's own metrics, registries and
pages of ``prometheus_client`` work with these as with any.
"""

from __future__ import annotations

import atexit
import hmac
import logging
import os
import re
import time
import weakref
from typing import Any, Callable, Iterable, Sequence

import prometheus_client
from flask import Response, request
from gevent import monkey
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry
from prometheus_client.values import ValueClass

from ..core.errors import UsageError
from ..core.observer import Observer
from ..core.scheduling import call_later_if_alive
from ..transport.forked_child import inherit
from .catalogue import BUCKETS, CATALOGUE, GAUGE, HISTOGRAM, MAX, METRICS, Metric
from .ledger import Ledger
from .tally import Durations, Key, Tally

#: Seconds between two times that the tallies are entered, with several processes.
INTERVAL = 1.0

#: Entering takes one of so many parts of the time, at most, however many peers there are.
SHARE = 100

#: Characters of a token: a shorter one could be found by trying.
MIN_TOKEN = 16

#: No line break of a file of the token: no header has one, so nobody could show that token.
_TOKEN = re.compile(rf"[!-~][ -~]{{{MIN_TOKEN - 2},}}[!-~]")

logger = logging.getLogger(__name__)

make_real_lock = monkey.get_original("_thread", "RLock")


class PrometheusMetrics(Observer, Collector):
    """The metrics of all apps of a ``Protoo``; docs/observability.md has a table of them.

    ::

        metrics = protoo.observe(PrometheusMetrics())
        app.add_url_rule("/metrics", view_func=metrics.view(token=os.environ["METRICS_TOKEN"]))

    :param registry: of ``prometheus_client``; by default, that which all libraries use.
    :param buckets: upper bounds of the durations of requests: seconds, the lowest first.
    :raises UsageError: when the registry has such metrics, or for buckets that do not rise.
    """

    is_guarded = False

    def __init__(
        self, registry: CollectorRegistry | None = None, buckets: Sequence[float] = BUCKETS
    ) -> None:
        bounds = list(buckets)
        if not bounds or bounds != sorted(set(bounds)):
            raise UsageError(f"buckets are numbers of seconds that rise, not {buckets!r}")
        self._bounds = bounds
        #: Whether there are several processes, as prometheus_client has found out.
        self.is_one_of_several: bool = getattr(ValueClass, "_multiprocess", False)
        self._lock = make_real_lock()
        self._ledgers: list[Ledger] = []
        self._delay = INTERVAL
        #: Until then, nothing is entered for a process without clients.
        self._rest = 0.0
        self._gauges: dict[Key, float] = {}
        self._has_complained = False
        if self.is_one_of_several:
            _check_folder()
        self._metrics = {metric.name: self._make(metric) for metric in METRICS}
        self._registry = REGISTRY if registry is None else registry
        if self.is_one_of_several:
            atexit.register(_enter_at_exit, weakref.ref(self))
        else:
            self._register()
        inherit(self)

    def _make(self, metric: Metric) -> Any:
        # In no registry: the one of this object collects from all of them.
        common: dict[str, Any] = {"labelnames": metric.labels, "registry": None}
        if metric.kind is GAUGE:
            return prometheus_client.Gauge(
                metric.name, metric.meaning, multiprocess_mode=metric.mode, **common
            )
        if metric.kind is HISTOGRAM:
            return prometheus_client.Histogram(
                metric.name, metric.meaning, buckets=self._bounds, **common
            )
        return prometheus_client.Counter(metric.name, metric.meaning, **common)

    def _register(self) -> None:
        try:
            self._registry.register(self)
        except ValueError as error:
            raise UsageError(
                "this registry has metrics of protoo already. One PrometheusMetrics serves all "
                "apps of a process: make it once, beside the Protoo; or give each a registry of "
                "its own, as tests do: PrometheusMetrics(registry=CollectorRegistry())"
            ) from error

    # For Protoo.observe() ----------------------------------------------------------------

    def begin_app(self) -> Tally:
        tally = Tally(self._bounds, self._wake)
        with self._lock:
            self._ledgers.append(Ledger(tally))
        return tally

    # For a registry of prometheus_client ---------------------------------------------------

    def describe(self) -> Iterable[Any]:
        """Return the metrics without values."""
        for metric in self._metrics.values():
            yield from metric.describe()

    def collect(self) -> Iterable[Any]:
        """Return the metrics of this process, with the values of this moment."""
        self.enter()
        for metric in self._metrics.values():
            yield from metric.collect()

    # For the site ------------------------------------------------------------------------

    def view(self, token: str | None) -> Callable[[], Response]:
        """Return a view that shows all metrics of the site to Prometheus.

        The numbers tell strangers how busy a site is, and when it is weak. So Prometheus has to
        show a secret: ``authorization: {credentials: ...}`` in its scrape configuration.

        :param token: the secret, 16 characters of ASCII or more. ``None``:
            everybody may see the metrics who can reach the view; a proxy, or a decorator of the
            site, protects it.
        :raises UsageError: for any other token.
        """
        if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
            raise UsageError(
                f"view(token) takes a secret text of {MIN_TOKEN} characters or more, of ASCII and "
                "without spaces or line breaks around it, which Prometheus sends as "
                "`Authorization: Bearer <token>`; or None, if something else protects the view"
            )
        expected = None if token is None else f"Bearer {token}".encode()

        def protoo_metrics() -> Response:
            if expected is not None:
                shown = request.headers.get("Authorization", "").encode()
                if not hmac.compare_digest(shown, expected):
                    headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
                    return Response("show the token\n", 401, headers, mimetype="text/plain")
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            response = Response(encode(self._find_registry()), content_type=content_type)
            response.headers["Cache-Control"] = "no-store"
            return response

        return protoo_metrics

    def _find_registry(self) -> CollectorRegistry:
        if not self.is_one_of_several:
            return self._registry
        self.enter()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    # Entering ----------------------------------------------------------------------------

    def enter(self) -> None:
        """Enter the tallies into the objects of ``prometheus_client``; never blocks."""
        begun = time.monotonic()
        with self._lock:
            gauges = dict.fromkeys(self._gauges, 0.0)
            for ledger in self._ledgers:
                for key, value in ledger.gauges().items():
                    is_max = CATALOGUE[key[0]].mode is MAX
                    before = gauges.get(key, 0)
                    gauges[key] = max(before, value) if is_max else before + value
                for key, growth in ledger.take_counts():
                    self._find(key).inc(growth)
                for durations in ledger.take_durations():
                    self._enter_durations(durations)
            self._set_gauges(gauges)
            self._ledgers = [ledger for ledger in self._ledgers if not ledger.is_over]
        self._delay = max(INTERVAL, SHARE * (time.monotonic() - begun))

    def _set_gauges(self, gauges: dict[Key, float]) -> None:
        for key, value in gauges.items():
            if self._gauges.get(key) != value:
                self._find(key).set(value)
        self._gauges = gauges

    def _find(self, key: Key) -> Any:
        name, labels = key
        metric: MetricWrapperBase = self._metrics[name]
        return metric.labels(*labels) if labels else metric

    def _enter_durations(self, durations: Durations) -> None:
        child = self._metrics["protoo_request_duration_seconds"].labels(durations.method)
        # observe() takes one duration, and there may be a million since the last scrape.
        for value, growth in zip(child._buckets, durations.buckets):
            if growth:
                value.inc(growth)
        child._sum.inc(durations.seconds)

    # Several processes ---------------------------------------------------------------------

    def _wake(self, tally: Tally) -> None:
        """Take note that something rare has happened in an app: a client has come, say."""
        if not self.is_one_of_several:
            return
        application = tally.application
        if application is None:
            # There is no loop yet, and nobody has come: refusals of handshakes.
            if time.monotonic() >= self._rest:
                self._rest = time.monotonic() + INTERVAL
                self.enter()
            return
        for ledger in self._ledgers:
            if ledger.tally is tally and not ledger.is_awaited:
                self._await(ledger)

    def _await(self, ledger: Ledger) -> None:
        application = ledger.tally.application
        if application is not None:
            ledger.is_awaited = True
            call_later_if_alive(
                application.runtime.scheduler, self._delay, self._enter_in_time, ledger
            )

    def _enter_in_time(self, ledger: Ledger) -> None:
        ledger.is_awaited = False
        try:
            self.enter()
        except OSError as error:
            self._complain(error)
        if ledger.has_peers:
            self._await(ledger)  # else when the next one comes

    def _complain(self, error: OSError) -> None:
        """Log that the files cannot be written, once: the disk is full, say."""
        if not self._has_complained:
            self._has_complained = True
            logger.error("the metrics of this process cannot be written: %s", error)

    def leave_to_parent(self) -> None:
        """Begin anew in a forked process; see :mod:`..transport.forked_child`."""
        self._lock = make_real_lock()
        self._rest = 0.0
        self._gauges = {}
        for ledger in self._ledgers:
            ledger.reset()

    def finish(self) -> None:
        """Enter everything, when the process ends; it has no peers any more."""
        self.enter()
        with self._lock:
            self._set_gauges(dict.fromkeys(self._gauges, 0.0))


def _enter_at_exit(weak: Any) -> None:
    metrics = weak()
    if metrics is not None:
        metrics.finish()


def _check_folder() -> None:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
    if not os.path.isdir(folder):
        raise UsageError(
            f"PROMETHEUS_MULTIPROC_DIR is {folder!r}, and there is no such directory: make it "
            "before the server starts, and empty it (docs/observability.md)"
        )
