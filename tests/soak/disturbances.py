"""The disturbances of the soak: what happens to workers and to Redis while it goes on.

====================  ============================================================================
disturbance           what devices may notice
====================  ============================================================================
a worker is killed    Close 1006; the peers that were there are lost: they are other ones next time
a worker hangs        no answers; after ten seconds, others take its peers for offline
a worker is replaced  Close 1001; each peer is the same one when its device is back in time
Redis is disturbed    503 instead of peers at other workers; no connection ends, and no peer is lost
====================  ============================================================================

While Redis is away, a device that connects to another worker than before is another peer: nobody
can tell that worker of the former one. So devices return to where they were.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any, Callable, Sequence

import gevent

from .scenario import Scenario
from .servers import Redis, Worker

#: Seconds that Redis hangs, or is away: it is noticed after four.
OUTAGE = 7.0

#: Seconds that a worker hangs, at most: it is taken for dead after ten.
MAX_STOP = 12.0

#: Seconds until all is well after Redis is back.
RECOVERY = 30.0


class Disturbances:
    """What is done to the servers."""

    def __init__(
        self,
        scenario: Scenario,
        workers: Sequence[Worker],
        redis: Redis | None,
        rnd: random.Random,
    ) -> None:
        self._scenario = scenario
        self._workers = workers
        self._redis = redis
        self._rnd = rnd
        self._greenlets: list[gevent.Greenlet] = []
        #: Seconds until all is well after the last one.
        self.settle = 0.0

    def begin(self, options: Any) -> None:
        """Begin, as the command line says."""
        self._scenario.may_lose_peers = bool(options.kill or options.stop)
        for seconds, function, settle in [
            (options.kill, self._kill, 15.0),
            (options.stop, self._stop, 15.0 + MAX_STOP),
            (options.hup, self._replace, 10.0),
        ]:
            if seconds:
                self._repeat(seconds, function, settle)
        if options.redis:
            kind, seconds = options.redis
            self._repeat(float(seconds), partial(self.disturb_redis, kind), RECOVERY)

    def finish(self) -> None:
        """Wait until all is over."""
        gevent.joinall(self._greenlets, raise_error=True)

    def _repeat(self, seconds: float, function: Callable[[], Any], settle: float) -> None:
        self.settle = max(self.settle, settle)
        self._greenlets.append(gevent.spawn(self._go_on, seconds, function))

    def _go_on(self, seconds: float, function: Callable[[], Any]) -> None:
        while True:
            gevent.sleep(seconds)
            if not self._scenario.is_disturbed:
                return
            function()

    def _choose(self, verb: str) -> Worker:
        worker = self._rnd.choice(self._workers)
        print(f"{verb} worker {worker.number}", flush=True)
        return worker

    def _kill(self) -> None:
        self._choose("kill -9 of").kill()

    def _replace(self) -> None:
        self._choose("HUP of").replace()

    def _stop(self) -> None:
        seconds = self._rnd.uniform(1, MAX_STOP)
        with self._choose(f"SIGSTOP for {seconds:.1f} s of").stopped():
            gevent.sleep(seconds)

    def disturb_redis(self, kind: str) -> None:
        """Do something to Redis: "restart", "pause" or "away"; returns when all is well again."""
        print(f"Redis: {kind}", flush=True)
        redis = self._redis
        assert redis is not None
        self._scenario.is_redis_away = True
        if kind == "pause":
            with redis.paused():
                gevent.sleep(OUTAGE)
        else:
            redis.kill()
            if kind == "away":
                gevent.sleep(OUTAGE)
            redis.start()
        self._await_recovery()
        self._scenario.is_redis_away = False

    def _await_recovery(self) -> None:
        since = time.monotonic()
        statuses: list[Any] = []
        gevent.sleep(1.0)  # each has noticed
        while time.monotonic() < since + RECOVERY:
            statuses = [worker.get("/status") for worker in self._workers]
            if all(status == "up" for status in statuses):
                self._scenario.count(f"recovered within {time.monotonic() - since:.0f} s")
                return
            gevent.sleep(0.2)
        self._scenario.faults.append(f"{RECOVERY:g} s after Redis is back: {statuses}")
