"""Early messages: sent by the caller inside a call before the answer.

A device that comes online while the call rings needs these messages. The most important
are the ICE candidates: without them its media could not connect (RFC 8838 section 9). The
caller is not trusted, so the messages are kept as text, number and size are bounded, and the
oldest messages are dropped.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...core.errors import Unsendable
from ...core.request import Request
from ...core.wire.kept_text import read_kept
from ...core.wire.messages import serialize_request

#: A device has a handful of candidates for each network interface. With several networks,
#: IPv6 and a TURN server it has some tens.
MAX_MESSAGES = 200

#: Bytes of text. A candidate takes some 250. One caller may have several ringing calls.
MAX_SIZE = 64 * 1024

#: Bytes that a kept message takes besides its text.
MESSAGE_SIZE = 150


class EarlyMessage(NamedTuple):
    """A request or notification."""

    message: Request
    is_notification: bool


class _Kept(NamedTuple):
    """The text of a message."""

    text: bytes
    is_notification: bool


class EarlyMessages:
    """The early messages of one call, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[_Kept] = deque()
        self._length = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """Bytes of memory that the messages take."""
        return self._length + MESSAGE_SIZE * len(self._messages)

    def add(self, message: Request, is_notification: bool) -> None:
        """Keep a message; one that cannot be written as JSON is dropped."""
        try:
            text = serialize_request(message.method, None, message.data, message.sender)
        except Unsendable:
            return
        self._messages.append(_Kept(text, is_notification))
        self._length += len(text)
        while len(self._messages) > MAX_MESSAGES or self._length > MAX_SIZE:
            self._length -= len(self._messages.popleft().text)

    def items(self) -> list[EarlyMessage]:
        """Return the kept messages, oldest first."""
        return [EarlyMessage(_read(kept.text), kept.is_notification) for kept in self._messages]

    def clear(self) -> None:
        """Drop all messages."""
        self._messages.clear()
        self._length = 0


def _read(text: bytes) -> Request:
    written = read_kept(text)
    message = Request(written["method"], written["data"])
    message.sender = written.get("sender")
    return message
