"""A bounded outbox: messages on their way to one client.

A message is sent at once when nothing waits before it; what the socket does not take
is kept and flushed, in order, when it is writable again. So a client that reads
slowly receives an intact stream and delays nobody: :meth:`Outbox.send` never blocks.
What waits is bounded; a client that exceeds the bound is cut off by the owner.

What waits is kept as messages, each encoded only when it is its turn:

- A payload that is sent to many slow readers exists once, not once for each.
- Messages are compressed in the order in which they are sent, whoever sends them.
- What a dead connection has taken and not sent can be given back, to be sent over the
  next one (:meth:`Outbox.take_unsent`).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager

from .channel import Channel
from .frames import TEXT

#: Bytes that are encoded and joined for one write to the socket, so that many small
#: messages are few writes. Each slow reader has that much of its own.
WRITE_SIZE = 64 * 1024

#: Bytes that a waiting message takes besides its payload: the longest header of a frame
#: (RFC 6455 section 5.2, without a mask).
HEADER_SIZE = 10


class Outbox:
    """Writes messages to a channel.

    :param encode: ``encode(opcode, payload)`` returns the frame of a message.
    :param limit: bytes that may wait. A single message may be larger when nothing else
        waits: what a message may measure is not the outbox's to say.
    :param on_error: called once, without arguments, when the socket cannot be written.
        What waits then stays, to be taken back.
    """

    __slots__ = (
        "_batch",
        "_broken",
        "_buffer",
        "_channel",
        "_encode",
        "_finish",
        "_held",
        "_limit",
        "_lock",
        "_on_error",
        "_queue",
        "_queued",
        "_sent",
        "_waiting",
    )

    def __init__(
        self,
        channel: Channel,
        encode: Callable[[int, bytes], bytes],
        limit: int,
        on_error: Callable[[], None],
        lock: ContextManager[Any],
    ) -> None:
        self._channel = channel
        self._encode = encode
        self._limit = limit
        self._on_error = on_error
        self._lock = lock
        # Whether what is sent has to wait: for the socket, for release(), or, when the
        # socket is broken, for take_unsent().
        self._waiting = False
        self._held = False
        self._broken = False
        # What is being written: bytes, how many of them have been sent, and the messages
        # they were made of, each with the offset at which its frame ends. Bytes without
        # messages are sent to the end, whatever is taken back.
        self._buffer = b""
        self._sent = 0
        self._batch: list[tuple[int, int, bytes]] = []
        # The messages behind it, and how many bytes they count.
        self._queue: deque[tuple[int, bytes]] = deque()
        self._queued = 0
        self._finish: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes that wait; a message not encoded yet counts its payload and a header."""
        return len(self._buffer) - self._sent + self._queued

    def send(self, opcode: int, payload: bytes, bounded: bool = True) -> bool:
        """Send a message, or keep it; ``False`` when the bound is exceeded (it is not kept).

        :param bounded: ``False`` for a Close frame, which must always find a place.
        """
        with self._lock:
            if self._waiting:
                size = len(payload) + HEADER_SIZE
                waiting = self.size
                if bounded and waiting and waiting + size > self._limit:
                    return False
                self._queue.append((opcode, payload))
                self._queued += size
                return True
            frame = self._encode(opcode, payload)
            sent = self._write(frame)
            if sent < len(frame):
                self._buffer, self._sent = frame, sent
                self._batch = [(len(frame), opcode, payload)]
                self._wait()
            return True

    def hold(self, first: bytes) -> None:
        """Keep ``first`` as it is, and what is sent from now on behind it, until :meth:`release`.

        Whatever is taken back, ``first`` will be sent.
        """
        with self._lock:
            self._held = self._waiting = True
            self._buffer = first

    def release(self) -> None:
        """Send what has been held; nothing happens when nothing is."""
        with self._lock:
            held, self._held = self._held, False
        if held:
            self._flush()

    def take_unsent(self) -> list[bytes]:
        """Take back what waits: the payloads of text messages, in the order of sending.

        A frame that is partly sent is finished all the same, or nothing could follow it.
        Its payload is given back nevertheless: should the connection end before it is
        finished, the client has got nothing.

        Control frames are forgotten. And only they may be sent from now on: a compressed
        text might refer to one that was taken back.
        """
        with self._lock:
            batch, self._batch = self._batch, []
            unsent = [(opcode, payload) for end, opcode, payload in batch if end > self._sent]
            unsent += self._queue
            self._queue.clear()
            self._queued = 0
            if batch:
                boundaries = [0, *(end for end, _, _ in batch)]
                end_of_frame = min(end for end in boundaries if end >= self._sent)
                self._buffer = self._buffer[:end_of_frame]
            return [payload for opcode, payload in unsent if opcode == TEXT]

    def finish(self, function: Callable[[], None]) -> None:
        """Call ``function()`` when everything has been sent, or nothing can be: now or later."""
        with self._lock:
            if self._waiting and not self._broken:
                self._finish = function
                return
        function()

    def close(self) -> None:
        """Forget everything; the socket is gone."""
        with self._lock:
            self._clear_buffer()
            self._queue.clear()
            self._queued = 0
            self._finish = None

    def _write(self, data: bytes | memoryview) -> int:
        try:
            return self._channel.send(data)
        except OSError:
            # The reader will see the end of the connection.
            self._broken = True
            self._on_error()
            return 0

    def _wait(self) -> None:
        self._waiting = True
        if not self._broken:
            self._channel.when_writable(self._flush)

    def _flush(self) -> None:
        """Send what waits; called when the socket is writable."""
        with self._lock:
            self._waiting = False
            while self.size and not self._waiting:
                if self._sent == len(self._buffer):
                    self._encode_batch()
                # Not a copy: a large frame goes out in many writes.
                self._sent += self._write(memoryview(self._buffer)[self._sent :])
                if self._sent < len(self._buffer):
                    self._wait()
            if self._waiting and not self._broken:
                return
            if not self._waiting:
                self._clear_buffer()
            finish, self._finish = self._finish, None
        if finish is not None:
            finish()

    def _encode_batch(self) -> None:
        """Take messages off the queue and make the bytes of one write of them."""
        frames: list[bytes] = []
        self._batch = []
        self._sent = end = 0
        while self._queue:
            opcode, payload = self._queue[0]
            size = len(payload) + HEADER_SIZE
            if frames and end + size > WRITE_SIZE:
                break
            self._queue.popleft()
            self._queued -= size
            frames.append(self._encode(opcode, payload))
            end += len(frames[-1])
            self._batch.append((end, opcode, payload))
        self._buffer = b"".join(frames)

    def _clear_buffer(self) -> None:
        self._buffer, self._sent, self._batch = b"", 0, []
