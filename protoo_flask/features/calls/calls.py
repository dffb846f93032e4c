"""The calls of one app: who is in which, and which ring at the devices of whom.

Kept is what has not ended, and nothing of a peer that is in no call:

=============  ====================================================================
``_calls``     ``{id: call}``
``_engaged``   ``{peer: {id: call}}``: the caller, the devices that ring, and after
               the answer the one that gave it
``_joinable``  ``{username: {id: call}}``: those that ring at every device of a user
=============  ====================================================================

Under threads, requests, responses, timers and departures come from everywhere. There is
one lock for all the calls, since two of them can depend on each other (glare); nothing
that blocks happens inside of it. What the application is told (:meth:`~.session.Session.on`)
is told outside, one thing at a time for each call, in a greenlet of its own: those who
happen to have brought it about may be in the middle of a handler, whose Flask contexts
and database session are nobody else's.

A peer that goes offline is taken off the directory first, then its transactions end (410),
and then "offline" is told. So whoever is put into a call and is still listed will be found
by :meth:`Calls.leave`; that is checked for the caller. A device that is rung needs no check,
for a request to a peer that has gone ends at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, ContextManager, Iterator

from ...core.errors import Reject
from ...core.events import EventQueues, SiteEvent
from ...core.peers.peer import Peer
from ...core.request import Request, answer
from ...core.response import Response
from .call import Call
from .leg import Leg
from .session import EVENTS, Session

#: Calls that may ring at a device at a time: more than anybody can choose between. Each has an
#: offer that is kept until it is answered, of up to the size of a message; many of them would
#: leave no room for what else the device is to be sent.
MAX_RINGING = 8


class Calls:
    """The calls of one app that have not ended.

    :param lock: a re-entrant one. Those of peers and of the directory are taken inside of
        it, never the other way around.
    :param new_id: makes the ids of the calls, which nobody can guess.
    :param now: the time in seconds since the epoch.
    :param max_sessions: how many calls a peer may have made that have not ended.
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
        self._joinable: dict[str, dict[str, Call]] = {}
        self._events = EventQueues(self._tell, self.lock)
        self._depth = 0
        self._to_tell: list[Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    # What peers ask for -----------------------------------------------------------------

    def admit(self, req: Request) -> bool:
        """Answer 403 when the peer has too many calls; ``False`` then."""
        with self.lock:
            calls = self._engaged.get(_peer_of(req), {}).values()
            number = sum(call.caller is req.peer for call in calls)
        if number < self._max_sessions:
            return True
        reason = f"you have made {number} calls that go on, which is the limit"
        answer(req, Response(403, reason))
        return False

    def make(self, req: Request, callee: dict[str, str]) -> Call:
        """Make a call of a ``session`` request; nobody knows of it yet."""
        id = self._new_id()
        path = f"{req.base_path}/sessions/{id}"
        session = Session(path, _peer_of(req).address, callee, self._now)
        return Call(self, id, session, req)

    def start(self, call: Call, req: Request) -> None:
        """Let a call ring, if there is anybody."""
        with self._changing():
            # Again: the site may have been asked about several at the same time.
            if not self.admit(req):
                call.session.enter("refused")
                return
            peers = call.find_peers()
            if not peers:
                call.close("unavailable")
                return
            rivals = self._find_rivals(call, peers)
            # The paths differ in the ids only, but for how their callers have written the
            # mount, which must not be what decides.
            if any(rival.id < call.id for rival in rivals):
                call.close("glare")
                return
            for rival in rivals:
                rival.close("glare")
            self._calls[call.id] = call
            self.engage(call.caller, call)
            if call.is_for_all_devices:
                self._joinable.setdefault(call.username, {})[call.id] = call
            if call.caller.is_listed:
                call.begin(peers)
            else:
                # It went while the site was being asked; "offline" may have been told.
                call.leave(call.caller)

    def find(self, id: str) -> Call | None:
        """Return the call with an id, if it has not ended."""
        return self._calls.get(id)

    def describe_calls_of(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the calls that a peer is in, or that ring there, the oldest first."""
        with self.lock:
            calls = list(self._engaged.get(peer, {}).values())
            return [call.session.describe() for call in calls]

    def forward(self, call: Call, req: Request) -> None:
        """Pass a request inside a call on; a stranger's is answered 403."""
        with self._changing():
            self._take(call, call.forward, req)

    def hang_up(self, call: Call, req: Request) -> None:
        """Take an ``end``; a stranger is answered 403, a device that rings 400."""
        with self._changing():
            self._take(call, call.hang_up, req)

    # What happens to them -----------------------------------------------------------------

    def take_response(self, call: Call, leg: Leg, response: Response) -> None:
        """Take what a device that is rung answers."""
        with self._changing():
            call.receive(leg, response)

    def expire(self, call: Call) -> None:
        """Let a call ring no longer."""
        with self._changing():
            # The timer may have fired just when somebody answered.
            if call.session.is_ringing:
                call.close("timeout")

    def join(self, peer: Peer) -> None:
        """Let a peer that has come online ring, too."""
        with self._changing():
            for call in list(self._joinable.get(peer.username, {}).values()):
                call.join(peer)

    def leave(self, peer: Peer) -> None:
        """Take a peer that has gone offline out of its calls."""
        with self._changing():
            for call in list(self._engaged.get(peer, {}).values()):
                call.leave(peer)

    # What calls tell ------------------------------------------------------------------------

    def engage(self, peer: Peer, call: Call) -> None:
        """Take note that a peer is in a call."""
        self._engaged.setdefault(peer, {})[call.id] = call

    def may_ring(self, peer: Peer) -> bool:
        """Whether one more call may ring at a device."""
        calls = self._engaged.get(peer, {}).values()
        return sum(peer in call.legs for call in calls) < MAX_RINGING

    def disengage(self, peer: Peer, call: Call) -> None:
        """Take note that a peer is not in a call any more."""
        _discard(self._engaged, peer, call.id)

    def stop_joining(self, call: Call) -> None:
        """Let nobody join a call any more."""
        _discard(self._joinable, call.username, call.id)

    def forget(self, call: Call) -> None:
        """Forget a call that has ended."""
        self._calls.pop(call.id, None)
        self.disengage(call.caller, call)
        if call.callee is not None:
            self.disengage(call.callee, call)

    def post(self, call: Call, state: str) -> None:
        """Take note that a session has entered a state, to be told when all is done."""
        if call.session.is_listened_to:
            self._events.post(call.id, SiteEvent(EVENTS[state], call))
            self._to_tell.append(call)

    def _tell(self, event: SiteEvent) -> None:
        call: Call = event.subject
        for function in call.session.listeners(event.name):
            call.caller.runtime.call_back(call.caller, function, call.session)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; what has happened meanwhile is told when it is free again."""
        told: list[Call] = []
        try:
            with self.lock:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    if not self._depth:
                        told, self._to_tell = self._to_tell, []
        finally:
            for call in dict.fromkeys(told):
                call.caller.runtime.scheduler.spawn(self._events.drain, call.id)

    def _take(self, call: Call, function: Callable[[Request], None], req: Request) -> None:
        try:
            if self._calls.get(call.id) is not call:
                # It has ended since it was found.
                raise Reject(404, "session not found")
            function(req)
        except Reject as refusal:
            # Not left to the router, which would tell the site of an error: who hangs up
            # when the other does so too has done nothing wrong.
            answer(req, Response(refusal.code, refusal.reason))

    def _find_rivals(self, call: Call, peers: list[Peer]) -> list[Call]:
        """Return the calls from one of ``peers`` that ring at the caller of this one."""
        around = self._engaged.get(call.caller, {}).values()
        return [other for other in around if call.caller in other.legs and other.caller in peers]


def _discard(table: dict[Any, dict[str, Call]], key: Any, id: str) -> None:
    calls = table.get(key)
    if calls is not None:
        calls.pop(id, None)
        if not calls:
            del table[key]


def _peer_of(req: Request) -> Peer:
    assert req.peer is not None
    return req.peer
