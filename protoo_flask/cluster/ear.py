"""The ear of a node: the proof that both connections work.

After a failover, a client of Redis can be connected, and hear nothing for ever. A Redis that was
stopped accepts commands until its buffers are full. So a node sends a frame to itself, by Redis,
once in a while. Its receipt proves the writer, and hearing anything proves the reader. If
either fails for too long, both connections are given up.

A process that was stopped itself has read nothing meanwhile: it gets the whole time once more.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.scheduling import Scheduler, Timer, call_later_if_alive
from .bus import Bus

#: Seconds between two probes, and between two looks.
PROBE_INTERVAL = 1.0
LOOK_INTERVAL = 0.5

#: Seconds for a probe to be heard. Items that are sent meanwhile are lost later.
MAX_SILENCE = 2.5


class Ear:
    """The ear.

    :param on_failure: ``on_failure(reason)``: called once for each :meth:`start`.
    """

    def __init__(self, scheduler: Scheduler, bus: Bus, on_failure: Callable[[str], Any]) -> None:
        self._scheduler = scheduler
        self._bus = bus
        self._on_failure = on_failure
        self._lock = scheduler.lock()
        self._is_on = False
        self._timer: Timer | None = None
        self._is_answered = True
        self._sent = self._looked = 0.0

    def start(self) -> None:
        """Begin, with connections that have just been opened."""
        with self._lock:
            self._is_on = True
            self._look_later()
        self._send()

    def stop(self) -> None:
        """End: the connections have ended."""
        with self._lock:
            self._is_on = False
            if self._timer is not None:
                self._timer.cancel()

    def _send(self) -> None:
        self._sent = self._looked = self._scheduler.now()
        self._is_answered = self._bus.has_heard = False
        self._bus.probe(self._take_receipt)

    def _take_receipt(self, receivers: Any) -> None:
        # An error is an answer, too. With no receiver, nobody hears: that is what is looked for.
        self._is_answered = True

    def _look_later(self) -> None:
        with self._lock:
            if self._is_on:
                self._timer = call_later_if_alive(self._scheduler, LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        now = self._scheduler.now()
        if now - self._looked > 2 * LOOK_INTERVAL:
            self._sent = now  # this process has done nothing for a while
        self._looked = now
        waited = now - self._sent
        if self._is_answered and self._bus.has_heard:
            if waited >= PROBE_INTERVAL:
                self._send()
        elif waited >= MAX_SILENCE:
            if self._is_on:
                self._on_failure(self._explain())
            return
        self._look_later()

    def _explain(self) -> str:
        if not self._is_answered:
            return f"Redis has not replied for {MAX_SILENCE:g} seconds"
        return (
            f"Redis has delivered no message of this process to itself for {MAX_SILENCE:g} seconds"
        )
