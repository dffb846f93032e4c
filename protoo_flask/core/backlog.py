"""A backlog: the requests of one device that wait, and the reasons for which they wait.

A :class:`~.workload.Workload` has one only while something is not as usual. Requests wait
because as many are being handled as may be, because the site has not been told of their link
yet, or because too many earlier requests have no answer.

A request waits as its text. The objects that are made of a text take up to fifty times as
much memory (``[[],[],...]``), so they are made when it is the request's turn.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Protocol

#: Bytes of requests that may wait, for each device. Beyond it, reading pauses.
MAX_BACKLOG = 1024 * 1024

#: Bytes of requests that still find a place while reading pauses: those that a link has read
#: already. A link reads 16 KiB at a time. Only many links, one after the other, have more.
MAX_EXCESS = 1024 * 1024

#: Bytes that a waiting request takes besides its text, as measured: its record, its place in
#: the backlog, and that among the requests that have no answer.
REQUEST_SIZE = 300

#: Bytes that each link more takes which has requests in the backlog: the handshake, with its
#: headers and session, is kept for them when the connection is over.
LINK_SIZE = 16 * 1024


class Source(Protocol):
    """The link that a request came by: an inbox."""

    @property
    def origin(self) -> object:
        """Tells it from other links of the device."""

    @property
    def is_removed(self) -> bool:
        """Whether the site has closed its peer: then nothing of it is handled any more."""

    def handle_waiting(self, request: WaitingRequest) -> None:
        """Handle a request: it has a place now. May block."""

    def turn_down(self, request: WaitingRequest, status: int, reason: str) -> None:
        """Answer a request that is not going to be handled."""

    def forget(self, request: WaitingRequest) -> None:
        """Forget a request that was dropped: a repetition of it is to be handled."""

    def resume_reading(self) -> None:
        """Let the link read again."""


class WaitingRequest:
    """A request that waits: its text, and what its transaction has to know.

    It is an :class:`~.transactions.inquiry.Inquiry`.
    """

    __slots__ = ("fingerprint", "id", "payload", "repetition", "source")

    #: No handler has seen it.
    is_left_open = False

    def __init__(self, source: Source, payload: bytes, id: int | None, fingerprint: int) -> None:
        self.source = source
        self.payload = payload
        self.id = id
        self.fingerprint = fingerprint
        self.repetition: tuple[bytes, ...] = ()

    @property
    def origin(self) -> object:
        """Tells the link that it came by from others of the device."""
        return self.source.origin


class Backlog:
    """The requests of one device that wait, in order, and the places that are not free.

    :ivar size: bytes of the requests that wait, with everything that they keep.
    :ivar running: places of handlers that are expected to return.
    :ivar stuck: handlers that are not expected to return any more.
    :ivar trusted: requests that were started since handlers are stuck; so their places count.
    :ivar opening: links of which the site has not been told yet.
    :ivar paused: links that do not read.
    :ivar is_held: whether too many requests have no answer.
    :ivar when_done: called when the last of it is done; the device has gone. Else ``None``.
    """

    __slots__ = (
        "_excess",
        "_requests",
        "_sources",
        "is_held",
        "opening",
        "paused",
        "running",
        "size",
        "stuck",
        "trusted",
        "when_done",
    )

    def __init__(self, running: int) -> None:
        self._requests: deque[WaitingRequest] | None = None
        #: {link: how many requests of it wait}
        self._sources: dict[Source, int] = {}
        self._excess = 0
        self.size = 0
        self.running = running
        self.stuck = 0
        self.trusted: set[Any] = set()
        self.opening: set[Source] = set()
        self.paused: set[Source] = set()
        self.is_held = False
        self.when_done: Callable[[], None] | None = None

    def __len__(self) -> int:
        return 0 if self._requests is None else len(self._requests)

    @property
    def is_full(self) -> bool:
        """Whether reading should pause."""
        return self.size > MAX_BACKLOG

    @property
    def is_needed(self) -> bool:
        """Whether anything is not as usual."""
        return bool(
            self._requests
            or self.opening
            or self.stuck
            or self.paused
            or self.is_held
            or self.when_done is not None
        )

    @property
    def is_ready(self) -> bool:
        """Whether the request that has waited longest may be handled, if there is a place.

        Requests of an earlier link never come after those of a newer one: a link that was
        replaced is not read.
        """
        if not self._requests or self.is_held:
            return False
        return self._requests[0].source not in self.opening

    def append(self, request: WaitingRequest) -> bool:
        """Let a request wait; ``False`` when there is no place at all for it."""
        size = len(request.payload) + REQUEST_SIZE
        if self.is_full:
            if self._excess > MAX_EXCESS:
                return False
            self._excess += size
        if self._requests is None:
            self._requests = deque()
        self._requests.append(request)
        self.size += size
        count = self._sources.get(request.source, 0)
        if not count and self._sources:
            self.size += LINK_SIZE
        self._sources[request.source] = count + 1
        return True

    def pop(self) -> WaitingRequest:
        """Take the request that has waited longest."""
        assert self._requests
        request = self._requests.popleft()
        self._forget(request)
        return request

    def take(self, is_wanted: Callable[[WaitingRequest], bool]) -> list[WaitingRequest]:
        """Take all the requests that are wanted."""
        requests = self._requests or ()
        wanted = [request for request in requests if is_wanted(request)]
        if wanted:
            self._requests = deque(request for request in requests if not is_wanted(request))
            for request in wanted:
                self._forget(request)
        return wanted

    def _forget(self, request: WaitingRequest) -> None:
        self.size -= len(request.payload) + REQUEST_SIZE
        count = self._sources[request.source] - 1
        if count:
            self._sources[request.source] = count
        else:
            del self._sources[request.source]
            if self._sources:
                self.size -= LINK_SIZE
        if not self.is_full:
            self._excess = 0
