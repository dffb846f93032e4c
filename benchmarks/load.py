"""Closed loops: many clients at once, each waiting for its answers.

The load generator is one thread without frameworks. It has its own processor, and its CPU time
is not counted. But it has to be faster than the servers; otherwise its own speed would be
measured. So the loops only compare the received bytes with the expected ones. They look closer
only if these differ.
"""

from __future__ import annotations

import itertools
import time
from typing import Sequence

from .actors import Bystander, Callee, Caller
from .client import Client
from .polling import polling
from .wires import WrongAnswer


def run_closed_loop(
    callers: Sequence[Client],
    seconds: float,
    callees: Sequence[Client] = (),
    idle: Sequence[Client] = (),
) -> list[float]:
    """Let each caller send its next request after the answer to its last, for some seconds.

    :param callees: clients that answer relayed requests.
    :param idle: connected clients that only answer pings.
    :returns: the latency of each answer in seconds.
    """
    waiting = [Caller(client) for client in callers]
    by_fd: dict[int, Caller | Callee | Bystander] = {caller.client.fd: caller for caller in waiting}
    by_fd.update((client.fd, Callee(client)) for client in callees)
    by_fd.update((client.fd, Bystander(client)) for client in idle)
    latencies: list[float] = []
    now = time.perf_counter
    under_way = len(waiting)
    with polling([*callers, *callees, *idle]) as poller:
        end = now() + seconds
        for caller in waiting:
            caller.start()
        while under_way:
            for fd, _ in poller.wait():
                client = by_fd[fd]
                if not client.finish():
                    continue
                assert isinstance(client, Caller)
                arrived = now()
                latencies.append(arrived - client.sent_at)
                if arrived < end:
                    client.start()
                else:
                    under_way -= 1
    return latencies


def run_pipelined(client: Client, seconds: float, depth: int) -> tuple[int, float]:
    """Send ``depth`` requests at once over one connection, and again after all answers.

    :returns: the number of requests, and the seconds for all of them.
    """
    exchanges = client.exchanges
    turns = itertools.cycle(
        [
            (b"".join(frame for frame, _ in batch), b"".join(answer for _, answer in batch))
            for batch in zip(*[iter(exchanges)] * depth)
        ]
    )
    count = 0
    begin = now = time.perf_counter()
    while now < begin + seconds:
        frames, answers = next(turns)
        client.socket.sendall(frames)
        data = client.read()
        while len(data) < len(answers):
            data += client.read()
        if data != answers:
            raise WrongAnswer(f"expected {answers[:200]!r}, got {data[:200]!r}")
        count += depth
        now = time.perf_counter()
    return count, now - begin
