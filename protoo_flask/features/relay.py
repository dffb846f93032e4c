"""Relaying: a request is answered with the responses of other peers.

A request to several devices is answered once: with the first 2xx, or with the best rejection
when every device has failed (see :mod:`protoo_flask.core.transactions.best_response`).
"""

from __future__ import annotations

from typing import Any, ContextManager, Sequence

from ..core.peers.peer import Peer
from ..core.request import Request, answer
from ..core.response import Response
from ..core.transactions.client import OF_CORE
from .kept_rejection import KeptRejection


class Relay:
    """The one answer to a request that was sent on to several peers.

    Only the transactions of these peers refer to it, so it is freed when the last of them ends.
    """

    __slots__ = ("_lock", "_missing", "_rejection", "_req")

    def __init__(self, req: Request, lock: ContextManager[Any]) -> None:
        self._req = req
        self._lock = lock
        #: How many peers have not given their final response.
        self._missing = 0
        self._rejection = KeptRejection()

    def send(self, message: Request, peers: Sequence[Peer]) -> None:
        """Send a message to all the peers; never blocks."""
        self._missing = len(peers)
        for peer in peers:
            timeout = peer.runtime.time_limits.request
            peer.outbound.start(message, self.receive, timeout, OF_CORE)

    def receive(self, response: Response) -> None:
        """Take a response of one of the peers."""
        # Under threads, each device has a thread of its own. Two devices may fail at the
        # same moment: without the lock, each thread could see the other device as missing,
        # and nobody would answer. Two that accept at the same moment would both answer.
        with self._lock:
            if response.is_reject:
                self._missing -= 1
                if self._missing:
                    self._rejection.add(response)
                    return
                response = self._rejection.find(response) or response
            answer(self._req, response)
