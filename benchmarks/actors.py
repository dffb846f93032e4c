"""The clients of a load, by their reaction to received data."""

from __future__ import annotations

import itertools
import time
from typing import Iterator, Sequence

from .client import RECEIVE, Client, Exchange, server_frame
from .frames import client_frame
from .polling import Poller
from .wires import WrongAnswer


class Caller:
    """A client that sends its next request after the answer to the last one."""

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
        """Read the received data, and tell whether it is the answer."""
        data = self._receive(RECEIVE)
        return data == self.answer or self._look_closely(data)

    def _look_closely(self, data: bytes) -> bool:
        """Put together an answer that came in pieces, and ignore pings."""
        if not data:
            raise WrongAnswer("the server has closed the connection")
        messages = self.client.take(data)
        if messages and b"".join(map(server_frame, messages)) != self.answer:
            raise WrongAnswer(f"expected {self.answer[:200]!r}, got {messages!r}")
        return bool(messages)


class Callee:
    """A client that answers requests."""

    __slots__ = ("_wire", "client")

    def __init__(self, client: Client) -> None:
        self._wire = client.wire
        self.client = client

    def finish(self) -> bool:
        """Answer the received requests. These answers are not counted."""
        for message in self.client.take(self.client.read()):
            self.client.socket.sendall(client_frame(self._wire.answer(message)))
        return False


class Bystander:
    """A client that only answers the server's pings."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    def finish(self) -> tuple[()]:
        """Read the received data. A message would be an error."""
        messages = self._client.take(self._client.read())
        if messages:
            raise WrongAnswer(f"unexpected message: {messages[0][:200]!r}")
        return ()


class Crowd:
    """Connected clients that answer pings while others are still connecting.

    Connecting thousands of clients takes as long as a server waits for the answer to a ping.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self._poller = Poller(clients)
        self._by_fd = {client.fd: Bystander(client) for client in clients}

    def add(self, client: Client) -> None:
        """Add a client to the crowd."""
        self._poller.add(client)
        self._by_fd[client.fd] = Bystander(client)

    def attend(self) -> None:
        """Answer the received pings."""
        for fd, _ in self._poller.look():
            self._by_fd[fd].finish()

    def close(self) -> None:
        """Stop answering pings. The clients stay connected."""
        self._poller.close()
