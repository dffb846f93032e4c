"""A call: what is sent to whom while a session goes through its states.

session.py has the table of the states, leg.py that of each device that rings. What ends a
call, and what those concerned are told:

===========  =======================================  =============================
cause        the caller's request is answered         each device that rings gets
                                                      ``end`` with the reason
===========  =======================================  =============================
(accept)     what the device has answered, with       answered elsewhere
             ``sessionPath``
rejected     the rejection of the lowest status       (none rings any more)
declined     that 6xx                                 declined elsewhere
gone         410 peer offline                         (none rings any more)
unavailable  404 peer not found                       (none has rung)
canceled     487 canceled                             canceled
offline      487 offline                              offline
timeout      408 request timeout                      timeout
glare        491 request pending                      glare
failed       (it has an answer already)               failed
refused      (it has an answer already)               (none has rung)
===========  =======================================  =============================

After the answer it is the other party that gets ``end``: from the one who hung up, with
its data and itself as the sender, or from the server, for the reason "offline".

A device that went offline does not count when others have rejected: a user who said "busy"
at one device was there. 491 and 487 are what SIP has for the same (RFC 3261 section 14.1,
21.4.25).

Everything here happens while the lock of :class:`~.calls.Calls` is held. Sending never
blocks, so it happens at once: the order in which a peer is told is that of the table.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, ContextManager, NamedTuple, Protocol, Sequence

from ...core.errors import Reject, Unsendable
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request, answer
from ...core.response import Response
from ...core.scheduling import Timer
from ...core.transactions.best_response import best_rejection
from ...core.transactions.client import OF_CORE, URGENT
from ..relay import Relay
from .early_messages import EarlyMessages
from .leg import (
    ACCEPTED,
    PROCEEDING,
    REJECTED,
    Leg,
    event_of,
)
from .session import CLOSED, OPEN, Address, Session


class Switchboard(Protocol):
    """The calls of an app, as one of them sees them; see :class:`.calls.Calls`.

    :ivar lock: held while anything happens to a call.
    """

    lock: ContextManager[Any]

    def take_response(self, call: Call, leg: Leg, response: Response) -> None:
        """Take the answer of a device that is rung."""

    def expire(self, call: Call) -> None:
        """Let a call ring no longer."""

    def engage(self, peer: Peer, call: Call) -> None:
        """Take note that a peer is in a call."""

    def disengage(self, peer: Peer, call: Call) -> None:
        """Take note that a peer is not in a call any more."""

    def may_ring(self, peer: Peer) -> bool:
        """Whether one more call may ring at a device."""

    def stop_joining(self, call: Call) -> None:
        """Let nobody join a call any more."""

    def forget(self, call: Call) -> None:
        """Forget a call that has ended."""

    def post(self, call: Call, state: str) -> None:
        """Take note that a session has entered a state, to be told when all is done."""


class Ending(NamedTuple):
    """How the caller's request is answered, and what devices that ring are told."""

    status: int
    reason: str
    told: str


#: cause -> Ending; the table above. The status is for when there is no other response.
ENDINGS = {
    "rejected": Ending(480, "temporarily unavailable", "rejected"),
    "declined": Ending(603, "declined", "declined elsewhere"),
    "gone": Ending(410, "peer offline", "gone"),
    "unavailable": Ending(404, "peer not found", "unavailable"),
    "canceled": Ending(487, "canceled", "canceled"),
    "offline": Ending(487, "offline", "offline"),
    "timeout": Ending(408, "request timeout", "timeout"),
    "glare": Ending(491, "request pending", "glare"),
    "failed": Ending(500, "internal server error", "failed"),
}


