"""A delivery report: what became of one message at the devices it went to.

A message to a user forks the way a SIP request does: every device answers for itself,
and the sender is told once (RFC 3261 section 16.7). What it is told depends on the mode.

==========  ==============================  ===========================================
mode        answered                        with
==========  ==============================  ===========================================
"first"     when one device has accepted    what that device answered
"all"       when each has answered          200 "message delivered to N of M peers"
either      when each has failed            the failure of the lowest status
==========  ==============================  ===========================================

A local final response (timeout, offline, canceled, unsendable) is a failure like any
other, so every device comes to an end and every sender to an answer.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.response import Response

#: What ``report=`` may be, besides ``None``.
MODES = ("first", "all")


class DeliveryReport:
    """The answer to a message, made of what its recipients answer.

    Only their transactions refer to it, so it is gone when the last of them has ended.

    :param req: the message; its provisional responses are passed on as they come.
    :param peers: to whom it goes; the devices of one user, at least one.
    :param mode: one of :data:`MODES`. With a single peer they are the same.
    :param on_gone: called with the answer, instead of giving it, when all of them went
        offline before they answered.
    """

    def __init__(
        self,
        req: Request,
        peers: Sequence[Peer],
        mode: str,
        on_gone: Callable[[Response], Any] | None = None,
    ) -> None:
        self._req = req
        self._peers = peers
        self._one_is_enough = mode == "first" or len(peers) == 1
        self._on_gone = on_gone
        self._finals: dict[Peer, Response] = {}
        self._concluded = False
        self._lock = peers[0].runtime.scheduler.lock()

    def send(self) -> None:
        """Send the message to all of them; never blocks."""
        for peer in self._peers:
            peer.send(self._req, on_response=self.receive)

    def receive(self, response: Response) -> None:
        """Take a response of one of them; ignored when the answer has been given."""
        peer = response.peer
        assert peer is not None
        # Each device has a thread of its own where there are threads. Of two that answer
        # at the same moment, both could find that theirs is the one that was missing, and
        # answer the sender twice; so finding it and taking note of it are one step.
        # Provisional responses are relayed inside of it, lest one come after the answer.
        with self._lock:
            if self._concluded:
                return
            if response.is_provisional:
                peer.call_back(self._req.reply, response)
                return
            self._finals[peer] = response
            answer = self._conclude(response)
            if answer is None:
                return
            self._concluded = True
        # Outside: on_gone may block.
        if self._on_gone is not None and all(map(is_gone, self._finals.values())):
            self._on_gone(answer)
        else:
            peer.call_back(self._req.reply, answer)

    def _conclude(self, latest: Response) -> Response | None:
        """Return the answer; ``None`` while it depends on devices still to come."""
        if latest.is_accept and self._one_is_enough:
            return self._report(latest)
        if len(self._finals) < len(self._peers):
            return None
        finals = [self._finals[peer] for peer in self._peers]
        accepted = sum(final.is_accept for final in finals)
        if accepted:
            reason = f"message delivered to {accepted} of {len(finals)} peers"
            return self._report(Response(200, reason))
        return self._report(min(finals, key=lambda final: final.status))

    def _report(self, response: Response) -> Response:
        """Return ``response`` with who has accepted and who has failed so far."""
        finals = [self._finals[peer] for peer in self._peers if peer in self._finals]
        data = {
            **response.data,
            "delivered": [_uuid(final) for final in finals if final.is_accept],
            "failed": [_uuid(final) for final in finals if final.is_reject],
        }
        return Response(response.status, response.reason, data)


def is_gone(response: Response) -> bool:
    """Whether it says that the peer went offline before it answered."""
    # A 410 of the peer's own means whatever the application takes it for.
    return response.is_local and response.status == 410


def _uuid(response: Response) -> str:
    assert response.peer is not None
    return str(response.peer.uuid)
