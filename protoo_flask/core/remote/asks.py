"""Asks: the questions of this node to others that are not answered yet.

==================  ===================  =======================================
an ask is           event                next state, and action
==================  ===================  =======================================
asked               provisional answer   asked; told to its asker
asked               final answer         over; told
asked               "moved"              asked; once, the peer is looked for anew
asked               it cannot arrive     over; a local 503
asked               its node is gone     over; a local 503
asked               ended by its asker   over; a Cancel
over                anything             over; nothing: it came too late
==================  ===================  =======================================
"""

from __future__ import annotations

from typing import Any, Callable, Protocol

from ..cluster.items import Answer, Engagement
from ..response import ReceivedResponse, Response
from ..wire.messages import parse_data


class PendingAsk(Protocol):
    """A question that awaits the answers of another node.

    :ivar node: which is asked.
    """

    node: str

    def take(self, answer: Answer) -> None:
        """Take an answer; must not block. Of a final one, the ask has been forgotten."""

    def fail(self, status: int, reason: str) -> None:
        """Take note that no answer comes, as for a local response; must not block."""


class AskOfPeer:
    """A request to a peer of another node: the way from its answers to its transaction.

    :ivar has_moved: whether the peer has been looked for anew.
    :ivar has_heard: whether an answer has come.
    """

    __slots__ = ("engagement", "has_heard", "has_moved", "kind", "node", "transaction")

    def __init__(
        self, transaction: Any, node: str, kind: str, engagement: Engagement | None
    ) -> None:
        self.transaction = transaction
        self.node = node
        self.kind = kind
        self.engagement = engagement
        self.has_moved = False
        self.has_heard = False

    def take(self, answer: Answer) -> None:
        self.has_heard = True
        transaction = self.transaction
        data = parse_data(answer.data) if answer.data else None
        response = ReceivedResponse(
            answer.status, answer.reason, data, transaction.id, transaction.peer
        )
        response.is_local = answer.is_local
        transaction._owner.receive(transaction.id, response)

    def fail(self, status: int, reason: str) -> None:
        # Not finish(): nobody is to be told of the end.
        transaction = self.transaction
        response = Response(status, reason, id=transaction.id, peer=transaction.peer, is_local=True)
        transaction._owner.receive(transaction.id, response)


class AskOfNode:
    """A question to a node itself, such as a request for a home.

    :param function: called with each response.
    :ivar has_heard: as of :class:`AskOfPeer`.
    """

    __slots__ = ("_function", "has_heard", "node", "peer")

    def __init__(self, node: str, peer: Any, function: Callable[[Response], Any]) -> None:
        self.node = node
        self.peer = peer
        self.has_heard = False
        self._function = function

    def take(self, answer: Answer) -> None:
        self.has_heard = True
        data = parse_data(answer.data) if answer.data else {}
        is_local = answer.is_local
        self._function(
            Response(answer.status, answer.reason, data, peer=self.peer, is_local=is_local)
        )

    def fail(self, status: int, reason: str) -> None:
        self._function(Response(status, reason, peer=self.peer, is_local=True))


class AskForText:
    """A question to a node whose answer is no JSON object.

    :param function: called with the text; empty if there is none.
    """

    __slots__ = ("_function", "node")

    def __init__(self, node: str, function: Callable[[bytes], Any]) -> None:
        self.node = node
        self._function = function

    def take(self, answer: Answer) -> None:
        self._function(answer.data)

    def fail(self, status: int, reason: str) -> None:
        self._function(b"")
