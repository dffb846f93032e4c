"""A bounded outbox: frames on their way to one client.

A frame is sent at once when nothing waits before it; what the socket does not take
is kept and flushed, in order, when it is writable again. So a client that reads
slowly receives an intact stream and delays nobody: :meth:`Outbox.send` never blocks.
What waits is bounded; a client that exceeds the bound is cut off by the owner.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager

from .channel import Channel

#: How much is joined for one write to the socket. More than a socket buffer takes at
#: once is copied in vain.
WRITE_SIZE = 256 * 1024


class Outbox:
    """Writes frames to a channel.

    :param limit: bytes that may wait. A single frame may be larger when nothing else
        waits: what a frame may measure is not the outbox's to say.
    :param on_error: called once, without arguments, when the socket cannot be written.
    """

    __slots__ = (
        "_channel",
        "_finish",
        "_held",
        "_limit",
        "_lock",
        "_on_error",
        "_partial",
        "_queue",
        "size",
    )

    def __init__(
        self,
        channel: Channel,
        limit: int,
        on_error: Callable[[], None],
        lock: ContextManager[Any],
    ) -> None:
        self._channel = channel
        self._limit = limit
        self._on_error = on_error
        self._lock = lock
        self._queue: deque[bytes | memoryview] = deque()
        # Whether the first frame in the queue has been sent in part.
        self._partial = False
        self._held = False
        self._finish: Callable[[], None] | None = None
        #: Bytes that wait.
        self.size = 0

    def send(self, frame: bytes, bounded: bool = True) -> bool:
        """Send a frame, or keep it; ``False`` when the bound is exceeded (nothing is kept).

        :param bounded: ``False`` for a Close frame, which must always find a place.
        """
        with self._lock:
            if self._queue:
                if bounded and self.size + len(frame) > self._limit:
                    return False
                self._keep(frame)
                return True
            sent = self._write(frame)
            if sent < len(frame):
                self._partial = sent > 0
                self._keep(memoryview(frame)[sent:])
                self._channel.when_writable(self._flush)
            return True

    def hold(self, first: bytes) -> None:
        """Keep ``first``, and what is sent from now on behind it, until :meth:`release`."""
        with self._lock:
            self._held = True
            # As if its beginning had been sent: it will be, whatever is discarded.
            self._partial = True
            self._keep(first)

    def release(self) -> None:
        """Send what has been held; nothing happens when nothing is."""
        with self._lock:
            held, self._held = self._held, False
        if held:
            self._flush()

    def discard(self) -> None:
        """Forget what waits, but for the rest of a frame that is partly sent."""
        with self._lock:
            if self._partial:
                rest = self._queue[0]
                self._queue = deque((rest,))
                self.size = len(rest)
            else:
                self._queue.clear()
                self.size = 0

    def finish(self, function: Callable[[], None]) -> None:
        """Call ``function()`` when everything has been sent: now, or later."""
        with self._lock:
            if self._queue:
                self._finish = function
                return
        function()

    def close(self) -> None:
        """Forget everything; the socket is gone."""
        with self._lock:
            self._queue.clear()
            self.size = 0
            self._finish = None
            self._partial = False

    def _keep(self, data: bytes | memoryview) -> None:
        self._queue.append(data)
        self.size += len(data)

    def _write(self, data: bytes | memoryview) -> int:
        try:
            return self._channel.send(data)
        except OSError:
            # The reader will see the end of the connection; what was to be sent has
            # nowhere to go.
            self._on_error()
            return len(data)

    def _flush(self) -> None:
        """Send what waits; called when the socket is writable."""
        finish = None
        with self._lock:
            while self._queue:
                data = self._take()
                sent = self._write(data)
                self.size -= sent
                if sent < len(data):
                    # Not a copy: a large frame goes out in many writes.
                    self._queue.appendleft(memoryview(data)[sent:])
                    self._partial = True
                    self._channel.when_writable(self._flush)
                    return
            self._partial = False
            finish, self._finish = self._finish, None
        if finish is not None:
            finish()

    def _take(self) -> bytes | memoryview:
        """Take frames off the queue, joined into one write."""
        first = self._queue.popleft()
        if not self._queue or len(first) >= WRITE_SIZE:
            return first
        parts = [first]
        length = len(first)
        while self._queue and length + len(self._queue[0]) <= WRITE_SIZE:
            part = self._queue.popleft()
            parts.append(part)
            length += len(part)
        return b"".join(parts)
