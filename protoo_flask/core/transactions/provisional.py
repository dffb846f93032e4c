"""Provisional responses: the first and the latest one to a request, kept as text.

As objects, a text of 64 KiB may take 3 MiB, and a peer chooses how many it sends. A text is read
again when somebody asks for it.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from ..errors import Unsendable
from ..response import ReceivedResponse, Response
from ..wire.messages import parse, serialize_response

#: Bytes that a kept response takes besides its text.
KEPT_SIZE = 150


class ProvisionalResponses:
    """The provisional responses to one request of the server.

    They are put in one step each. Others may read them meanwhile.

    :param peer: the peer that sends them.
    :param id: of the request.
    :ivar last: the number of the latest one that is kept; the first one of all has 1.
    """

    __slots__ = ("_count", "_first", "_id", "_latest", "_peer", "last")

    def __init__(self, peer: Any, id: int) -> None:
        self._peer = peer
        self._id = id
        #: Each with its number.
        self._first: tuple[int, bytes] | None = None
        self._latest: tuple[int, bytes] | None = None
        self._count = 0
        self.last = 0

    def put(self, response: Response, room: int) -> int:
        """Keep a response: the first one for ever, another one until the next.

        :param room: bytes by which the memory may grow. Without room, it is not kept.
        :returns: bytes by which the memory has grown; negative if it has shrunk.
        """
        self._count += 1
        try:
            text = serialize_response(response.status, response.reason, self._id, response.data)
        except Unsendable:
            return 0  # the site has put something else into the data that it was told
        growth = len(text) + KEPT_SIZE
        if self._latest is not None:
            growth -= len(self._latest[1]) + KEPT_SIZE
        if growth > room:
            return 0
        if self._first is None:
            self._first = (self._count, text)
        else:
            self._latest = (self._count, text)
        self.last = self._count
        return growth

    def after(self, seen: int) -> tuple[int, Response] | None:
        """Return the number of the next one that is kept, and the response itself.

        :param seen: the number of the last one that was returned; 0 at first.
        """
        for kept in (self._first, self._latest):
            if kept is not None and kept[0] > seen:
                return kept[0], self._read(kept[1])
        return None

    def _read(self, text: bytes) -> Response:
        message = parse(text)
        assert message.status is not UNSET
        return ReceivedResponse(message.status, message.reason, message.data, self._id, self._peer)
