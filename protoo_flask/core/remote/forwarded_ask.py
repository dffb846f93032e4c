"""A forwarded ask: the owner's half of a request whose asker is at another node."""

from __future__ import annotations

from typing import Any, Protocol

from ..cluster.items import Engagement
from ..response import Response
from ..transactions.client import RELAYED, URGENT
from ..transactions.unanswered import REQUEST_SIZE, Account


class AnswerSender(Protocol):
    """Sends answers to askers; see :class:`.ForeignRequests`."""

    def answer(self, half: ForwardedAsk, response: Response) -> None:
        """Send an answer to the asker of a half, and forget the half with a final one."""


class ForwardedAsk:
    """The owner's half of a request; an :class:`~..transactions.unanswered.OwnersHalf`.

    Its asker has the timer, and says so when it waits no longer.

    :ivar asker: the node that asks.
    :ivar ask: the number of the request there.
    :ivar id: on the wire.
    :ivar peer: that is asked.
    :ivar kind: as of client transactions.
    :ivar engagement: the call or room that it belongs to, as its asker has sent it.
    """

    __slots__ = (
        "_answers",
        "account",
        "ask",
        "asker",
        "engagement",
        "id",
        "kind",
        "payload",
        "peer",
        "sender",
        "size",
    )

    def __init__(
        self,
        answers: AnswerSender,
        asker: str,
        ask: int,
        id: int,
        peer: Any,
        payload: bytes,
        sender: dict[str, str] | None,
        kind: str,
        engagement: Engagement | None = None,
    ) -> None:
        self._answers = answers
        self.asker = asker
        self.ask = ask
        self.id = id
        self.peer = peer
        self.payload = payload
        self.size = len(payload) + REQUEST_SIZE
        self.sender = sender
        self.account: Account | None = None
        self.kind = kind
        self.engagement = engagement

    def set_account(self) -> None:
        """Count it for its sender, though nobody has asked whether there is room."""
        if self.sender is not None:
            is_spread = self.kind is not RELAYED and self.kind is not URGENT
            self.account = Account(self.sender["username"], is_spread, False)

    def receive(self, response: Response) -> None:
        """Send a response of the peer to the asker."""
        self._answers.answer(self, response)

    def finish(self, status: int, reason: str, data: dict[str, Any] | None = None) -> None:
        """End it with a response made here; nothing happens when it has ended."""
        if self.peer.outbound.release(self):
            self.fail(status, reason, data)

    def fail(self, status: int, reason: str, data: dict[str, Any] | None = None) -> None:
        """End it as :meth:`finish` does, when the peer's messages have not taken it."""
        self.receive(Response(status, reason, data, is_local=True))


class OwnAsk(ForwardedAsk):
    """The owner's half of a request of this node: its peer was elsewhere when it was sent.

    :param transaction: the asker's half, whose number is not the id on the wire.
    """

    __slots__ = ("transaction",)

    def __init__(self, transaction: Any, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transaction = transaction