class Call:
    """One call, from the request of its caller to its end.

    :ivar caller: the peer that calls.
    :ivar callee: the peer that has answered, ``None`` before.
    :ivar legs: the devices that ring, ``{peer: leg}``.
    """

    def __init__(self, calls: Switchboard, id: str, session: Session, req: Request) -> None:
        assert req.peer is not None
        self.id = id
        self.session = session
        self.caller = req.peer
        self.callee: Peer | None = None
        self.username = session.callee["username"]
        self.legs: dict[Peer, Leg] = {}
        self._calls = calls
        self._req: Request | None = req
        #: What the devices are rung with, also those that join.
        self._offer: dict[str, Any] = {}
        self._early = EarlyMessages()
        #: The rejection of the lowest status so far, and the devices that have rejected.
        self._rejection: Response | None = None
        self._rejected: set[str] = set()
        self._timer: Timer | None = None

    # Who it is for --------------------------------------------------------------------

    @property
    def is_for_all_devices(self) -> bool:
        """Whether it was made to a user, so that every device of theirs may ring."""
        return "uuid" not in self.session.callee

    def find_peers(self) -> list[Peer]:
        """Return the peers that it is for, and that are there now."""
        callee = self.session.callee
        peers = self.caller.directory.find(callee["username"], callee.get("uuid"))
        return [peer for peer in peers if peer is not self.caller]

    # Ringing --------------------------------------------------------------------------

    def begin(self, peers: Sequence[Peer]) -> None:
        """Tell the caller where its call is, and let it ring."""
        assert self._req is not None
        # Only now, for the site may have added to it.
        self._offer = {**self._req.data, "sessionPath": self.session.path}
        if not answer(self._req, Response(100, "connecting", {"sessionPath": self.session.path})):
            self.close("failed")
        # Sending may be what makes it known that the caller has gone.
        if not self.session.is_ringing:
            return
        runtime = self.caller.runtime
        self._timer = runtime.scheduler.call_later(
            runtime.time_limits.session, self._calls.expire, self
        )
        self._ring(peers)

    def join(self, peer: Peer) -> None:
        """Let a device ring that has come online, unless it has rejected before."""
        if (
            not self.session.is_ringing
            or peer is self.caller
            or peer in self.legs
            or peer.uuid in self._rejected
            or not self._calls.may_ring(peer)
        ):
            return
        self._ring([peer])
        for message, is_notification, _ in self._early.items():
            if is_notification:
                peer.notify(message.method, message.data, message.sender)
            else:
                peer.send(message)

    def _ring(self, peers: Sequence[Peer]) -> None:
        # All of them ring before the first can be found to have gone: or that would be
        # the last one, and the call over.
        legs = [Leg(peer) for peer in peers if self._calls.may_ring(peer)]
        if not legs and not self.legs:
            self.close("rejected", response=Response(486, "busy here"))
            return
        for leg in legs:
            self.legs[leg.peer] = leg
            self._calls.engage(leg.peer, self)
        for leg in legs:
            request = Request("session", self._offer)
            request.sender = self.caller.address
            leg.transaction = leg.peer.outbound.start(
                request, partial(self._calls.take_response, self, leg), None, OF_CORE
            )

    def receive(self, leg: Leg, response: Response) -> None:
        """Take what a device answers; ignored when it does not ring any more."""
        if not leg.enter(event_of(response)):
            return
        if leg.state is PROCEEDING:
            self._progress(response)
        elif leg.state is ACCEPTED:
            self._accept(leg, response)
        else:
            self._drop(leg, response)

    def _progress(self, response: Response) -> None:
        assert self._req is not None
        answer(self._req, self._with_our_path(response))
        if response.status > 100:
            self._enter("progress")

    def _accept(self, leg: Leg, response: Response) -> None:
        del self.legs[leg.peer]
        answered = self._answer(self._with_our_path(response))
        if not answered or not self.session.is_ringing:
            # Nobody waits for it, or it cannot be written; or the caller was found to have
            # gone. The device, which takes itself to be in the call, has to know.
            self.close("failed")
            self._calls.disengage(leg.peer, self)
            assert self.session.cause is not None
            self._send_end(leg.peer, ENDINGS[self.session.cause].told)
            return
        self.callee = leg.peer
        self.session.callee = Address(leg.peer.address)
        self._enter("accept")
        self._stop_ringing("answered elsewhere")

    def _with_our_path(self, response: Response) -> Response:
        """Return a response as it is, or with the path of the call in the place of another.

        The caller knows it from the first response of all; a device must not be able to
        say that the call is elsewhere.
        """
        if "sessionPath" not in response.data:
            return response
        data = {**response.data, "sessionPath": self.session.path}
        return Response(response.status, response.reason, data)

    def _drop(self, leg: Leg, response: Response) -> None:
        """Go on without a device that has rejected, or has gone."""
        del self.legs[leg.peer]
        self._calls.disengage(leg.peer, self)
        if leg.state is REJECTED:
            if not response.is_local:
                self._rejected.add(leg.peer.uuid)
            self._rejection = best_rejection(self._rejection, response)
            if response.status >= 600:
                self.close("declined", response=response)
                return
        if not self.legs:
            cause = "gone" if self._rejection is None else "rejected"
            self.close(cause, response=self._rejection)

    def _stop_ringing(self, reason: str) -> None:
        """Release the devices that ring; from now on nobody joins them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calls.stop_joining(self)
        self._early.clear()
        self._req = None
        self._offer = {}
        self._rejection = None
        legs, self.legs = self.legs, {}
        for leg in legs.values():
            leg.enter("release")
            self._calls.disengage(leg.peer, self)
            # First, or what waits for a device that is away would still ring there.
            if leg.transaction is not None:
                leg.transaction.cancel()
            # A device may be accepting just now. It is told last that it is not in the
            # call, and what it has sent meanwhile finds no transaction.
            self._send_end(leg.peer, reason)

    # Inside ---------------------------------------------------------------------------

    def others(self, peer: Peer) -> list[Peer]:
        """Return whom a request that a peer sends inside the call is for.

        :raises Reject: when the peer has no part in it.
        """
        if peer is self.caller:
            return list(self.legs) if self.callee is None else [self.callee]
        if peer is self.callee or peer in self.legs:
            return [self.caller]
        raise Reject(403, "this is not your session")

    def forward(self, req: Request) -> None:
        """Pass a request, or notification, on to the other side."""
        assert req.peer is not None
        peers = self.others(req.peer)
        message = Request(req.method, {**req.data, "sessionPath": self.session.path})
        message.sender = req.peer.address
        if req.peer is self.caller and self.session.is_ringing and self.is_for_all_devices:
            self._early.add(message, req.is_notification)
        if not req.is_notification:
            Relay(req, self._calls.lock).send(message, peers)
            return
        # Nobody can be told that a notification cannot be written.
        with contextlib.suppress(Unsendable):
            broadcast(peers, message.method, message.data, message.sender)
        answer(req, Response(200, "forwarded"))

    def hang_up(self, req: Request) -> None:
        """Take an ``end``: of the caller, or after the answer of either party.

        :raises Reject: 403 for a stranger, 400 for a device that is being rung.
        """
        peer = req.peer
        assert peer is not None
        self.others(peer)
        if self.session.is_ringing:
            if peer is not self.caller:
                raise Reject(400, 'to reject a call, answer its "session" request')
            answer(req, Response(200, "session canceled"))
            self.close("canceled", by=peer)
            return
        answer(req, Response(200, "session ended"))
        self.close("ended", by=peer, data=req.data)

    def leave(self, peer: Peer) -> None:
        """Take note that a peer has gone offline."""
        if peer in self.legs:
            gone = Response(410, "peer offline", peer=peer, is_local=True)
            self.receive(self.legs[peer], gone)
        elif peer is self.caller or peer is self.callee:
            self.close("offline", by=peer)

    # The end --------------------------------------------------------------------------

    def close(
        self,
        cause: str,
        *,
        by: Peer | None = None,
        response: Response | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """End it; nothing happens when it has ended.

        :param cause: an event of the table of session.py.
        :param by: who ended it.
        :param response: the answer to the caller, instead of that of the table.
        :param data: what ``by`` says to the other party.
        """
        session = self.session
        if by is not None and session.state != CLOSED:
            session.ended_by = by.address
        if session.is_ringing:
            ending = ENDINGS[cause]
            self._answer(response or Response(ending.status, ending.reason))
            self._enter(cause)
            self._stop_ringing(ending.told)
        elif session.state == OPEN:
            self._enter(cause)
            self._part(cause, by, data or {})
        self._calls.forget(self)

    def _part(self, cause: str, by: Peer | None, data: dict[str, Any]) -> None:
        """Tell the other party of a call that was answered that it is over."""
        other = self.callee if by is self.caller else self.caller
        assert other is not None
        if cause == "ended" and by is not None:
            request = Request("end", {**data, "sessionPath": self.session.path})
            request.sender = by.address
            response = other.send(request, timeout=other.runtime.time_limits.delivery).response
            # What is nested so deeply that it cannot be written must not keep it from them,
            # nor what is too much beside all that they have not answered.
            if response is None:
                return
        self._send_end(other, cause)

    def _send_end(self, peer: Peer, reason: str) -> None:
        # Who is away, and is not told, would take itself to be in the call for ever.
        peer.outbound.start(
            Request("end", {"sessionPath": self.session.path, "reason": reason}),
            None,
            peer.runtime.time_limits.delivery,
            URGENT,
        )

    def _enter(self, event: str) -> None:
        state = self.session.enter(event)
        if state is not None:
            self._calls.post(self, state)

    def _answer(self, response: Response) -> bool:
        """Give the caller's request its final response; ``False`` if it has another."""
        req, self._req = self._req, None
        if req is None:
            return False
        answered = answer(req, response)
        final = req.response or response
        self.session.status, self.session.reason = final.status, final.reason
        return answered
