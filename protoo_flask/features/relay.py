"""Relaying: what the answers of others make of a request.

A request to one device is answered with its responses as they are. One that went to
several, while they all ring, is answered once: with the first 2xx, or with the failure of
the lowest status when each of them has failed (RFC 3261 section 16.7).
"""

from __future__ import annotations

from types import MethodType
from typing import Any, ContextManager, Sequence

from ..core.peers.peer import Peer
from ..core.request import Request, answer, relay_answer
from ..core.response import Response
from ..core.transactions.client import OF_CORE


def relay(req: Request, peer: Peer) -> None:
    """Send a request on to a peer, whose responses answer it as they are; never blocks."""
    timeout = peer.runtime.time_limits.request
    # A method of the request, as it were, and not a partial(): calling that leaves the interpreter.
    peer.outbound.start(req, MethodType(relay_answer, req), timeout, OF_CORE)


class Relay:
    """The answer to a request, made of what one or several peers answer.

    Only their transactions refer to it, so it is gone when the last of them has ended.
    """

    __slots__ = ("_failure", "_lock", "_missing", "_req")

    def __init__(self, req: Request, lock: ContextManager[Any]) -> None:
        self._req = req
        self._lock = lock
        self._missing = 0
        self._failure: Response | None = None

    def send(self, message: Request, peers: Sequence[Peer]) -> None:
        """Send a message to all of them; never blocks."""
        self._missing = len(peers)
        for peer in peers:
            timeout = peer.runtime.time_limits.request
            peer.outbound.start(message, self.receive, timeout, OF_CORE)

    def receive(self, response: Response) -> None:
        """Take a response of one of them."""
        # Each device has a thread of its own where there are threads. Of two that fail at
        # the same moment, each could find that the other is still missing, and nobody
        # would answer; of two that accept, both would.
        with self._lock:
            if response.is_reject:
                self._missing -= 1
                if self._failure is None or response.status < self._failure.status:
                    self._failure = response
                if self._missing:
                    return
                response = self._failure
            answer(self._req, response)
