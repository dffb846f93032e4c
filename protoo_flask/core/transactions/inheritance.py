"""Inheritance: a request of a peer that another process of a cluster was the first to see.

The peer has moved from there to here, and its client may repeat the request.
"""

from __future__ import annotations


class HandledElsewhere:
    """A request that another process handles, or has answered.

    It is an :class:`~.inquiry.Inquiry`.

    :ivar node: the process whose handlers answer it.
    """

    __slots__ = ("fingerprint", "id", "node", "repetition")

    #: No handler of this process has returned from it.
    is_left_open = False

    id: int | None
    fingerprint: int
    repetition: tuple[bytes, ...]

    def __init__(
        self, id: int, fingerprint: int, repetition: tuple[bytes, ...], node: str = ""
    ) -> None:
        self.id = id
        self.fingerprint = fingerprint
        self.repetition = repetition
        self.node = node

    @property
    def origin(self) -> object:
        """Tells the connection that it came by from those of this process."""
        return self.node
