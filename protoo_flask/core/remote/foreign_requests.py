"""The requests of other nodes that this one has to answer, and the answers.

======================  =====================================================================
table                   content
======================  =====================================================================
``halves``              ``{(node, number): half}``: requests to peers of this node
``visits``              ``{(node, number)}``: those to calls and rooms of this node
``moved``               those that have moved with their peers: their new owners tell the askers
``recent``              final answers, which an asker may have lost
``provisional``         the latest provisional ones, likewise
======================  =====================================================================
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from ..cluster.items import Answer
from ..errors import Unsendable
from ..response import Response
from ..wire.messages import serialize_data
from .forwarded_ask import ForwardedAsk
from .recent_answers import MAX_RECENT, RecentAnswers


class ForeignRequests:
    """The requests of other nodes; an :class:`.forwarded_ask.AnswerSender`.

    :param send: ``send(node, answer)``
    """

    def __init__(self, send: Callable[[str, Answer], Any]) -> None:
        self._send = send
        self.halves: dict[tuple[str, int], ForwardedAsk] = {}
        self.visits: set[tuple[str, int]] = set()
        self.moved: deque[tuple[str, int]] = deque(maxlen=MAX_RECENT)
        self.recent: RecentAnswers[tuple[str, int], Answer] = RecentAnswers()
        self.provisional: RecentAnswers[tuple[str, int], Answer] = RecentAnswers()

    def add(self, half: ForwardedAsk) -> None:
        """Await the answer of a peer of this node."""
        self.halves[half.asker, half.ask] = half

    def note_move(self, half: ForwardedAsk) -> None:
        """Take note that a request has moved with its peer."""
        key = half.asker, half.ask
        self.halves.pop(key, None)
        self.moved.append(key)

    # Answers ---------------------------------------------------------------------------------

    def answer(self, half: ForwardedAsk, response: Response) -> None:
        """Send an answer to the asker of a half, and forget the half with a final one."""
        answer = make_answer(half.ask, response)
        if answer.status >= 200:
            self.halves.pop((half.asker, half.ask), None)
        self._answer(half.asker, answer)

    def answer_visit(self, node: str, number: int, response: Response) -> None:
        """Send an answer to a request of another node that is handled at its home, here."""
        answer = make_answer(number, response)
        if answer.status >= 200:
            self.visits.discard((node, number))
        self._answer(node, answer)

    def _answer(self, node: str, answer: Answer) -> None:
        kept = self.recent if answer.status >= 200 else self.provisional
        kept.add((node, answer.ask), answer, len(answer.data))
        self._send(node, answer)

    def end_half(self, asker: str, number: int, status: int, reason: str) -> None:
        """Answer a request that another node had, and that is lost."""
        self.halves.pop((asker, number), None)
        self._send(asker, Answer(number, status, reason, b"", True))

    # Nobody waits for the answer -----------------------------------------------------------------

    def cancel(self, node: str, number: int) -> None:
        """Forget a request whose asker waits no more."""
        self.visits.discard((node, number))
        half = self.halves.pop((node, number), None)
        if half is not None:
            half.peer.outbound.release(half)

    def drop(self, node: str | None) -> None:
        """Forget the requests of a node, or of all nodes: nobody waits for the answers."""
        for asker, number in list(self.halves):
            if node in (None, asker):
                self.cancel(asker, number)
        self.visits = {key for key in self.visits if node not in (None, key[0])}


def make_answer(number: int, response: Response) -> Answer:
    """Return a response as an item."""
    try:
        data = serialize_data(response.data) if response.data else b""
    except Unsendable as error:
        return Answer(number, 500, str(error), b"", True)
    return Answer(number, response.status, response.reason, data, response.is_local)
