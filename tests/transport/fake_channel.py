"""A channel with a socket buffer that the test empties by hand, and an outbox on it."""

from __future__ import annotations

from typing import Any

from protoo_flask.transport.outbox import Outbox

from .wire import TEXT


def encode(opcode: int, payload: bytes) -> bytes:
    """Write a frame that is easy to read in a test: ``b"<text>"``."""
    return b"<" + payload + b">"


class FakeChannel:
    """Takes as many bytes as there is room for.

    :ivar received: the bytes that the client has received.
    """

    encrypts = False

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.received = b""
        self.writes: list[int] = []
        self.broken = False
        self.aborted = 0
        #: Bytes of those received that are still in the socket's buffer.
        self.unacknowledged = 0
        self._when_writable: Any = None
        #: The outboxes to be uncorked at the end of a batch; ``None`` outside of one.
        self.corked: Any = None

    def batch_writes(self, outbox: Any) -> bool:
        if self.corked is None:
            return False
        self.corked.append(outbox)
        return True

    def end_batch(self) -> None:
        corked, self.corked = self.corked, None
        for outbox in corked:
            outbox.uncork()

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise BrokenPipeError
        sent = bytes(data[: self.room])
        self.room -= len(sent)
        self.received += sent
        self.writes.append(len(sent))
        return len(sent)

    def count_unacknowledged(self) -> int:
        return self.unacknowledged

    def when_writable(self, function: Any) -> None:
        assert self._when_writable is None, "asked twice"
        self._when_writable = function

    def abort(self) -> None:
        self.aborted += 1

    @property
    def is_watched(self) -> bool:
        return self._when_writable is not None

    def make_room(self, size: int) -> None:
        """Let the client read, and the socket become writable."""
        self.room += size
        function, self._when_writable = self._when_writable, None
        if function is not None:
            function()


def make_outbox(channel: FakeChannel, encode: Any = encode, limit: int = 100) -> Outbox:
    return Outbox(channel, encode, limit)


def send_texts(outbox: Outbox, *payloads: bytes) -> None:
    for payload in payloads:
        assert outbox.send(TEXT, payload)


def unsent_of(outbox: Outbox) -> list[bytes]:
    """Take back the unsent messages; returns their payloads."""
    return [payload for payload, _ in outbox.take_unsent()]
