"""A bounded outbox: messages on their way to one client.

=======  ======  =======  =================================================================
state    event   next     cause, and action
=======  ======  =======  =================================================================
idle     sent    idle     the socket took the whole message
idle     full    blocked  the socket took a part: keep the rest, ask when it is writable
idle     cork    corked   keep messages until uncorked
idle     open    opening  keep the handshake, and all messages, until uncorked
corked   sent    idle     uncorked, and the socket took everything
corked   full    blocked  uncorked, and the socket took a part: ask when it is writable
opening  sent    idle     as for corked
opening  full    blocked  as for corked
blocked  sent    idle     writable, and the socket took everything
blocked  full    blocked  writable, and the socket took a part: ask again
any      failed  gone     the socket raised an error: break the connection, keep messages
any      close   gone     the socket is closed: forget everything
=======  ======  =======  =================================================================

Of other users, only so many messages wait in a blocked outbox that one of them cannot have the
client cut off: :meth:`Outbox.admits`.

The plain way is "idle": a message is encoded and sent at once. In every other state
messages are kept, in order. :meth:`Outbox.send` never blocks, so a client that reads
slowly receives an intact stream and delays nobody. The kept bytes are bounded; the
owner cuts off a client that exceeds the bound.

"corked" exists because the system call is the dearest part of a small message. The
connection corks its outbox while it handles requests that came together, so that their
answers are one write (TCP_CORK does the same inside the kernel). The channel has it
corked for a moment when many clients are written to (:meth:`Channel.batch_writes`).

"opening" is the same for a connection before its handshake is answered. It is a state of
its own because :meth:`Outbox.take_unsent` uncorks, but must not answer the handshake.

Messages are kept unencoded until their turn comes:

- A payload for many slow clients exists once, not once for each of them.
- Messages are compressed in the order of sending, whichever greenlet sends them.
- The unsent messages of a dead connection can be sent over the next one
  (:meth:`Outbox.take_unsent`). So the "gone" state keeps them.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, ContextManager, Protocol, Sequence

from ..core.link import Unsent
from ..core.scheduling import one_step
from ..core.transactions.shares import QueueShares
from .channel import Channel
from .tls_records import RECORD_SIZE
from .websocket.frames import CLOSE, TEXT

IDLE = "idle"
CORKED = "corked"
OPENING = "opening"
BLOCKED = "blocked"
GONE = "gone"

#: (state, event) -> next state; the table above. An event that is not here changes nothing.
#:
#: The methods assign the next state where the event happens, and do not look it up here,
#: which would be 4 % of a request. The tests hold each assignment against this table.
TRANSITIONS = {
    (IDLE, "sent"): IDLE,
    (IDLE, "full"): BLOCKED,
    (IDLE, "cork"): CORKED,
    (IDLE, "open"): OPENING,
    (CORKED, "sent"): IDLE,
    (CORKED, "full"): BLOCKED,
    (OPENING, "sent"): IDLE,
    (OPENING, "full"): BLOCKED,
    (BLOCKED, "sent"): IDLE,
    (BLOCKED, "full"): BLOCKED,
    **{(state, "failed"): GONE for state in (IDLE, CORKED, OPENING, BLOCKED)},
    **{(state, "close"): GONE for state in (IDLE, CORKED, OPENING, BLOCKED)},
}

#: Bytes that are encoded and joined for one write to the socket, so that many small
#: messages are few writes. Each slow reader has a buffer of that size.
WRITE_SIZE = 64 * 1024

#: Bytes that a kept message counts besides its payload: the longest header of an unmasked
#: frame (RFC 6455 section 5.2).
HEADER_SIZE = 10

#: The same for a control frame: a pong without a payload takes as much memory, beside its text of
#: none. A client can ask for any number of pongs, and not read them.
CONTROL_SIZE = 100


class Owner(Protocol):
    """The connection that an outbox belongs to."""

    def overflow(self) -> None:
        """Close the connection of a client that reads too slowly."""

    def lose(self) -> None:
        """Take note that the connection is broken; :meth:`.Channel.recv` will tell the end, too."""


class Outbox:
    """Writes messages to a channel.

    :param encode: ``encode(opcode, payload)`` returns the frame of a message.
    :param limit: bytes that may be kept. A single message may be larger when nothing else
        is kept: the size of a message is limited elsewhere.

    :param owner: its ``overflow()`` is called when a text message exceeds the limit: the client
        reads too slowly.

    A failed write aborts the channel, and its messages are kept for :meth:`take_unsent`.
    """

    __slots__ = (
        "_batch",
        "_buffer",
        "_channel",
        "_encode",
        "_finish",
        "_is_ending",
        "_limit",
        "_owner",
        "_passed",
        "_queue",
        "_queued",
        "_sent",
        "_shares",
        "_state",
        "_taken",
        "is_blocked",
    )

    def __init__(
        self,
        channel: Channel,
        encode: Callable[[int, bytes], bytes],
        limit: int,
        owner: Owner | None = None,
    ) -> None:
        self._state = IDLE
        #: Whether messages wait because the client reads slowly. An attribute of its own: the
        #: core looks at it for each message of another user.
        self.is_blocked = False
        self._channel = channel
        self._encode = encode
        self._limit = limit
        #: ``None`` when the outbox is closed: the owner refers to it, and this back.
        self._owner = owner
        #: Whether a Close frame has been sent, which no text may follow.
        self._is_ending = False
        # The bytes being written, how many of them are sent, and their messages: each with
        # the offset at which its frame ends. Bytes without messages are the handshake.
        self._buffer = b""
        self._sent = 0
        self._batch: Sequence[tuple[int, int, bytes, int | None]] = ()
        # How many bytes the socket has taken since the beginning.
        self._taken = 0
        # The messages behind them, and how many bytes they count. Most clients never need
        # the deque, and an empty one takes as much memory as a connection's socket.
        self._queue: deque[tuple[int, bytes, int | None]] | None = None
        self._queued = 0
        # How many bytes have left the queue since the beginning, counted in the same way.
        self._passed = 0
        # The shares of senders in the queue. Made when too much waits.
        self._shares: QueueShares | None = None
        self._finish: Callable[[], None] | None = None

    @property
    def size(self) -> int:
        """Bytes that are kept; an unencoded message counts its payload and a header."""
        return len(self._buffer) - self._sent + self._queued

    @property
    def arrived(self) -> int:
        """Bytes that have arrived at the other side, in total."""
        return self._taken - self._channel.count_unacknowledged()

    @property
    def undelivered(self) -> int:
        """Bytes that have not arrived: those that are kept, and those in the socket."""
        return self.size + self._channel.count_unacknowledged()

    def admits(self, sender: str, size: int) -> bool:
        """Whether the message of another user has room; see the ``Outbox`` of the core.

        It is counted, and has to be sent next.
        """
        if not self.is_blocked:
            return True
        size += HEADER_SIZE
        waiting, limit = self.size, self._limit
        if waiting + size <= limit // 8:
            return True
        if waiting + size > limit * 3 // 4:
            return False
        if self._shares is None:
            self._shares = QueueShares()
        passed = self._passed
        return self._shares.take(sender, size, limit, passed, passed + self._queued)

    def send_text(self, payload: bytes, id: int | None = None) -> bool:
        """Send a text message; see :class:`~protoo_flask.core.link.Outbox`."""
        if self._is_ending:
            return False
        if self._state is IDLE:
            self._begin(TEXT, payload, id)
        elif not self._keep(TEXT, payload, id, True):
            if self._owner is not None:
                self._owner.overflow()
            return False
        return True

    def send_close(self, payload: bytes) -> None:
        """Send a Close frame, which always finds a place; no text may follow it."""
        if self._is_ending:
            return  # the handshake was refused
        self._is_ending = True
        self.send(CLOSE, payload, bounded=False)

    def refuse(self, answer: bytes) -> bool:
        """Put another answer in the place of the handshake's; nothing may follow it.

        :returns: ``False`` when the handshake has been answered already.
        """
        if self._state is not OPENING:
            return False
        self._buffer, self._queue, self._queued = answer, None, 0
        self._is_ending = True
        return True

    def send(
        self, opcode: int, payload: bytes, id: int | None = None, bounded: bool = True
    ) -> bool:
        """Send a message, or keep it; ``False`` when the bound is exceeded (it is not kept).

        :param id: given back with the message by :meth:`take_unsent`.
        :param bounded: ``False`` for a Close frame, which must always find a place.
        """
        if self._state is not IDLE:
            return self._keep(opcode, payload, id, bounded)
        self._begin(opcode, payload, id)
        return True

    def _begin(self, opcode: int, payload: bytes, id: int | None) -> None:
        """Send a message before which nothing waits: now, or at the end of a batch."""
        self._buffer = frame = self._encode(opcode, payload)
        self._batch = ((len(frame), opcode, payload, id),)
        if self._channel.batch_writes(self):
            self._state = CORKED
        else:
            self._flush()

    def cork(self, first: bytes = b"") -> None:
        """Keep messages from now on, until :meth:`uncork`; nothing happens unless idle.

        :param first: the answered handshake, to be sent as it is before all messages.
        """
        if self._state is IDLE:
            self._buffer = first
            self._state = OPENING if first else CORKED

    def uncork(self) -> None:
        """Send the messages kept since :meth:`cork`; nothing happens unless corked."""
        if self._state is CORKED or self._state is OPENING:
            self._flush()

    def take_unsent(self) -> Unsent:
        """Take back the unsent text messages, in the order of sending: payloads and ids.

        The rest of a partly sent frame is still sent, or nothing could follow it. Its
        payload is taken back nevertheless: if the connection ends before the rest is sent,
        the client has not received the message. Over TLS, the same holds for the frames in the
        record that the socket did not take: see :mod:`.tls_records`.

        Control frames are forgotten. Only control frames may be sent from now on: a
        compressed text might refer to one that was taken back.
        """
        if self._state is CORKED:
            self.uncork()  # these messages wait only for others to be written with them
        batch, self._batch = self._batch, ()
        queue, self._queue = self._queue, None
        self._queued = 0
        unsent = [message[1:] for message in batch if message[0] > self._sent]
        unsent += queue or ()
        if batch:
            boundaries = [0, *(item[0] for item in batch)]
            begun = self._sent
            if getattr(self._channel, "encrypts", False) and self._state is BLOCKED:
                begun = min(begun + RECORD_SIZE, boundaries[-1])
            end_of_frame = min(end for end in boundaries if end >= begun)
            self._buffer = self._buffer[:end_of_frame]
        return [(payload, id) for opcode, payload, id in unsent if opcode == TEXT]

    def finish(self, function: Callable[[], None]) -> None:
        """Call ``function()`` when everything is sent, or nothing can be: now or later."""
        if self._state is IDLE or self._state is GONE:
            function()
        else:
            self._finish = function

    def close(self) -> None:
        """Forget everything; the socket is closed."""
        self._state = GONE
        self._is_ending = True
        self._owner = None
        self._buffer, self._sent, self._batch, self._queue = b"", 0, (), None
        self._queued = 0
        self._finish = None

    def _keep(self, opcode: int, payload: bytes, id: int | None, bounded: bool) -> bool:
        size = len(payload) + (HEADER_SIZE if opcode == TEXT else CONTROL_SIZE)
        is_too_much = self._queued > WRITE_SIZE or self.size + size > self._limit
        if is_too_much and self._state is not BLOCKED:
            # Enough for one write, and a corked outbox does not mean that the client is slow.
            self.uncork()
            self.cork()
        waiting = self.size
        if bounded and waiting and waiting + size > self._limit:
            return False
        if self._queue is None:
            self._queue = deque()
        self._queue.append((opcode, payload, id))
        self._queued += size
        return True

    def _flush(self) -> None:
        """Send the kept messages until the socket is full."""
        buffer, sent = self._buffer, self._sent
        while sent < len(buffer) or self._queue:
            if sent == len(buffer):
                buffer, sent = self._encode_batch(), 0
            try:
                # A view, not a copy: a large frame goes out in many writes.
                taken = self._channel.send(memoryview(buffer)[sent:] if sent else buffer)
            except OSError:
                self._state, self._sent = GONE, sent
                self._channel.abort()  # the reader sees the end of the connection
                if self._owner is not None:
                    self._owner.lose()
                break
            sent += taken
            self._taken += taken
            if sent < len(buffer):
                self._state, self._sent = BLOCKED, sent
                self.is_blocked = True
                self._channel.when_writable(self._on_writable)
                break
        else:
            self._state = IDLE
            self._buffer, self._sent, self._batch, self._queue = b"", 0, (), None
        if self._finish is not None and self._state is not BLOCKED:
            finish, self._finish = self._finish, None
            finish()

    def _on_writable(self) -> None:
        if self._state is BLOCKED:  # and not closed meanwhile
            self._flush()
            self.is_blocked = self._state is BLOCKED

    def _encode_batch(self) -> bytes:
        """Take messages off the queue and join their frames for one write."""
        queue = self._queue
        assert queue is not None
        frames: list[bytes] = []
        batch: list[tuple[int, int, bytes, int | None]] = []
        self._sent = end = 0
        queued = self._queued
        while queue:
            opcode, payload, id = queue[0]
            size = len(payload) + (HEADER_SIZE if opcode == TEXT else CONTROL_SIZE)
            if frames and end + size > WRITE_SIZE:
                break
            queue.popleft()
            self._queued -= size
            frames.append(self._encode(opcode, payload))
            end += len(frames[-1])
            batch.append((end, opcode, payload, id))
        self._passed += queued - self._queued
        self._batch = batch
        self._buffer = buffer = b"".join(frames)
        return buffer


class SharedOutbox(Outbox):
    """An outbox that several threads send by.

    :param lock: callers of the other methods hold it. This class takes it when the socket is
        writable, and for text messages: none may follow the Close frame that another thread is
        just sending.
    """

    __slots__ = ("_lock",)

    def __init__(
        self,
        channel: Channel,
        encode: Callable[[int, bytes], bytes],
        limit: int,
        owner: Owner | None,
        lock: ContextManager[Any],
    ) -> None:
        super().__init__(channel, encode, limit, owner)
        self._lock = lock

    send_text = one_step(Outbox.send_text)
    admits = one_step(Outbox.admits)
    _on_writable = one_step(Outbox._on_writable)
