"""The requests of one client: how many are handled at once, and which wait for that."""

from __future__ import annotations

from collections import deque
from typing import Any, ContextManager

from .request import Request
from .scheduling import one_step

#: Bytes of requests that may wait for the one being handled.
MAX_BACKLOG = 1024 * 1024

#: Bytes that a waiting request takes besides its payload. Without them, a backlog of
#: tiny requests would be thirty times as large as it says.
REQUEST_SIZE = 700


class Backlog:
    """Requests that wait, in order of arrival.

    :param parallel: how many requests may be handled at once.
    :ivar size: bytes that wait.
    """

    __slots__ = ("_active", "_waiting", "parallel", "size")

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        self._active = 0
        #: Made when something waits: an empty one is a tenth of an idle connection's memory.
        self._waiting: deque[tuple[Request, int]] | None = None
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be read. What has been read always finds a place."""
        return self.size > MAX_BACKLOG

    def claim(self, request: Request, length: int) -> bool:
        """Take a place among those being handled; ``False`` when the request has to wait.

        :param length: bytes of its message.
        """
        if self._active < self.parallel:
            self._active += 1
            return True
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((request, length + REQUEST_SIZE))
        self.size += length + REQUEST_SIZE
        return False

    def claim_all(self) -> None:
        """Take all places: nothing is to be handled yet."""
        self._active = self.parallel

    def pass_on(self) -> Request | None:
        """Pass a place on to the request that has waited longest, or give it back."""
        if not self._waiting:
            self._active -= 1
            return None
        request, size = self._waiting.popleft()
        self.size -= size
        return request

    def drop(self) -> list[Request]:
        """Return what waits, and forget it: it will not be handled."""
        dropped = [request for request, _ in self._waiting or ()]
        self._waiting = None
        self.size = 0
        return dropped


class SharedBacklog(Backlog):
    """One that threads take from.

    :param lock: the connection's, which is held by whoever calls the other methods.
    """

    __slots__ = ("_lock",)

    def __init__(self, parallel: int, lock: ContextManager[Any]) -> None:
        super().__init__(parallel)
        self._lock = lock

    claim = one_step(Backlog.claim)
    pass_on = one_step(Backlog.pass_on)
