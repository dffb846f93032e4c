"""Closed loops: what many clients do at once, each waiting for its answers.

The load generator is one thread without frameworks. It has a processor of its own, and
what it costs is not counted; but it has to be faster than the servers, or it would be
what is measured. So the loops compare the bytes that come with those that should come,
and do anything else only when they differ.
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
    """For so long, let each caller send its next request when its last is answered.

    :param callees: who answers, if requests are passed on to other clients.
    :param idle: who is merely connected.
    :returns: the seconds that each answer took to come.
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
    """Send ``depth`` requests at once over one connection, the next when all are answered.

    :returns: how many requests there were, and the seconds that they took.
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
