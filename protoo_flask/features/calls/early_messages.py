"""Early messages: sent by the caller inside a call before the answer.

A device that comes online while the call rings needs these messages. The most important
are the ICE candidates: without them its media could not connect (RFC 8838 section 9). The
caller is not trusted, so number and size are bounded, and the oldest messages are dropped.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...core.errors import Unsendable
from ...core.request import Request
from ...core.wire.messages import serialize_request

#: A device has a handful of candidates for each network interface. With several networks,
#: IPv6 and a TURN server it has some tens.
MAX_MESSAGES = 200

#: Bytes. A candidate takes some 250. One caller may have several ringing calls.
MAX_SIZE = 64 * 1024


class EarlyMessage(NamedTuple):
    """A request or notification, and its size in bytes."""

    message: Request
    is_notification: bool
    size: int


class EarlyMessages:
    """The early messages of one call, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[EarlyMessage] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Request, is_notification: bool) -> None:
        """Keep a message; one that cannot be written as JSON is dropped."""
        try:
            size = len(serialize_request(message.method, None, message.data, message.sender))
        except Unsendable:
            return
        self._messages.append(EarlyMessage(message, is_notification, size))
        self._size += size
        while len(self._messages) > MAX_MESSAGES or self._size > MAX_SIZE:
            self._size -= self._messages.popleft().size

    def items(self) -> list[EarlyMessage]:
        """Return the kept messages, oldest first."""
        return list(self._messages)

    def clear(self) -> None:
        """Drop all messages."""
        self._messages.clear()
        self._size = 0
