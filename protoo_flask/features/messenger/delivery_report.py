"""A delivery report: the one answer to a message that went to several devices.

A message to a user forks like a SIP request: every device answers for itself, and the
sender gets one answer (RFC 3261 section 16.7). The mode decides which:

==========  ==============================  ===========================================
mode        the answer is given when        and consists of
==========  ==============================  ===========================================
"first"     one device has accepted         the response of that device
"all"       each device has answered        200 "message delivered to N of M peers"
either      each device has failed          the best rejection
==========  ==============================  ===========================================

A local final response (timeout, offline, canceled, unsendable) counts as a failure. So
every device comes to an end, and every sender gets an answer. The rule for the best
rejection is in :mod:`protoo_flask.core.transactions.best_response`.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.response import Response
from ...core.transactions.client import OF_CORE
from ..kept_rejection import KeptRejection

#: The legal values of ``report=``, besides ``None``.
MODES = ("first", "all")


class DeliveryReport:
    """The answer to a message, built from the responses of its recipients.

    Only their transactions refer to it, so it is freed when the last of them ends.

    :param req: the message; provisional responses to it are relayed as they arrive.
    :param peers: the recipients: devices of one user, at least one.
    :param mode: one of :data:`MODES`. With a single peer both modes do the same.
    :param on_gone: called with the answer, instead of sending it, when all recipients went
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
        #: {a recipient that has answered: whether it accepted}
        self._accepted: dict[Peer, bool] = {}
        #: Whether all that have answered were gone.
        self._all_gone = True
        self._rejection = KeptRejection()
        self._concluded = False
        self._lock = peers[0].runtime.scheduler.lock()

    def send(self) -> None:
        """Send the message to all recipients; never blocks."""
        for peer in self._peers:
            timeout = peer.runtime.time_limits.request
            peer.outbound.start(self._req, self.receive, timeout, OF_CORE)

    def receive(self, response: Response) -> None:
        """Take a response of one recipient; it is ignored once the answer has been given."""
        peer = response.peer
        assert peer is not None
        # Under threads, each device has a thread of its own. Two devices may answer at the
        # same moment, each find its response to be the last one, and the sender would get
        # two answers. The lock makes counting a response and deciding one step. Provisional
        # responses are relayed under the lock too, so that none can follow the answer.
        with self._lock:
            if self._concluded:
                return
            if response.is_provisional:
                peer.call_back(self._req.reply, response)
                return
            self._accepted[peer] = response.is_accept
            self._all_gone = self._all_gone and is_gone(response)
            answer = self._conclude(response)
            if answer is None:
                return
            self._concluded = True
        # The lock is free here, because on_gone may block.
        if self._on_gone is not None and self._all_gone:
            self._on_gone(answer)
        else:
            peer.call_back(self._req.reply, answer)

    def _conclude(self, newest: Response) -> Response | None:
        """Return the answer, or ``None`` while it depends on devices that have not answered."""
        if newest.is_accept and self._one_is_enough:
            return self._report(newest)
        assert newest.peer is not None
        place = self._peers.index(newest.peer)
        if len(self._accepted) < len(self._peers):
            if newest.is_reject:
                self._rejection.add(newest, place)
            return None
        accepted = sum(self._accepted.values())
        if accepted:
            reason = f"message delivered to {accepted} of {len(self._peers)} peers"
            return self._report(Response(200, reason))
        return self._report(self._rejection.find(newest, place) or newest)

    def _report(self, response: Response) -> Response:
        """Return ``response`` with the uuids of the devices that have accepted and failed."""
        answered = [peer for peer in self._peers if peer in self._accepted]
        data = {
            **response.data,
            "delivered": [str(peer.uuid) for peer in answered if self._accepted[peer]],
            "failed": [str(peer.uuid) for peer in answered if not self._accepted[peer]],
        }
        return Response(response.status, response.reason, data)


def is_gone(response: Response) -> bool:
    """Whether a response says that the peer went offline before it answered."""
    # Only a local 410 says so. A device may send a 410 of its own, with its own meaning.
    return response.is_local and response.status == 410
