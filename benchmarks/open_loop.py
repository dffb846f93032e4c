"""An open loop: requests at a fixed rate, whatever has become of the earlier ones."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import Sequence

from .actors import Bystander
from .client import Client, server_frame
from .polling import polling
from .wires import WrongAnswer


class Sender:
    """A client that does not wait for answers before it sends more."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._exchanges = itertools.cycle(client.exchanges)
        #: When each request that is under way was due, and what has to come back.
        self._under_way: deque[tuple[float, bytes]] = deque()

    def send(self, due: float) -> None:
        frame, answer = next(self._exchanges)
        self._under_way.append((due, answer))
        self._client.socket.sendall(frame)

    def finish(self) -> list[float]:
        """Read what has come: return when the requests that it answers had been due."""
        data = self._client.read()
        if self._under_way and data == self._under_way[0][1]:
            return [self._under_way.popleft()[0]]
        finished = []
        for message in self._client.take(data):
            due, answer = self._under_way.popleft()
            if server_frame(message) != answer:
                raise WrongAnswer(f"expected {answer[:200]!r}, got {message[:200]!r}")
            finished.append(due)
        return finished


def run_open_loop(
    callers: Sequence[Client], idle: Sequence[Client], rate: float, seconds: float
) -> list[float]:
    """Let the callers, in turn, send requests that are due at even intervals.

    :param idle: clients that are merely connected.
    :returns: the seconds from when a request was due until its answer came. A request
        that is sent late because everything is late counts from when it was due.
    """
    senders = {client.fd: Sender(client) for client in callers}
    by_fd: dict[int, Sender | Bystander] = {
        **senders,
        **{client.fd: Bystander(client) for client in idle},
    }
    turns = itertools.cycle(senders.values())
    count = int(rate * seconds)
    latencies: list[float] = []
    sent = 0
    now = time.perf_counter
    with polling([*callers, *idle]) as poller:
        begin = now()
        while len(latencies) < count:
            # Never asleep: the processor is ours, and waking up takes longer than some answers.
            ready = poller.look()
            for fd, _ in ready:
                for due in by_fd[fd].finish():
                    latencies.append(now() - due)
            if sent < count:
                due = begin + sent / rate
                if now() >= due:
                    next(turns).send(due)
                    sent += 1
    return latencies
