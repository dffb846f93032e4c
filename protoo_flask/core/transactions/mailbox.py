"""A mailbox: the messages that wait for a peer that is away, in order.

Requests wait under the id of their transaction, so that a request whose transaction ends
meanwhile (timeout, cancel) is not delivered. Notifications and responses have no such id.

Of other users, only so many messages wait that one of them cannot fill the mailbox: see
:mod:`.shares`.
"""

from __future__ import annotations

from .shares import Shares

#: Bytes that a waiting message takes besides its payload. Without them, a mailbox of tiny
#: messages would take many times its limit.
MESSAGE_SIZE = 100


class Mailbox:
    """Messages that wait for a peer to come back.

    :param limit: bytes, as for the messages that wait for a slow reader:
        ``PROTOO_MAX_OUTBOX``.
    """

    __slots__ = ("__weakref__", "_limit", "_messages", "_shares", "_unnamed", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: {id of the transaction, or a negative number: (payload, bytes that it counts, the
        #: sender whose share it takes)}
        self._messages: dict[int, tuple[bytes, int, str | None]] = {}
        self._shares = Shares()
        self._unnamed = 0
        self.size = 0

    def admits(self, sender: str, payload: bytes) -> bool:
        """Whether a message of another user has room."""
        size = len(payload) + MESSAGE_SIZE
        if not self._messages or self.size + size <= self._limit // 8:
            return True
        if self.size + size > self._limit * 3 // 4:
            return False
        return self._shares.admit(sender, size, self._limit)

    def put(self, payload: bytes, id: int | None = None, sender: str | None = None) -> bool:
        """Keep a message; ``False`` when it would exceed the limit (it is not kept then).

        :param sender: the user that has sent it.
        """
        # A single message may be larger: its size is limited elsewhere.
        if self._messages and self.size + len(payload) + MESSAGE_SIZE > self._limit:
            return False
        self._keep(payload, id, len(payload) + MESSAGE_SIZE, sender)
        return True

    def add(self, payload: bytes, id: int | None = None, is_counted: bool = True) -> None:
        """Keep a message whatever the limit.

        :param is_counted: ``False`` for a request of another user that was sent and not answered.
            Its text is kept anyway, and has a limit of its own.
        """
        self._keep(payload, id, len(payload) + MESSAGE_SIZE if is_counted else 0, None)

    def _keep(self, payload: bytes, id: int | None, size: int, sender: str | None) -> None:
        if id is None:
            self._unnamed -= 1
            id = self._unnamed
        self._messages[id] = (payload, size, sender)
        self.size += size
        if sender is not None:
            self._shares.add(sender, size)

    @property
    def is_too_full(self) -> bool:
        """Whether the messages exceed the limit."""
        return len(self._messages) > 1 and self.size > self._limit

    def discard(self, id: int) -> None:
        """Forget the request of a transaction that has ended."""
        message = self._messages.pop(id, None)
        if message is not None:
            _, size, sender = message
            self.size -= size
            if sender is not None:
                self._shares.remove(sender, size)

    def items(self) -> list[tuple[bytes, int | None]]:
        """Return the messages in order; with each request the id of its transaction."""
        return [(payload, id if id > 0 else None) for id, (payload, _, _) in self._messages.items()]
