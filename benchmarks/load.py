"""Closed loops: what many clients do at once, each waiting for its answers.

The load generator is one thread without frameworks. It has a processor of its own, and
what it costs is not counted; but it has to be faster than the servers, or it would be
what is measured. So the loops compare the bytes that come with those that should come,
and do anything else only when they differ.
"""

from __future__ import annotations

import itertools
import time
from typing import Callable, Iterator, Sequence

from .client import RECEIVE, Client, Exchange, server_frame
from .frames import client_frame
from .polling import polling
from .wires import Protoo, WrongAnswer


class Caller:
    """A client that sends its next request when the answer to the last one is there."""

    __slots__ = ("_exchanges", "_receive", "_send", "answer", "client", "sent_at")

    def __init__(self, client: Client) -> None:
        self.client = client
        self._exchanges: Iterator[Exchange] = itertools.cycle(client.exchanges)
        self._receive = client.socket.recv
        self._send = client.socket.sendall
        self.answer = b""
        self.sent_at = 0.0

    def start(self) -> None:
        """Send the next request."""
        frame, self.answer = next(self._exchanges)
        self.sent_at = time.perf_counter()
        self._send(frame)

    def finish(self) -> bool:
        """Read what has come, and tell whether that is the answer."""
        data = self._receive(RECEIVE)
        return data == self.answer or self._look_closely(data)

    def _look_closely(self, data: bytes) -> bool:
        """Put together what came in pieces, and leave out what came besides."""
        if not data:
            raise WrongAnswer("the server has closed the connection")
        messages = self.client.take(data)
        if messages and b"".join(map(server_frame, messages)) != self.answer:
            raise WrongAnswer(f"expected {self.answer[:200]!r}, got {messages!r}")
        return bool(messages)


class Callee:
    """A client that answers what it is asked."""

    __slots__ = ("_wire", "client")

    def __init__(self, client: Client) -> None:
        assert isinstance(client.wire, Protoo)
        self._wire = client.wire
        self.client = client

    def finish(self) -> bool:
        """Answer what has come; nothing that anybody counts."""
        for message in self.client.take(self.client.read()):
            self.client.socket.sendall(client_frame(self._wire.answer(message)))
        return False


def run_closed_loop(
    callers: Sequence[Client], seconds: float, callees: Sequence[Client] = ()
) -> list[float]:
    """For so long, let each caller send its next request when its last is answered.

    :param callees: who answers, if requests are passed on to other clients.
    :returns: the seconds that each answer took to come.
    """
    waiting = [Caller(client) for client in callers]
    by_fd: dict[int, Caller | Callee] = {caller.client.fd: caller for caller in waiting}
    by_fd.update((client.fd, Callee(client)) for client in callees)
    latencies: list[float] = []
    now = time.perf_counter
    under_way = len(waiting)
    with polling([*callers, *callees]) as poller:
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


def run_pipelined(client: Client, count: int, depth: int) -> float:
    """Send ``depth`` requests at a time over one connection, and the next when all are answered.

    :returns: the seconds that it took in all.
    """
    exchanges = client.exchanges
    batches = [exchanges[begin : begin + depth] for begin in range(0, len(exchanges), depth)]
    turns = itertools.cycle(
        [
            (b"".join(frame for frame, _ in batch), b"".join(answer for _, answer in batch))
            for batch in batches
            if len(batch) == depth
        ]
    )
    begin = time.perf_counter()
    for frames, answers in itertools.islice(turns, count // depth):
        client.socket.sendall(frames)
        data = client.read()
        while len(data) < len(answers):
            data += client.read()
        if data != answers:
            raise WrongAnswer(f"expected {answers[:200]!r}, got {data[:200]!r}")
    return time.perf_counter() - begin


def run_fan_out(start: Callable[[], None], recipients: Sequence[Client], expected: bytes) -> None:
    """Start something, and wait until each of the recipients has got the expected frame."""
    missing = {client.fd: client for client in recipients}
    with polling(recipients) as poller:
        start()
        while missing:
            for fd, _ in poller.wait():
                client = missing.get(fd)
                if client is None:
                    continue
                data = client.read()
                if data == expected:
                    del missing[fd]
                    continue
                messages = client.take(data)
                if messages:
                    if [server_frame(message) for message in messages] != [expected]:
                        raise WrongAnswer(f"expected {expected[:200]!r}, got {messages!r}")
                    del missing[fd]
