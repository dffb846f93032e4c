"""Early messages: what a caller has sent inside a call before it was answered.

A device that comes online while the call rings needs them, the ICE candidates above all,
without which its media could not connect (RFC 8838 section 9). What is kept is bounded,
as the caller is not trusted; the oldest go first.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...core.errors import Unsendable
from ...core.request import Request
from ...core.wire.messages import serialize_request

#: A device has a handful of candidates for each network interface; one that takes part in
#: several networks, with IPv6 and a TURN server, some tens.
MAX_MESSAGES = 200

#: Bytes; a candidate takes some 250. One caller may have several calls ringing.
MAX_SIZE = 64 * 1024


class EarlyMessage(NamedTuple):
    """A request or notification, and the bytes that it takes."""

    message: Request
    is_notification: bool
    size: int


class EarlyMessages:
    """What was sent, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[EarlyMessage] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Request, is_notification: bool) -> None:
        """Keep a message; what is not JSON is not kept."""
        try:
            size = len(serialize_request(message.method, None, message.data, message.sender))
        except Unsendable:
            return
        self._messages.append(EarlyMessage(message, is_notification, size))
        self._size += size
        while len(self._messages) > MAX_MESSAGES or self._size > MAX_SIZE:
            self._size -= self._messages.popleft().size

    def items(self) -> list[EarlyMessage]:
        """Return what is kept, oldest first."""
        return list(self._messages)

    def clear(self) -> None:
        """Keep nothing any more."""
        self._messages.clear()
        self._size = 0
