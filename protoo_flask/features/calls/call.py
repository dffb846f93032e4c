"""A call: the messages that it sends as its session goes through the states.

session.py has the table of these states, leg.py the states of each ringing device, and
endings.py the texts at the end of a ringing call. After a call was answered, its end is an
``end`` request to the other party: from the party that hung up, with its data and itself
as the sender, or from the server, with the reason "offline".

Everything here runs while the lock of :class:`~.calls.Calls` is held. Sending never blocks,
so messages are sent at once, and each peer gets them in the order of the tables.
"""

from __future__ import annotations

import contextlib
from typing import Any, ContextManager, Protocol, Sequence

from ...core.errors import Reject, Unsendable
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request, answer
from ...core.response import Response
from ...core.scheduling import Timer
from ...core.transactions.best_response import SAYS_LEAST
from ...core.wire.messages import serialize_request
from ...core.wire.object_size import estimate_size
from ..kept_rejection import KeptRejection
from ..relay import Relay
from ..sending_peer import sending_peer
from .early_messages import EarlyMessages
from .endings import ENDINGS
from .leg import ACCEPTED, PROCEEDING, REJECTED, Leg, event_of
from .party_watch import has_gone
from .session import CLOSED, OPEN, Address, Session

#: Bytes that a call takes besides its offer: the call, its session and its request.
CALL_SIZE = 4096

#: Devices that have rejected a call before no more may join it. A user has sixteen devices, but an
#: untrusted one may come back under another uuid each time.
MAX_REJECTED = 64


class CallOwner(Protocol):
    """The calls of an app, as far as one call needs them; see :class:`.calls.Calls`.

    :ivar lock: held during every change of a call.
    """

    lock: ContextManager[Any]

    def ring(self, leg: Leg, call: Call, offer: dict[str, Any]) -> None:
        """Send a device the ``session`` request; its responses come by ``call.receive``."""

    def send_end(self, peer: Peer, call: Call, reason: str) -> None:
        """Send a device an ``end`` from the server."""

    def expire(self, call: Call) -> None:
        """End a call that has rung for too long."""

    def engage(self, peer: Peer, call: Call) -> None:
        """Count a peer as being in a call."""

    def disengage(self, peer: Peer, call: Call) -> None:
        """No longer count a peer as being in a call."""

    def may_ring(self, peer: Peer) -> bool:
        """Whether one more call may ring at a device."""

    def has_space(self, call: Call, size: int) -> bool:
        """Whether so many bytes more may be kept for a call."""

    def send_farewell(self, peer: Peer, call: Call, request: Request) -> None:
        """Send a device the ``end`` of the other party, or else one from the server."""

    def stop_joining(self, call: Call) -> None:
        """Let no more devices join a call."""

    def forget(self, call: Call) -> None:
        """Forget a call that has ended."""

    def post(self, call: Call, state: str) -> None:
        """Post a new state of a session, for the listeners of the application."""


