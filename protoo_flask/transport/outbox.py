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

Most of what a small message costs is the system call that sends it. So while many
requests of one client are handled that have come at once, their answers are kept
(:meth:`Outbox.hold`), to be sent in one write. And what is sent to many clients in the same
moment is held back until it can be sent one after the other (:meth:`Channel.hold_back`).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager, Sequence

from ..core.link import Unsent
from ..core.scheduling import one_step
from .channel import Channel
from .websocket.frames import TEXT

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

    When the socket cannot be written, the channel is aborted, and what waits stays, to be
    taken back.
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
    ) -> None:
        self._channel = channel
        self._encode = encode
        self._limit = limit
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
        self._batch: Sequence[tuple[int, int, bytes, int | None]] = ()
        # The messages behind it, and how many bytes they count. Of most clients nothing
        # ever waits, and an empty deque takes as much memory as a connection's socket.
        self._queue: deque[tuple[int, bytes, int | None]] | None = None
        self._queued = 0
        self._finish: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes that wait; a message not encoded yet counts its payload and a header."""
        return len(self._buffer) - self._sent + self._queued

    def send(
        self, opcode: int, payload: bytes, id: int | None = None, bounded: bool = True
    ) -> bool:
        """Send a message, or keep it; ``False`` when the bound is exceeded (it is not kept).

        :param id: given back with the message by :meth:`take_unsent`.
        :param bounded: ``False`` for a Close frame, which must always find a place.
        """
        if self._waiting:
            return self._keep(opcode, payload, id, bounded)
        # Called as self._encode(), they would be looked for in the class first.
        encode, hold_back = self._encode, self._channel.hold_back
        frame = encode(opcode, payload)
        if hold_back(self):
            self._held = self._waiting = True
            sent = 0
        else:
            try:
                sent = self._channel.send(frame)
            except OSError:
                sent = self._break()
            if sent == len(frame):
                return True
            self._wait()
        self._buffer, self._sent = frame, sent
        self._batch = ((len(frame), opcode, payload, id),)
        return True

    def hold(self, first: bytes = b"") -> None:
        """Keep what is sent from now on, until :meth:`release`.

        :param first: sent before it as it is, whatever is taken back.
        """
        if not self._waiting:
            self._held = self._waiting = True
            self._buffer = first

    def release(self) -> None:
        """Send what has been held; nothing happens when nothing is."""
        if self._held:
            self._held = False
            self._flush()

    def take_unsent(self) -> Unsent:
        """Take back the text messages that wait, in order: their payloads and ids.

        A frame that is partly sent is finished all the same, or nothing could follow it.
        Its payload is given back nevertheless: should the connection end before it is
        finished, the client has got nothing.

        Control frames are forgotten. And only they may be sent from now on: a compressed
        text might refer to one that was taken back.
        """
        if self._held and (self._batch or not self._buffer):
            # This only waits for more to be sent with it; but for an answered handshake.
            self.release()
        batch, self._batch = self._batch, ()
        queue, self._queue = self._queue, None
        self._queued = 0
        unsent = [message[1:] for message in batch if message[0] > self._sent]
        unsent += queue or ()
        if batch:
            boundaries = [0, *(item[0] for item in batch)]
            end_of_frame = min(end for end in boundaries if end >= self._sent)
            self._buffer = self._buffer[:end_of_frame]
        return [(payload, id) for opcode, payload, id in unsent if opcode == TEXT]

    def finish(self, function: Callable[[], None]) -> None:
        """Call ``function()`` when everything has been sent, or nothing can be: now or later."""
        if self._waiting and not self._broken:
            self._finish = function
        else:
            function()

    def close(self) -> None:
        """Forget everything; the socket is gone."""
        self._buffer, self._sent, self._batch, self._queue = b"", 0, (), None
        self._queued = 0
        self._finish = None

    def _keep(self, opcode: int, payload: bytes, id: int | None, bounded: bool) -> bool:
        size = len(payload) + HEADER_SIZE
        if self._held and (self._queued > WRITE_SIZE or self.size + size > self._limit):
            # Enough for one write; and whoever holds so much back does not read slowly.
            self.release()
            self.hold()
        waiting = self.size
        if bounded and waiting and waiting + size > self._limit:
            return False
        if self._queue is None:
            self._queue = deque()
        self._queue.append((opcode, payload, id))
        self._queued += size
        return True

    def _break(self) -> int:
        """Take note that the socket cannot be written; returns how much was: nothing."""
        self._broken = True
        # The reader will see the end of the connection.
        self._channel.abort()
        return 0

    def _wait(self) -> None:
        self._waiting = True
        if not self._broken:
            self._channel.when_writable(self._flush)

    def _flush(self) -> None:
        """Send what waits; called when the socket is writable."""
        buffer, sent = self._buffer, self._sent
        while sent < len(buffer) or self._queue:
            if sent == len(buffer):
                self._encode_batch()
                buffer, sent = self._buffer, 0
            try:
                # Not a copy: a large frame goes out in many writes.
                sent += self._channel.send(memoryview(buffer)[sent:] if sent else buffer)
            except OSError:
                self._break()
            if sent < len(buffer):
                self._sent = sent
                self._wait()
                break
        else:
            self._waiting = False
            self._buffer, self._sent, self._batch, self._queue = b"", 0, (), None
        if self._finish is not None and (self._broken or not self._waiting):
            finish, self._finish = self._finish, None
            finish()

    def _encode_batch(self) -> None:
        """Take messages off the queue and make the bytes of one write of them."""
        queue = self._queue
        assert queue is not None
        frames: list[bytes] = []
        batch: list[tuple[int, int, bytes, int | None]] = []
        self._sent = end = 0
        while queue:
            opcode, payload, id = queue[0]
            size = len(payload) + HEADER_SIZE
            if frames and end + size > WRITE_SIZE:
                break
            queue.popleft()
            self._queued -= size
            frames.append(self._encode(opcode, payload))
            end += len(frames[-1])
            batch.append((end, opcode, payload, id))
        self._batch = batch
        self._buffer = b"".join(frames)


class SharedOutbox(Outbox):
    """One that threads send by.

    :param lock: held by who calls the others; taken here when the socket is writable.
    """

    __slots__ = ("_lock",)

    def __init__(
        self,
        channel: Channel,
        encode: Callable[[int, bytes], bytes],
        limit: int,
        lock: ContextManager[Any],
    ) -> None:
        super().__init__(channel, encode, limit)
        self._lock = lock

    _flush = one_step(Outbox._flush)
