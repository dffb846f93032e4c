"""The best rejection so far, kept while other devices have not answered.

A request that went to several devices is answered with the best rejection when all of them
have rejected it. Until then, the devices could make the server keep data of theirs for each such
request. So it is kept as text, and without its data if that is long.
"""

from __future__ import annotations

from ..core.errors import Unsendable
from ..core.response import Response
from ..core.transactions.best_response import best_rejection
from ..core.wire.kept_text import read_kept
from ..core.wire.messages import serialize_response

#: Bytes of the text of a rejection. A reason and some data ("busy until noon") have room. A
#: longer one is kept without its data.
MAX_SIZE = 4096

#: Characters of the reason of a longer one.
MAX_REASON = 200


class KeptRejection:
    """The best one of the rejections of several devices.

    Of equal ones, the best is that of the device with the lowest place, then the earliest one.
    """

    __slots__ = ("_best", "_place", "_text")

    def __init__(self) -> None:
        #: Without its data.
        self._best: Response | None = None
        self._place = 0
        self._text = b""

    def add(self, rejection: Response, place: int = 0) -> None:
        """Keep a rejection, if it is better than the one that is kept."""
        if not self._loses_to(rejection, place):
            return
        try:
            text = serialize_response(rejection.status, rejection.reason, 0, rejection.data)
        except Unsendable:
            text = b""
        self._text = text if len(text) <= MAX_SIZE else b""
        self._best = Response(rejection.status, rejection.reason[:MAX_REASON])
        self._place = place

    def find(self, newest: Response | None = None, place: int = 0) -> Response | None:
        """Return the best one, of ``newest`` too; ``None`` if there is none."""
        if self._best is None or (newest is not None and self._loses_to(newest, place)):
            return newest
        if not self._text:
            return self._best
        message = read_kept(self._text)
        return Response(message["status"], message["reason"], message["data"])

    def _loses_to(self, other: Response, place: int) -> bool:
        best = self._best
        if best is None or best_rejection(best, other) is other:
            return True
        are_equal = best_rejection(other, best) is other
        return are_equal and place < self._place
