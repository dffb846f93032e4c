"""The handlers of calls: they answer requests that make a call, list calls, or go inside one."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from ...core.cluster.items import Engagement
from ...core.inbox import MAX_PATH_LENGTH
from ...core.names import check_length
from ...core.peers.homes import Homes
from ...core.peers.peer import Peer
from ...core.request import Request, answer
from ...core.response import Response
from ...core.routing.registration import Next
from ...core.runtime import Runtime
from ..permission import Permission
from ..sending_peer import sending_peer
from .call import Call
from .call_list import LIST, CallList, write
from .calls import SESSION, Calls
from .clustered_calls import MEET, ClusteredCalls
from .endings import ENDINGS
from .foreign_calls import About, home_of, id_of
from .session import Session

OnSession = Callable[[Session, Request], Any]

#: What a home does with a request that another node has forwarded; see also ``LIST``, ``MEET``.
INSIDE = "inside"


class CallHandlers:
    """The handlers of one ``session_handler()``; each app that shares it has its own calls.

    :param permission: to call a user; ``None``: everybody may call everybody.
    :param on_session: called with each new session, if given.
    :param max_sessions: how many unfinished calls one peer may have made.
    :param now: returns the time in seconds since the epoch.
    :param new_id: returns a new id for a call.
    :ivar service: the name among the services of the Protoo.
    """

    service = "calls"

    def __init__(
        self,
        permission: Permission | None,
        on_session: OnSession | None,
        max_sessions: int,
        now: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._permission = permission
        self._on_session = on_session
        self._max_sessions = max_sessions
        self._now = now
        self._new_id = new_id

    def calls_of(self, peer: Peer) -> Calls:
        """Return the calls of the app that a peer belongs to."""
        return peer.runtime.service(self, partial(self._make_calls, peer.directory.homes))

    def goes_on(self, runtime: Runtime) -> bool:
        """Whether calls are at home here; see ``EngagingService``."""
        calls: Calls | None = runtime.find_service(self)
        return calls is not None and len(calls) > 0

    def _make_calls(self, homes: Homes | None, runtime: Runtime) -> Calls:
        lock = runtime.scheduler.lock()
        if homes is None:
            return Calls(lock, new_id=self._new_id, now=self._now, max_sessions=self._max_sessions)
        return ClusteredCalls(
            lock,
            homes,
            self.service,
            new_id=self._new_id,
            now=self._now,
            max_sessions=self._max_sessions,
        )

    def is_engaged(self, peer: Peer) -> bool:
        """Whether a peer is in a call, or one rings at it; see ``EngagingService``."""
        return self.calls_of(peer).engages(peer)

    def _clustered(self, peer: Peer) -> ClusteredCalls:
        calls = self.calls_of(peer)
        assert isinstance(calls, ClusteredCalls)
        return calls

    def start(self, req: Request, next: Next) -> None:
        """Make a call from a ``session`` request, unless the application refuses."""
        # A notification has no response that could carry the path of the call.
        if req.is_notification:
            return
        if len(req.base_path) > MAX_PATH_LENGTH // 2:
            req.reply(414, "the path of the call would be too long")
            return
        peer, callee = sending_peer(req), _callee_of(req)
        check_length(callee["username"], "a username")
        if callee == peer.address:
            # RFC 3261 section 21.4.20.
            req.reply(482, "loop detected: this is the device that calls")
            return
        calls = self.calls_of(peer)
        if not calls.admit(req):
            return
        if self._permission is not None:
            self._permission.demand(peer, callee["username"])
            # The time limit may have answered the request while allow() was blocking.
            if req.ended:
                return
        call = calls.make(req, callee)
        if self._on_session is not None:
            self._on_session(call.session, req)
        req.keep_open()
        if req.ended:
            call.session.enter("refused")
        else:
            calls.start(call, req)

    def list_calls(self, req: Request, next: Next) -> None:
        """Answer with the calls of a peer."""
        peer = sending_peer(req)
        calls, homes = self.calls_of(peer), peer.directory.homes
        found = calls.describe_calls_of(peer)
        if homes is None:
            answer(req, write(found))
        else:
            CallList(req, homes, self.service, calls.lock).collect(found)

    def handle_inside(self, req: Request, next: Next) -> None:
        """Handle a request that is sent to the path of a call."""
        peer, id = sending_peer(req), req.params["id"]
        call = self.calls_of(peer).find(id)
        if call is not None:
            self._handle(call, req)
            return
        homes = peer.directory.homes
        if homes is not None:
            home = home_of(id)
            if home and not homes.is_here(home) and self._may_have_home(homes, peer, id, home):
                self._forward(req, home, homes)
                return
        # The path may also be that of a device of a user named "sessions".
        if peer.directory.find(req.params["sessions"], id):
            next()
            return
        doubt = None if homes is None else peer.directory.doubt(peer.username)
        if doubt is None:
            req.reply(404, "session not found")
        else:
            req.reply(503, doubt)

    def _may_have_home(self, homes: Homes, peer: Peer, id: str, home: str) -> bool:
        """Whether a call may be at home at a node that is named in its id, which is untrusted.

        A client could name any number of nodes, and each would have a place on the bus.
        """
        return homes.is_alive(home) and (homes.knows(home) or self._is_party(homes, peer, id))

    def _is_party(self, homes: Homes, peer: Peer, id: str) -> bool:
        """Whether another node has told this one that a peer is in a call, or rings for it."""
        keys = list(homes.engagements(peer, self.service))
        for request in homes.unanswered(peer, self.service):
            if request.engagement is not None:
                keys.append(request.engagement.key)
        return any(id_of(key) == id for key in keys)

    def _forward(self, req: Request, home: str, homes: Homes) -> None:
        """Have the home of a call handle a request, if there is such a node."""
        peer, id = sending_peer(req), req.params["id"]
        is_party = self._is_party(homes, peer, id)

        def take(response: Response) -> None:
            if response.status == 503 and response.is_local and not is_party:
                # Nobody has told this node of the call, and the id is untrusted. It may have
                # ended long ago, together with its home.
                response = Response(404, "session not found")
            answer(req, response)

        homes.forward(req, home, self.service, INSIDE, None if req.is_notification else take)

    def _handle(self, call: Call, req: Request) -> None:
        calls = self.calls_of(sending_peer(req))
        if req.method == "session":
            req.reply(405, "this is a call already: a session request makes another")
        elif req.method == "end":
            calls.hang_up(call, req)
        else:
            calls.forward(call, req)

    # The other nodes of a cluster (see HomeService) ---------------------------------------

    def handle_at_home(self, verb: str, request: Request) -> None:
        """Handle a request of a peer of another node."""
        peer = sending_peer(request)
        calls = self._clustered(peer)
        if verb == LIST:
            answer(request, write(calls.describe_calls_of(peer), with_times=True))
            return
        if verb == MEET:
            about = About(request.data["path"], SESSION, request.data["caller"])
            request.reply(200 if calls.meet(about, peer) else ENDINGS["glare"].status)
            return
        call = calls.find(request.params["id"])
        if call is None:
            request.reply(404, "session not found")
        else:
            self._handle(call, request)

    def check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        """Look at a request of another node before it is sent to a device; see ``Calls``."""
        return self._clustered(peer).check_arrival(peer, engagement)

    def home_lost(self, peer: Peer, key: str) -> None:
        """End a call whose home is gone for a local party."""
        self._clustered(peer).lose(peer, key)


def _callee_of(req: Request) -> dict[str, str]:
    username, uuid = req.params["username"], req.params.get("uuid")
    return {"username": username} if uuid is None else {"username": username, "uuid": uuid}
