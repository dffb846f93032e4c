"""Local transactions: client transactions whose two halves are in one process.

:mod:`.client` has the asker's half. Here is the owner's half in the same object: the text of the
request, and where it is counted (:mod:`.unanswered`).
"""

from __future__ import annotations

from typing import Any

from ..response import Response
from ..sendable import Sendable
from .client import CALLING, TERMINATED, TRANSITIONS, ClientTransaction, OnResponse, Owner
from .unanswered import Account


class LocalTransaction(ClientTransaction):
    """Both halves in one: the asker is in the process that holds the link."""

    __slots__ = ("account", "engagement", "payload", "sender", "size")

    #: The text of the request, the bytes that are kept, and the peer that it comes from. Set by
    #: :meth:`Outbound.start`, as the others.
    payload: bytes
    size: int
    sender: dict[str, str] | None

    #: Where it is counted for a user, if anywhere.
    account: Account | None

    #: The call or room that it belongs to, in a cluster; else it is not set.
    engagement: Any


class CoreTransaction(LocalTransaction):
    """A transaction of the core, which neither waits for responses nor iterates over them.

    So it keeps none: a peer may send provisional responses for as long as a call rings. It
    calls ``on_response`` itself, as that needs no contexts of the site. It repeats the step of
    ``ClientTransaction._enter``, so that a relayed message makes fewer calls.
    """

    __slots__ = ()

    def __init__(
        self,
        request: Sendable,
        peer: Any,
        owner: Owner,
        id: int,
        on_response: OnResponse | None,
    ) -> None:
        # Not by super(), on purpose: that is a call and three fields more for each message.
        self.request = request
        self.peer = peer
        self.id = id
        self.state = CALLING
        self.response = None
        self._owner = owner
        self._on_response = on_response
        self._timer = None

    def receive(self, response: Response) -> None:
        event = "final" if response.status >= 200 else "provisional"
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return
        self.state = state
        if state is TERMINATED:
            self.response = response
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            observer = self._owner.runtime.observer
            if observer is not None:
                observer.concluded(self)
        if self._on_response is not None:
            self._on_response(response)
