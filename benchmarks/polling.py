"""Waits for many clients at once."""

from __future__ import annotations

import contextlib
import gc
import select
from typing import Any, Iterator, Sequence

from .client import TIMEOUT, Client
from .wires import WrongAnswer


class Poller:
    """Tells which clients have data to read: with epoll, or with poll if there is no epoll."""

    def __init__(self, clients: Sequence[Client]) -> None:
        is_epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if is_epoll else select.poll()
        self._readable = select.EPOLLIN if is_epoll else select.POLLIN
        self._second = 1 if is_epoll else 1000
        for client in clients:
            self.add(client)

    def add(self, client: Client) -> None:
        """Watch another client."""
        self._poll.register(client.fd, self._readable)

    def wait(self) -> list[tuple[int, int]]:
        """Wait for readable descriptors, and return at least one."""
        ready: list[tuple[int, int]] = self._poll.poll(TIMEOUT * self._second)
        if not ready:
            raise WrongAnswer(f"no answer within {TIMEOUT} seconds")
        return ready

    def look(self) -> list[tuple[int, int]]:
        """Return the descriptors that are readable now, without waiting."""
        ready: list[tuple[int, int]] = self._poll.poll(0)
        return ready

    def close(self) -> None:
        if hasattr(self._poll, "close"):
            self._poll.close()


@contextlib.contextmanager
def polling(clients: Sequence[Client]) -> Iterator[Poller]:
    """Watch clients with garbage collection turned off, as it is slow with 10 000 clients."""
    poller = Poller(clients)
    gc.collect()
    gc.disable()
    try:
        yield poller
    finally:
        gc.enable()
        poller.close()
