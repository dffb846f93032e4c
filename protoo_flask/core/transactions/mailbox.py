"""A mailbox: the messages that wait for a peer that is away, in order.

Requests wait under the id of their transaction, so that a request whose transaction ends
meanwhile (timeout, cancel) is not delivered. Notifications and responses have no such id.
"""

from __future__ import annotations

#: Bytes that a waiting message takes besides its payload. Without them, a mailbox of tiny
#: messages would take many times its limit.
MESSAGE_SIZE = 100


class Mailbox:
    """Messages that wait for a peer to come back.

    :param limit: bytes, as for the messages that wait for a slow reader:
        ``PROTOO_MAX_OUTBOX``.
    """

    __slots__ = ("__weakref__", "_limit", "_payloads", "_unnamed", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: {id of the transaction, or a negative number: payload}
        self._payloads: dict[int, bytes] = {}
        self._unnamed = 0
        self.size = 0

    def put(self, payload: bytes, id: int | None = None) -> bool:
        """Keep a message; ``False`` when it would exceed the limit (it is not kept then)."""
        # A single message may be larger: its size is limited elsewhere.
        if self._payloads and self.size + len(payload) + MESSAGE_SIZE > self._limit:
            return False
        self.add(payload, id)
        return True

    def add(self, payload: bytes, id: int | None = None) -> None:
        """Keep a message whatever the limit."""
        if id is None:
            self._unnamed -= 1
            id = self._unnamed
        self._payloads[id] = payload
        self.size += len(payload) + MESSAGE_SIZE

    @property
    def is_too_full(self) -> bool:
        """Whether the messages exceed the limit."""
        return len(self._payloads) > 1 and self.size > self._limit

    def discard(self, id: int) -> None:
        """Forget the request of a transaction that has ended."""
        payload = self._payloads.pop(id, None)
        if payload is not None:
            self.size -= len(payload) + MESSAGE_SIZE

    def items(self) -> list[tuple[bytes, int | None]]:
        """Return the messages in order; with each request the id of its transaction."""
        return [(payload, id if id > 0 else None) for id, payload in self._payloads.items()]
