"""The handlers of calls: they answer requests that make a call, list calls, or go inside one."""

from __future__ import annotations

from typing import Any, Callable

from ...core.inbox import MAX_PATH_LENGTH
from ...core.names import check_length
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.routing.registration import Next
from ...core.runtime import Runtime
from ..permission import Permission
from ..sending_peer import sending_peer
from .calls import Calls
from .session import Session

OnSession = Callable[[Session, Request], Any]


class CallHandlers:
    """The handlers of one ``session_handler()``; each app that shares it has its own calls.

    :param permission: to call a user; ``None``: everybody may call everybody.
    :param on_session: called with each new session, if given.
    :param max_sessions: how many unfinished calls one peer may have made.
    :param now: returns the time in seconds since the epoch.
    :param new_id: returns a new id for a call.
    """

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
        return peer.runtime.service(self, self._make_calls)

    def _make_calls(self, runtime: Runtime) -> Calls:
        return Calls(
            runtime.scheduler.lock(),
            new_id=self._new_id,
            now=self._now,
            max_sessions=self._max_sessions,
        )

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
        req.reply(200, "OK", {"sessions": self.calls_of(peer).describe_calls_of(peer)})

    def handle_inside(self, req: Request, next: Next) -> None:
        """Handle a request that is sent to the path of a call."""
        peer, id = sending_peer(req), req.params["id"]
        calls = self.calls_of(peer)
        call = calls.find(id)
        if call is None:
            # The path may also be that of a device of a user named "sessions".
            if peer.directory.get(req.params["sessions"], id) is None:
                req.reply(404, "session not found")
            else:
                next()
        elif req.method == "session":
            req.reply(405, "this is a call already: a session request makes another")
        elif req.method == "end":
            calls.hang_up(call, req)
        else:
            calls.forward(call, req)


def _callee_of(req: Request) -> dict[str, str]:
    username, uuid = req.params["username"], req.params.get("uuid")
    return {"username": username} if uuid is None else {"username": username, "uuid": uuid}