class Call:
    """One call, from the request of its caller to its end.

    :ivar caller: the peer that has made the call.
    :ivar callee: the peer that has answered, ``None`` before.
    :ivar legs: the ringing devices, ``{peer: leg}``.
    :ivar newcomers: devices that have come online before it began to ring.
    :ivar is_being_told: whether listeners of its end are still to be called.
    """

    def __init__(self, calls: CallOwner, id: str, session: Session, req: Request) -> None:
        self.id = id
        self.session = session
        self.caller = sending_peer(req)
        self.callee: Peer | None = None
        self.username = session.callee["username"]
        self.legs: dict[Peer, Leg] = {}
        self.newcomers: list[Peer] = []
        self.is_being_told = False
        self._has_begun = False
        self._calls = calls
        self._req: Request | None = req
        #: The data of the ``session`` request to each device, also to those that join later.
        self._offer: dict[str, Any] = {}
        #: Bytes of its text, of which each ringing device has one.
        self._offer_length = 0
        #: Bytes of the caller's data as objects. The request has them to the end: a listener of
        #: the site may have kept it.
        self._objects = 0
        self._early = EarlyMessages()
        self._rejection = KeptRejection()
        #: The uuids of the devices that have rejected.
        self._rejected: set[str] = set()
        self._timer: Timer | None = None

    # The called devices ---------------------------------------------------------------

    @property
    def is_for_all_devices(self) -> bool:
        """Whether the call is to a user, so that every device of the user may ring."""
        return "uuid" not in self.session.callee

    def find_peers(self) -> list[Peer]:
        """Return the called devices that are online now. May block in a cluster."""
        callee = self.session.callee
        peers = self.caller.directory.find(callee["username"], callee.get("uuid"))
        return [peer for peer in peers if peer is not self.caller]

    # Memory ---------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of memory that the call takes, rounded up."""
        return CALL_SIZE + self._objects + self._offer_length * len(self.legs) + self._early.size

    def prepare(self, devices: int) -> int:
        """Make the offer; returns the bytes of its text for so many devices."""
        assert self._req is not None
        # The site may have added to the data in on_session, so it is read only now.
        self._offer = {**self._req.data, "sessionPath": self.session.path}
        # An offer that cannot be written ends the call at once.
        with contextlib.suppress(Unsendable):
            text = serialize_request("session", None, self._offer, self.caller.address)
            self._offer_length = len(text)
            self._objects = estimate_size(text)
        return self._offer_length * devices

    # Ringing --------------------------------------------------------------------------

    def begin(self, peers: Sequence[Peer]) -> None:
        """Tell the caller the path of the call, and ring the devices; see :meth:`prepare`."""
        assert self._req is not None
        self._has_begun, self.newcomers = True, []
        if not answer(self._req, Response(100, "connecting", {"sessionPath": self.session.path})):
            self.close("failed")
        # The send may have revealed that the caller has gone, which has ended the call.
        if not self.session.is_ringing:
            return
        runtime = self.caller.runtime
        self._timer = runtime.scheduler.call_later(
            runtime.time_limits.session, self._calls.expire, self
        )
        self._ring(peers)

    def join(self, peer: Peer) -> None:
        """Ring a device that has come online, unless it has rejected this call."""
        if peer is self.caller:
            return
        if not self._has_begun:
            self.newcomers.append(peer)
            return
        if (
            not self.session.is_ringing
            or peer in self.legs
            or peer.uuid in self._rejected
            or len(self._rejected) >= MAX_REJECTED
            or not self._calls.may_ring(peer)
            or not self._calls.has_space(self, self._offer_length)
        ):
            return
        self._ring([peer])
        for message, is_notification in self._early.items():
            if is_notification:
                peer.notify(message.method, message.data, message.sender)
            else:
                peer.send(message)

    def _ring(self, peers: Sequence[Peer]) -> None:
        # All legs are registered before the first send. A send may reveal that its device
        # has gone. If that device were the only one registered, the call would end.
        legs = [Leg(peer) for peer in peers if self._calls.may_ring(peer)]
        if len(legs) < len(peers):
            # A device at which no more calls may ring counts as one that has rejected.
            self._rejection.add(Response(486, "busy here"))
        if not legs and not self.legs:
            self.close("rejected", response=self._rejection.find())
            return
        for leg in legs:
            self.legs[leg.peer] = leg
            self._calls.engage(leg.peer, self)
        for leg in legs:
            self._calls.ring(leg, self, self._offer)

    def receive(self, leg: Leg, response: Response) -> None:
        """Take a response of a device; it is ignored when the device rings no more."""
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
            # The caller's request has another answer, or the response cannot be written, or
            # the send has revealed that the caller has gone. The device believes to be in
            # the call, so it needs an "end".
            self.close("failed")
            self._calls.disengage(leg.peer, self)
            assert self.session.cause is not None
            self._calls.send_end(leg.peer, self, ENDINGS[self.session.cause].told)
            return
        self.callee = leg.peer
        self.session.callee = Address(leg.peer.address)
        self._enter("accept")
        self._stop_ringing("answered elsewhere")

    def _with_our_path(self, response: Response) -> Response:
        """Return a response; a ``sessionPath`` in it is replaced by the path of the call.

        The caller has the path from the 100. A device must not be able to name another.
        """
        if "sessionPath" not in response.data:
            return response
        data = {**response.data, "sessionPath": self.session.path}
        return Response(response.status, response.reason, data)

    def _drop(self, leg: Leg, response: Response) -> None:
        """Go on without a device that has rejected the call or gone offline."""
        del self.legs[leg.peer]
        self._calls.disengage(leg.peer, self)
        if leg.state is REJECTED:
            if response.is_local and response.status == ENDINGS["glare"].status:
                # The node of the device has seen that it calls the caller, by a call that stays.
                self.close("glare")
                return
            if not response.is_local:
                self._rejected.add(leg.peer.uuid)
            if response.status >= 600:
                self.close("declined", response=response)
                return
            if self.legs:
                self._rejection.add(response)
            else:
                self.close("rejected", response=self._rejection.find(response))
        elif not self.legs:
            rejection = self._rejection.find()
            self.close("gone" if rejection is None else "rejected", response=rejection)

    def expire(self) -> None:
        """End a call that has rung for too long.

        It counts as a 408 of the devices that still ring (RFC 3261 section 16.8). A rejection
        that says more is the answer to the caller: 486 of one device, when another one lies
        in a drawer.
        """
        rejection = self._rejection.find(Response(408, "request timeout"))
        told = None if rejection is None or rejection.status in SAYS_LEAST else rejection
        self.close("timeout", response=told)

    def _stop_ringing(self, reason: str) -> None:
        """Release the ringing devices; no more devices join."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calls.stop_joining(self)
        self._early.clear()
        self._req = None
        self._offer = {}
        if not self.session.is_listened_to:
            self._objects = 0
        self._rejection = KeptRejection()
        legs, self.legs = self.legs, {}
        for leg in legs.values():
            leg.enter("release")
            self._calls.disengage(leg.peer, self)
            # The cancel comes before the "end": a request that waits for a device that is
            # away would otherwise still ring there.
            if leg.transaction is not None:
                leg.transaction.cancel()
            # A device may be accepting at this moment. Its response will find no
            # transaction, and the last message it gets says that it is not in the call.
            self._calls.send_end(leg.peer, self, reason)

    # Inside ---------------------------------------------------------------------------

    def others(self, peer: Peer) -> list[Peer]:
        """Return the recipients of a request that a peer sends inside the call.

        :raises Reject: 403 for a peer that is not in the call.
        """
        if peer is self.caller:
            return list(self.legs) if self.callee is None else [self.callee]
        if peer is self.callee or peer in self.legs:
            return [self.caller]
        raise Reject(403, "this is not your session")

    def forward(self, req: Request) -> None:
        """Send a request or notification on to the other side."""
        sender = sending_peer(req)
        peers = self.others(sender)
        message = Request(req.method, {**req.data, "sessionPath": self.session.path})
        message.sender = sender.address
        if sender is self.caller and self._keeps_early_messages():
            self._early.add(message, req.is_notification)
        if not req.is_notification:
            Relay(req, self._calls.lock).send(message, peers)
            return
        # A notification that cannot be written is dropped: it has no response to say so.
        with contextlib.suppress(Unsendable):
            broadcast(peers, message.method, message.data, message.sender)
        answer(req, Response(200, "forwarded"))

    def _keeps_early_messages(self) -> bool:
        # Beyond the limit, a device that joins gets the messages that were sent first.
        is_joinable = self.session.is_ringing and self.is_for_all_devices
        return is_joinable and self._calls.has_space(self, 0)

    def hang_up(self, req: Request) -> None:
        """Handle an ``end``: from the caller, and after the answer also from the callee.

        :raises Reject: 403 for a peer that is not in the call, 400 for a ringing device.
        """
        peer = sending_peer(req)
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
        """Handle that a peer of the call has gone offline."""
        if peer in self.legs:
            gone = Response(410, "peer offline", peer=peer, is_local=True)
            self.receive(self.legs[peer], gone)
        elif peer is self.caller or peer is self.callee:
            self.close("offline", by=peer)

    @property
    def parties(self) -> list[Peer]:
        """The caller, the callee, and the devices that ring."""
        parties = [self.caller, *self.legs]
        return parties if self.callee is None else [*parties, self.callee]

    @property
    def has_remote_parties(self) -> bool:
        """Whether any of them is connected to another node of a cluster."""
        return not all(peer.is_local for peer in self.parties)

    def rings(self, address: dict[str, str]) -> bool:
        """Whether the call rings at a device."""
        return any(peer.address == address for peer in self.legs)

    def leave_missing(self, username: str, peers: list[Peer]) -> None:
        """Handle that parties of a user have gone offline.

        :param peers: the devices of the user that are there, as far as the directory knows.
        """
        for peer in self.parties:
            if peer.username == username and has_gone(peer, peers):
                self.leave(peer)

    # The end --------------------------------------------------------------------------

    def close(
        self,
        cause: str,
        *,
        by: Peer | None = None,
        response: Response | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """End the call; a call that has ended stays as it is.

        :param cause: an event of the table of session.py.
        :param by: the peer that ends the call, if one does.
        :param response: the answer to the caller, instead of the one of endings.py.
        :param data: the data of the ``end`` from ``by`` to the other party.
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
            self._send_farewell(cause, by, data or {})
        self._calls.forget(self)

    def _send_farewell(self, cause: str, by: Peer | None, data: dict[str, Any]) -> None:
        """Send the other party of an answered call an ``end``, or both of them."""
        for other in (self.caller, self.callee):
            # Parties elsewhere know that this node is lost to them, before it knows itself.
            knows = other is by or (cause == "lost" and other is not None and not other.is_local)
            if other is not None and not knows:
                self._say_farewell(other, cause, by, data)

    def _say_farewell(self, other: Peer, cause: str, by: Peer | None, data: dict[str, Any]) -> None:
        if cause == "ended" and by is not None:
            request = Request("end", {**data, "sessionPath": self.session.path})
            request.sender = by.address
            self._calls.send_farewell(other, self, request)
        else:
            told = ENDINGS[cause].told if cause in ENDINGS else cause
            self._calls.send_end(other, self, told)

    def _enter(self, event: str) -> None:
        state = self.session.enter(event)
        if state is not None:
            self._calls.post(self, state)

    def _answer(self, response: Response) -> bool:
        """Send the caller the final response; ``False`` if the request has another one."""
        req, self._req = self._req, None
        if req is None:
            return False
        answered = answer(req, response)
        final = req.response or response
        self.session.status, self.session.reason = final.status, final.reason
        return answered
