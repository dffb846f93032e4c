"""The load: pairs of clients that repeat, and neighbours that measure how they are served.

The soak's scenario runs beside them. Its devices do everything that clients can do; a pair does one
thing, at a rate, and counts it: what was sent, acknowledged, and has arrived.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from typing import Any, Iterator, Sequence

import gevent

from tests.soak.client import Refused
from tests.soak.device import Device
from tests.soak.scenario import USUAL

from .endings import Endings

#: Pairs at each proxy, and messages of a pair that wait for their answers.
PAIRS, WINDOW = 2, 4

#: Seconds within which a neighbour must be answered while nothing happens to its server. Those of
#: the report are far smaller; a machine that others use may take long.
SERVED = 20.0

#: Seconds between two requests of a neighbour.
INTERVAL = 0.05

#: Seconds for all pairs to get their last answers.
PATIENCE = 60.0

OK, TOO_MANY = 200, 429

#: Stands for the answer to a request whose peer was lost with its server.
NO_ANSWER = 0


class Customer:
    """A device that is connected whenever it can be.

    :param ports: it goes on to the next one when it is refused, as with a load balancer.
    """

    def __init__(
        self, username: str, ports: Sequence[int], is_compressed: bool, **handlers: Any
    ) -> None:
        self.device = Device(username, "d", handlers, is_compressed)
        self._ports = itertools.cycle(ports)
        self._port = next(self._ports)
        #: Whether it is connected, and knows that it is who it was; else it connects once more.
        self.is_ready = False
        self._is_leaving = False
        self._keeper = gevent.spawn(self._keep)

    def _keep(self) -> None:
        while not self._is_leaving:
            if self.device.connection is None:
                self.is_ready = False
                with contextlib.suppress(OSError, Refused):
                    self.device.connect(self._port)
                if self.device.connection is None:
                    self._port = next(self._ports)
                    gevent.sleep(0.1)
                    continue
                self.is_ready = True
            self.device.ended.wait(0.2)

    def leave(self) -> None:
        self._is_leaving = True
        self._keeper.join(PATIENCE)
        self.device.leave()


class Pair:
    """A sender and a receiver. The sender repeats a message until it is acknowledged.

    A message has a number, by which the receiver knows it again: a server that was killed knows
    nothing any more, and a request that was acted upon may have no answer. (docs/wire-protocol.md)

    :ivar sent: how many different messages were sent.
    :ivar acknowledged: their numbers.
    :ivar doubled: those that have come again, and no end of a server excuses it, in words.
    """

    def __init__(
        self, name: str, ports: Sequence[int], is_compressed: bool, seed: str, endings: Endings
    ) -> None:
        self._endings = endings
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.answers: dict[int, int] = {}
        self.is_over = False
        self._rnd = random.Random(seed)
        self.receiver = Customer(f"{name}-to", ports[::-1], is_compressed, message=self._receive)
        self.sender = Customer(f"{name}-from", ports, is_compressed)
        self.arrivals: dict[int, int] = {}
        self.doubled: list[str] = []
        #: {number: when it has come first}
        self._moments: dict[int, float] = {}
        self._slots = [gevent.spawn(self._send) for _ in range(WINDOW)]

    def _receive(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        number = data["number"]
        self.arrivals[number] = self.arrivals.get(number, 0) + 1
        first = self._moments.setdefault(number, time.monotonic())
        if self.arrivals[number] > 1 and not self._endings.excuse(first):
            self.doubled.append(f"{number} after {time.monotonic() - first:.1f} s")
        return OK, "OK", {}

    def _send(self) -> None:
        path = f"/users/{self.receiver.device.username}/d"
        while not self.is_over:
            self.sent += 1
            number = self.sent
            while number not in self.acknowledged:
                asked = self.sender.device.ask("message", path, {"number": number})
                asked.done.wait()
                status = asked.answer["status"] if asked.answer else NO_ANSWER
                self.answers[status] = self.answers.get(status, 0) + 1
                if status == OK:
                    self.acknowledged.add(number)
                else:
                    gevent.sleep(0.1)  # the receiver is not there, or the sender
                self.sender.device.forget_old()
            gevent.sleep(self._rnd.random() * 0.02)

    def finish(self) -> None:
        """Send no new message; returns when all are acknowledged, or patience is at its end."""
        self.is_over = True
        gevent.joinall(self._slots, timeout=PATIENCE)

    def leave(self) -> None:
        gevent.killall(self._slots)
        self.sender.leave()
        self.receiver.leave()

    @property
    def lost(self) -> list[int]:
        """Numbers that were acknowledged and have not arrived, or never were acknowledged."""
        known = self.acknowledged & set(self.arrivals)
        return [number for number in range(1, self.sent + 1) if number not in known]

    @property
    def repeated(self) -> list[int]:
        """Numbers that have arrived more than once."""
        return [number for number, times in self.arrivals.items() if times > 1]


class Neighbours:
    """A client of each server that asks for an echo, again and again.

    Nothing may disturb it but the end or a stop of its server.

    :ivar slowest: ``{what went on: the longest time of an echo, in seconds}``.
    """

    def __init__(self, ports: Sequence[int], is_compressed: bool) -> None:
        self.occasion = "in quiet"
        self.slowest: dict[str, float] = {}
        self.faults: list[str] = []
        self.answered = 0
        self._may_suffer = False
        #: How many times it was allowed so far.
        self._disruptions = 0
        self._is_over = False
        self.customers = [
            Customer(f"neighbour{index}", [port], is_compressed) for index, port in enumerate(ports)
        ]
        self._greenlets = [gevent.spawn(self._ask, customer) for customer in self.customers]

    @contextlib.contextmanager
    def during(self, occasion: str, may_suffer: bool) -> Iterator[None]:
        """Tell what goes on, and whether connections may end and answers be late."""
        self.occasion = occasion
        self._may_suffer = may_suffer
        self._disruptions += may_suffer
        try:
            yield
            if may_suffer:
                self._await_all()
        finally:
            self._may_suffer = False
            self.occasion = "in quiet"

    def _await_all(self) -> None:
        """Wait until each has been answered on a connection of now."""
        deadline = time.monotonic() + PATIENCE
        for customer in self.customers:
            while time.monotonic() < deadline:
                if customer.is_ready and customer.device.connection is not None:
                    asked = customer.device.ask("get", "/echo")
                    if asked.done.wait(1.0) and asked.answer is not None:
                        break
                gevent.sleep(0.1)

    def _ask(self, customer: Customer) -> None:
        device = customer.device
        seen = 0
        former, was_suffering = self._disruptions, self._may_suffer
        while not self._is_over:
            gevent.sleep(INTERVAL)
            if device.connection is None or not customer.is_ready:
                continue
            began, occasion = time.monotonic(), self.occasion
            asked = device.ask("get", "/echo")
            asked.done.wait(PATIENCE)
            seconds = time.monotonic() - began
            device.forget_old()
            is_excused = was_suffering or self._may_suffer or former != self._disruptions
            former, was_suffering = self._disruptions, self._may_suffer
            if is_excused:
                seen = len(device.codes)
                continue
            if asked.answer is not None:
                self.answered += 1
                self.slowest[occasion] = max(self.slowest.get(occasion, 0.0), seconds)
            if seconds > SERVED:
                self.faults.append(
                    f"{device.name} was not served for {seconds:.1f} s during {occasion}"
                )
            if len(device.codes) > seen:
                self.faults.append(
                    f"the connection of {device.name} ended with {device.codes[seen:]} "
                    f"during {occasion}"
                )
                seen = len(device.codes)

    def leave(self) -> None:
        self._is_over = True
        gevent.joinall(self._greenlets, timeout=PATIENCE)
        gevent.killall(self._greenlets)
        for customer in self.customers:
            customer.leave()


class Load:
    """All pairs of a cell, at the proxies of its servers."""

    def __init__(
        self, ports: Sequence[int], is_compressed: bool, seed: str, endings: Endings
    ) -> None:
        self.began = time.monotonic()
        self.seconds = 0.0
        self.pairs = []
        for index in range(PAIRS):
            # Of a cluster, the sender and the receiver are at different servers, in both ways.
            turned = [*ports[index % len(ports) :], *ports[: index % len(ports)]]
            self.pairs.append(
                Pair(f"pair{index}", turned, is_compressed, f"{seed}/pair {index}", endings)
            )

    @property
    def names(self) -> list[str]:
        """The devices."""
        pairs = self.pairs
        return [side.device.name for pair in pairs for side in (pair.sender, pair.receiver)]

    def finish(self) -> None:
        for pair in self.pairs:
            pair.finish()
        self.seconds = time.monotonic() - self.began

    def leave(self) -> None:
        for pair in self.pairs:
            pair.leave()

    def faults(self) -> list[str]:
        """Return what was lost or, unless servers were killed just then, has come twice."""
        found = []
        for pair in self.pairs:
            name = pair.sender.device.name
            if pair.lost:
                found.append(f"{name}: lost {pair.lost[:10]}, {len(pair.lost)} of {pair.sent}")
            if pair.doubled:
                found.append(f"{name}: arrived more than once: {pair.doubled[:10]}")
            # The rate of the site is high enough for it.
            unusual = set(pair.answers) - (USUAL - {TOO_MANY}) - {NO_ANSWER}
            if unusual:
                found.append(f"{name}: answered with {sorted(unusual)}")
            for device in (pair.sender.device, pair.receiver.device):
                found += device.faults
        return found
