"""Inquiries: the requests of a peer, as its server transactions see them."""

from __future__ import annotations

from typing import Protocol
from zlib import crc32


class Inquiry(Protocol):
    """A request of a peer, as its transaction sees it.

    :ivar id: ``None`` for a notification.
    :ivar origin: tells the connection that it came by from others of the peer.
    :ivar fingerprint: see :data:`fingerprint`.
    :ivar repetition: the responses, written, that a repetition of it gets.
    :ivar is_left_open: whether its handlers have returned without an answer.
    """

    id: int | None
    fingerprint: int
    repetition: tuple[bytes, ...]
    is_left_open: bool

    @property
    def origin(self) -> object: ...


#: ``fingerprint(payload)`` returns a number that tells a message from others with the same id.
#: It is the same in every process, unlike ``hash()``: a client may repeat its request to another
#: worker. A client that forges equal numbers harms only itself.
fingerprint = crc32
