"""Open requests: those of a peer whose handlers have returned without an answer.

A request that is relayed is open until the other peer answers; a handler may also keep one for
hours. Each takes memory, and a peer may send them faster than they are answered. So beyond a
bound, its next requests wait.

Most requests are small, and counted only. Objects of this class exist while a peer has large
ones, or too many.
"""

from __future__ import annotations

#: Bytes of open requests, for each peer. A second limit is where the next requests are handled
#: again: each time, some hundred.
MAX_OPEN = 4 * 1024 * 1024
ENOUGH_ROOM = MAX_OPEN * 7 // 8

#: Bytes of a small request, with its time limit and its place among the requests of the peer;
#: usually, it takes 700. One with a text of this length counts as small without a look at it.
OPEN_SIZE = 1024
SMALL_TEXT = 128

#: The fields around the data are no objects of their own. Their characters count by so much more
#: than they take.
ENVELOPE = 600

#: As many small requests do not exceed the bound.
SMALL_COUNT = MAX_OPEN // OPEN_SIZE


class OpenRequests:
    """The large ones among the open requests of one peer.

    :ivar size: bytes by which they are larger than small ones.
    :ivar are_too_many: whether requests wait until there is room.
    """

    __slots__ = ("_sizes", "are_too_many", "size")

    def __init__(self) -> None:
        #: {id: bytes}
        self._sizes: dict[int, int] = {}
        self.size = 0
        self.are_too_many = False

    @property
    def is_needed(self) -> bool:
        return bool(self._sizes) or self.are_too_many

    def add(self, id: int, size: int) -> None:
        """Take note of a large request."""
        self.remove(id)
        self._sizes[id] = size
        self.size += size

    def remove(self, id: int) -> None:
        """Take note that a request is not open any more, or was never large."""
        self.size -= self._sizes.pop(id, 0)
