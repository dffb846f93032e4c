"""Clients that write to each other all the time while their server is replaced."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import Any, Iterator, Sequence

from protoo_flask.client import Client

#: Final answers that say that a message was not delivered, and is to be sent again as a new one:
#: its receiver is not back yet, or cannot be reached.
NOT_DELIVERED = (404, 410, 503)

#: Seconds of a client's own delay before it reconnects: short ones, for short tests.
RECONNECT = (0.2, 1.0)


class Writer:
    """A client with ``repeat``, which writes to another one, and answers what it gets.

    :ivar acknowledged: how many times each of its messages was accepted.
    :ivar arrived: how many times each message has come here.
    :ivar closes: the codes and reasons with which its connections have ended.
    :ivar faults: answers that must not be.
    :ivar statuses: all final answers, counted.
    :ivar longest: seconds that a message has taken until it was acknowledged, at most.
    """

    def __init__(self, ports: Sequence[int], name: str, partner: str) -> None:
        self.name = name
        self.partner = partner
        self.acknowledged: Counter[str] = Counter()
        self.arrived: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        #: The messages that were not delivered at first: text, status, reason.
        self.failures: list[tuple[str, int, str]] = []
        self.closes: list[tuple[int, str]] = []
        self.faults: list[Any] = []
        self.longest = 0.0
        self._is_over = threading.Event()
        self.client = Client(
            f"ws://127.0.0.1:{ports[0]}/protoo?username={name}",
            name,
            repeat=True,
            reconnect=RECONNECT,
            request_timeout=60,
        )
        self.client.on("request", self._take)
        self.client.on("close", lambda closed: self.closes.append((closed.code, closed.reason)))
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End with the message that is on its way."""
        self._is_over.set()

    def join(self) -> None:
        self._thread.join(60)
        if self._thread.is_alive():
            self.faults.append("it still waits for an answer")

    def _take(self, request: Any) -> None:
        self.arrived[request.data["n"]] += 1
        request.reply(200)

    def _write(self) -> None:
        number = 0
        while not self._is_over.is_set():
            number += 1
            self._deliver(f"{self.name} {number}")
            time.sleep(0.002)

    def _deliver(self, text: str) -> None:
        began = time.monotonic()
        while True:
            response = self.client.request("message", f"/users/{self.partner}", {"n": text})
            self.statuses[response.status] += 1
            if response.status == 200:
                self.acknowledged[text] += 1
                self.longest = max(self.longest, time.monotonic() - began)
                return
            if response.status not in NOT_DELIVERED or response.is_local:
                self.faults.append((text, response))
                return
            self.failures.append((text, response.status, response.reason))
            time.sleep(0.05)


@contextlib.contextmanager
def load(ports: Sequence[int], pairs: int) -> Iterator[list[Writer]]:
    """Have pairs of clients write to each other meanwhile.

    :param ports: of the servers; the two of a pair are at different ones, if there are two.
    """
    writers = []
    for number in range(pairs):
        one, other = f"one{number}", f"other{number}"
        writers += [Writer(ports, one, other), Writer(ports[::-1], other, one)]
    for writer in writers:
        writer.client.connect(20)
    try:
        for writer in writers:
            writer.start()
        yield writers
    finally:
        for writer in writers:
            writer.stop()
        for writer in writers:
            writer.join()
        for writer in writers:
            writer.client.close()


def check_nothing_lost(writers: Sequence[Writer]) -> None:
    """Check that each message was acknowledged once, and has arrived once."""
    by_name = {writer.name: writer for writer in writers}
    assert [fault for writer in writers for fault in writer.faults] == []
    for writer in writers:
        assert set(writer.acknowledged.values()) <= {1}
        arrived = by_name[writer.partner].arrived
        assert arrived == writer.acknowledged
