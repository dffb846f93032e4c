"""Shares: the part of a bounded space that each sender takes.

Messages wait for a client that reads slowly, or is away, and the space for them is bounded. The
client is given up when the site's own messages find no room. The messages of other users must
not lead to that, and the messages of one user must not keep out those of others:

=========================================  ====================================
a message of another user has room if      limit
=========================================  ====================================
little waits: then nobody counts it        1/8 of the space, with this message
its sender has nothing else that waits,    1/8 for each sender
or both fit into the sender's share
the counted messages fit in together       1/2 for all senders together
all that waits leaves room for the site    3/4, with the site's own messages
=========================================  ====================================

Otherwise it is refused, and its sender is told 503. A sender is a user: devices are cheap.
"""

from __future__ import annotations

from collections import deque

from ..scheduling import Scheduler, one_step

#: The sender, in place of a user, of provisional responses to the requests of the client. No
#: user has an empty name.
PROGRESS = {"username": ""}

#: Seconds after which a sender that was refused may try again.
RETRY_AFTER = 5


class Shares:
    """The bytes that senders take: ``{username: bytes}``.

    :ivar total: the bytes of all of them.
    """

    __slots__ = ("_sizes", "total")

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def of(self, sender: str) -> int:
        """Return the bytes that a sender takes."""
        return self._sizes.get(sender, 0)

    def add(self, sender: str, size: int) -> None:
        """Count a message."""
        self._sizes[sender] = self._sizes.get(sender, 0) + size
        self.total += size

    def remove(self, sender: str, size: int) -> None:
        """Count a message no more."""
        left = self._sizes[sender] - size
        if left:
            self._sizes[sender] = left
        else:
            del self._sizes[sender]
        self.total -= size

    def admit(self, sender: str, size: int, space: int) -> bool:
        """Whether a message fits into the share of its sender, and into that of all."""
        mine = self.of(sender)
        return (not mine or mine + size <= space // 8) and self.total + size <= space // 2


class SharedShares(Shares):
    """Shares that several threads count."""

    __slots__ = ("_lock",)

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._lock = scheduler.lock()

    add = one_step(Shares.add)
    remove = one_step(Shares.remove)


class QueueShares:
    """The shares of senders in a queue, in which messages move on in order.

    A position in the queue is the number of bytes that were put into it before, in total.
    """

    __slots__ = ("_messages", "_shares")

    def __init__(self) -> None:
        self._shares = Shares()
        #: Each message with the position of its end.
        self._messages: deque[tuple[int, str, int]] = deque()

    def take(self, sender: str, size: int, space: int, begin: int, end: int) -> bool:
        """Count a message that is put into the queue next; ``False`` if it has no room.

        :param begin: the position of the first message that is still in the queue.
        :param end: the position behind the last one.
        """
        while self._messages and self._messages[0][0] <= begin:
            _, other, other_size = self._messages.popleft()
            self._shares.remove(other, other_size)
        if not self._shares.admit(sender, size, space):
            return False
        self._shares.add(sender, size)
        self._messages.append((end + size, sender, size))
        return True
