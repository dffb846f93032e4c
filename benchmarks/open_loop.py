"""An open loop: requests at a fixed rate, even if earlier ones are not answered yet."""

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
    """A client that sends requests without waiting for earlier answers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._exchanges = itertools.cycle(client.exchanges)
        #: (due time, expected answer) of each unanswered request.
        self._under_way: deque[tuple[float, bytes]] = deque()

    def send(self, due: float) -> None:
        frame, answer = next(self._exchanges)
        self._under_way.append((due, answer))
        self._client.socket.sendall(frame)

    def finish(self) -> list[float]:
        """Read the received answers, and return the due times of their requests."""
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
    """Let the callers in turn send requests that are due at even intervals.

    :param idle: connected clients that only answer pings.
    :returns: the seconds from the due time of each request to its answer. A request that is sent
        late also counts from its due time.
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
            # Never sleep: no other process uses this processor, and waking up takes longer than
            # some answers.
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
