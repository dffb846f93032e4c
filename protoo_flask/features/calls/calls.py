"""The calls of one app, and the peers that are in them.

The indexes have only calls that have not ended, and only peers that are in a call:

=============  ====================================================================
``_calls``     ``{id: call}``
``_engaged``   ``{peer: {id: call}}``: the caller and the ringing devices; after the
               answer, the caller and the callee
``_joinable``  ``{username: {id: call}}``: ringing calls to every device of a user
=============  ====================================================================

One more index has also calls that have ended, until their listeners have been called:
``_made``, ``{username: {id: call}}``, the calls that the devices of a user have made. It is
counted at each new call. Without it, a user who makes calls and hangs up at once could have a
site with slow listeners run any number of them at a time.

Under threads, requests, responses, timers and departures arrive in any thread. All calls
share one lock, because two calls can depend on each other (glare). Nothing blocks while the
lock is held. Listeners of the application (:meth:`~.session.Session.on`) are called without
it, in order and one at a time for each call, in a greenlet of their own. The current
greenlet may be in a handler, and the Flask contexts and the database session there belong
to that handler.

A peer that goes offline is removed from the directory and enters that state first, then its
transactions end (410), then its "offline" is told. So :meth:`Calls.leave` will still be called
for a peer that is not offline at the time it is added to a call. This is checked for the
caller. A called device needs no check, because a request to a peer that has gone ends at once.

The question who is there may block in a cluster, so it is asked without the lock. A call can be
joined before the question is asked, and begins with those who were found or came meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, ContextManager, Iterator

from ...core.cluster.items import Engagement
from ...core.errors import Reject
from ...core.events import EventQueues, SiteEvent
from ...core.peers.peer import OFFLINE, Peer
from ...core.request import Request, answer
from ...core.response import Response
from ...core.transactions.client import OF_CORE, URGENT, OnResponse
from ..sending_peer import sending_peer
from .call import Call
from .leg import Leg
from .session import CLOSED, EVENTS, Session

#: Calls that may ring at a device at a time: more than a person can choose from. The offer of
#: each call, up to the size of a message, is kept until the device answers. Many of them
#: would leave no room for other messages to the device.
MAX_RINGING = 8

#: Requests ``end`` that a device may leave unanswered before it counts as busy. Each is kept until
#: its time is up, and sent however much is unanswered, because a device must hear of the end.
MAX_ENDS = 100

#: Kinds of requests to the device of a callee.
SESSION, END = "session", "end"

#: How many times the unfinished calls of one peer the devices of a user may have made together.
DEVICES = 4

#: Bytes that the calls made by one user may take. Most of it are the offers: each device
#: that rings has one, of some 5 KiB, and an untrusted caller may send 64 KiB to 16 devices.
MAX_SIZE_PER_USER = 4 * 1024 * 1024


class Calls:
    """The calls of one app that have not ended.

    :param lock: a re-entrant lock. The locks of peers and of the directory are taken while it
        is held, never the other way around.
    :param new_id: returns a new id for a call, which must be impossible to guess.
    :param now: returns the time in seconds since the epoch.
    :param max_sessions: how many unfinished calls one peer may have made.
    """

    def __init__(
        self,
        lock: ContextManager[Any],
        *,
        new_id: Callable[[], str],
        now: Callable[[], float],
        max_sessions: int,
    ) -> None:
        self.lock = lock
        self._new_id = new_id
        self._now = now
        self._max_sessions = max_sessions
        self._calls: dict[str, Call] = {}
        self._engaged: dict[Peer, dict[str, Call]] = {}
        self._made: dict[str, dict[str, Call]] = {}
        self._joinable: dict[str, dict[str, Call]] = {}
        #: {device: how many ``end`` requests it has not answered}
        self._ends: dict[Peer, int] = {}
        self._events = EventQueues(self._tell, self.lock)
        self._depth = 0
        #: Calls with posted events; told when the outermost _changing() ends.
        self._changed: list[Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    # Requests of peers -------------------------------------------------------------------

    def admit(self, req: Request) -> bool:
        """Whether the peer may make one more call; if not, it is answered 429."""
        peer = sending_peer(req)
        with self.lock:
            made = self._made.get(peer.username, {}).values()
            number, whose = sum(call.caller is peer for call in made), "you have"
            if number < self._max_sessions:
                if len(made) < DEVICES * self._max_sessions:
                    return True
                number, whose = len(made), "your devices have"
        reason = f"{whose} made {number} calls that go on, which is the limit"
        self._deny(req, peer, reason)
        return False

    def _deny(self, req: Request, peer: Peer, reason: str) -> None:
        peer.runtime.limited("calls", peer, reason)
        answer(req, Response(429, reason))

    def make(self, req: Request, callee: dict[str, str]) -> Call:
        """Make a call from a ``session`` request; it is in no index yet."""
        id = self._new_id()
        path = f"{req.base_path}/sessions/{id}"
        session = Session(path, sending_peer(req).address, callee, self._now)
        return Call(self, id, session, req)

    def start(self, call: Call, req: Request) -> None:
        """Ring the called devices, if any is online. May block in a cluster."""
        with self._changing():
            # Counted once more: on_session may have run for several calls at the same time.
            if not self.admit(req):
                call.session.enter("refused")
                return
            self._made.setdefault(call.caller.username, {})[call.id] = call
            # Before looking who is there: a device that comes meanwhile is noted.
            if call.is_for_all_devices:
                self._joinable.setdefault(call.username, {})[call.id] = call
        try:
            found = call.find_peers()
            doubt = None if found else call.caller.directory.doubt(call.username)
        except BaseException:
            with self.lock:
                self._give_up(call)
            raise
        with self._changing():
            self._begin(call, req, found, doubt)

    def _begin(self, call: Call, req: Request, found: list[Peer], doubt: str | None) -> None:
        peers = [*found, *(peer for peer in call.newcomers if peer not in found)]
        if not peers:
            # Who is not found may be there all the same, at a node that cannot be asked.
            call.close("unavailable", response=None if doubt is None else Response(503, doubt))
            return
        if not self.has_space(call, call.prepare(len(peers))):
            reason = "your calls take too much memory: too much is ringing"
            self._deny(req, call.caller, reason)
            self._give_up(call)
            return
        if not self._outlast_rivals(call, peers):
            call.close("glare")
            return
        self._add(call, peers)
        if call.caller.state is OFFLINE:
            # The caller has gone while on_session ran; its "offline" may have been told.
            call.leave(call.caller)
        else:
            call.begin(peers)

    def _add(self, call: Call, peers: list[Peer]) -> None:
        """Put a call that is about to ring into the indexes."""
        self._calls[call.id] = call
        self.engage(call.caller, call)

    def _give_up(self, call: Call) -> None:
        """Forget a call that has never rung."""
        call.session.enter("refused")
        self.stop_joining(call)
        self.forget(call)

    def find(self, id: str) -> Call | None:
        """Return the call with an id; ``None`` when there is none, or it has ended."""
        return self._calls.get(id)

    def describe_calls_of(self, peer: Peer) -> list[tuple[float, dict[str, Any]]]:
        """Return the calls that a peer is in or that ring at it, the oldest first.

        :returns: each with the time at which it began.
        """
        with self.lock:
            calls = list(self._engaged.get(peer, {}).values())
            return [(call.session.started, call.session.describe()) for call in calls]

    def forward(self, call: Call, req: Request) -> None:
        """Send a request on to the other side; a peer outside the call is answered 403."""
        with self._changing():
            self._handle(call, call.forward, req)

    def hang_up(self, call: Call, req: Request) -> None:
        """Handle an ``end``; a peer outside the call is answered 403, a ringing device 400."""
        with self._changing():
            self._handle(call, call.hang_up, req)

    # Responses, timers, arrivals and departures --------------------------------------------

    def take_response(self, call: Call, leg: Leg, response: Response) -> None:
        """Take a response of a ringing device."""
        with self._changing():
            call.receive(leg, response)

    def expire(self, call: Call) -> None:
        """End a call that has rung for too long."""
        with self._changing():
            # The timer may have fired at the moment of the answer.
            if call.session.is_ringing:
                call.expire()

    def join(self, peer: Peer) -> None:
        """Ring a device that has come online."""
        with self._changing():
            for call in list(self._joinable.get(peer.username, {}).values()):
                call.join(peer)

    def leave(self, peer: Peer) -> None:
        """Remove a peer that has gone offline from its calls."""
        with self._changing():
            for call in list(self._engaged.get(peer, {}).values()):
                call.leave(peer)

    # For the calls (see CallOwner) ----------------------------------------------------------

    def engages(self, peer: Peer) -> bool:
        """Whether a peer is in a call, or one rings at it."""
        return peer in self._engaged

    def engage(self, peer: Peer, call: Call) -> None:
        """Count a peer as being in a call."""
        self._engaged.setdefault(peer, {})[call.id] = call

    def may_ring(self, peer: Peer) -> bool:
        """Whether one more call may ring at a device."""
        ringing, ends = self._count(peer)
        if ringing < MAX_RINGING and ends < MAX_ENDS:
            return True
        peer.runtime.limited("ringing", peer, "too many calls ring there")
        return False

    def _count(self, peer: Peer) -> tuple[int, int]:
        """Return how many calls ring at a device, and how many ``end`` it has not answered."""
        calls = self._engaged.get(peer, {}).values()
        return sum(peer in call.legs for call in calls), self._ends.get(peer, 0)

    def ring(self, leg: Leg, call: Call, offer: dict[str, Any]) -> None:
        """Send a device the ``session`` request of a call."""
        request = Request("session", offer)
        request.sender = call.caller.address
        leg.transaction = leg.peer.outbound.start(
            request,
            partial(self.take_response, call, leg),
            None,
            OF_CORE,
            self._describe(call, SESSION),
        )

    def send_end(self, peer: Peer, call: Call, reason: str) -> None:
        """Send a device an ``end`` from the server."""
        self._send_end(peer, call.session.path, reason, self._describe(call, END))

    def send_farewell(self, peer: Peer, call: Call, request: Request) -> None:
        """Send a device the ``end`` of the other party, or else one from the server."""

        def take_response(response: Response) -> None:
            # Its data is nested too deeply to be written, or the device has too much
            # unanswered; of a device at another node, that is known later.
            if response.is_local and response.status in (400, 503):
                with self.lock:
                    self.send_end(peer, call, "ended")

        timeout = peer.runtime.time_limits.delivery
        peer.outbound.start(request, take_response, timeout, OF_CORE)

    def _send_end(
        self, peer: Peer, path: str, reason: str, engagement: Engagement | None = None
    ) -> None:
        # URGENT, and with a timeout that is long enough for a peer that is away. Without the
        # "end", that peer would believe to be in the call for ever.
        peer.outbound.start(
            Request("end", {"sessionPath": path, "reason": reason}),
            self._expect_end(peer),
            peer.runtime.time_limits.delivery,
            URGENT,
            engagement,
        )

    def _describe(self, call: Call, kind: str) -> Engagement | None:
        """Describe a call to the node of a device, if there are other nodes.

        :param kind: of the request to the device: ``SESSION`` or ``END``.
        """
        return None

    def _expect_end(self, peer: Peer) -> OnResponse:
        """Count an ``end`` to a device; returns the function that takes its responses."""
        self._ends[peer] = self._ends.get(peer, 0) + 1

        def take_response(response: Response) -> None:
            if response.is_final:
                with self.lock:
                    self._ends[peer] -= 1
                    if not self._ends[peer]:
                        del self._ends[peer]

        return take_response

    def has_space(self, call: Call, size: int) -> bool:
        """Whether so many bytes more may be kept for a call.

        The only call of a user may take more: the size of a message is limited elsewhere.
        """
        made = self._made.get(call.caller.username, {}).values()
        return len(made) == 1 or sum(other.size for other in made) + size <= MAX_SIZE_PER_USER

    def disengage(self, peer: Peer, call: Call) -> None:
        """No longer count a peer as being in a call."""
        _discard(self._engaged, peer, call.id)

    def stop_joining(self, call: Call) -> None:
        """Let no more devices join a call."""
        _discard(self._joinable, call.username, call.id)

    def forget(self, call: Call) -> None:
        """Forget a call that has ended."""
        self._calls.pop(call.id, None)
        self.disengage(call.caller, call)
        if call.callee is not None:
            self.disengage(call.callee, call)
        if not call.is_being_told:
            self._release(call)

    def _release(self, call: Call) -> None:
        """Make place for the next call of a user: all listeners of this one have been called."""
        _discard(self._made, call.caller.username, call.id)

    def post(self, call: Call, state: str) -> None:
        """Post a new state of a session; it is told when the lock is free again."""
        if call.session.is_listened_to:
            self._events.post(call.id, SiteEvent(EVENTS[state], call))
            self._changed.append(call)
            call.is_being_told = call.is_being_told or state is CLOSED

    def _tell(self, event: SiteEvent) -> None:
        call: Call = event.subject
        try:
            for function in call.session.listeners(event.name):
                call.caller.runtime.call_back(call.caller, function, call.session)
        finally:
            if event.name == EVENTS[CLOSED]:
                with self.lock:
                    self._release(call)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; the events posted meanwhile are told when it is free again."""
        changed: list[Call] = []
        try:
            with self.lock:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    if not self._depth:
                        changed, self._changed = self._changed, []
        finally:
            for call in dict.fromkeys(changed):
                call.caller.runtime.scheduler.spawn(self._events.drain, call.id)

    def _handle(self, call: Call, function: Callable[[Request], None], req: Request) -> None:
        try:
            if self._calls.get(call.id) is not call:
                # The call has ended since it was found.
                raise Reject(404, "session not found")
            function(req)
        except Reject as refusal:
            # The router would report a Reject to the site as an error. It is answered here,
            # because a party that hangs up just after the other has done nothing wrong.
            answer(req, Response(refusal.code, refusal.reason))

    def _outlast_rivals(self, call: Call, peers: list[Peer]) -> bool:
        """End the calls from one of ``peers`` that ring at the caller of this call.

        The path that sorts lower stays. The ids are compared, and not the paths, because
        the callers may have written the mount differently, which must not decide.

        :returns: ``False`` when one of them stays, and this call does not.
        """
        caller = call.caller
        engaged = self._engaged.get(caller, {}).values()
        rivals = [other for other in engaged if caller in other.legs and other.caller in peers]
        if any(rival.id < call.id for rival in rivals):
            return False
        for rival in rivals:
            rival.close("glare")
        return True


def _discard(table: dict[Any, dict[str, Call]], key: Any, id: str) -> None:
    calls = table.get(key)
    if calls is not None:
        calls.pop(id, None)
        if not calls:
            del table[key]
