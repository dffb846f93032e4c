"""Calls: ``session`` requests that ring at the devices of a user, and what follows."""

from __future__ import annotations

import secrets
import time
from typing import Any, Callable

from ...core.errors import UsageError
from ...core.functions import check_function
from ...core.inbox import MAX_PATH_LENGTH
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...core.runtime import Runtime
from ...extension import Protoo
from .calls import Calls
from .session import Session

OnSession = Callable[[Session, Request], Any]

#: Calls that a peer may have made that have not ended: more than anybody makes at a time,
#: with those on hold. Each of them may ring at all the devices of a user.
MAX_SESSIONS = 16

#: Bytes of randomness in the id of a call; OWASP asks for 8 in that of a login.
ID_BYTES = 16


def session_handler(
    protoo: Protoo,
    path: str = "/:username/:uuid?",
    on_session: OnSession | None = None,
    *,
    max_sessions: int = MAX_SESSIONS,
    now: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: secrets.token_urlsafe(ID_BYTES),
) -> Router:
    """Return a router that connects calls between peers.

    ::

        protoo.use("/users", session_handler(protoo))

    A ``session`` to ``/users/bob`` rings every device of Bob's (except the one that calls),
    one to ``/users/bob/<uuid>`` that device. The caller gets 100 with ``data.sessionPath``,
    below the same mount: ``/users/sessions/<id>``.

    =====================================  ==================================================
    ``session`` to ``/bob``                starts a call; nobody there: 404 "peer not found"
    ``end`` to ``/sessions/<id>``          ends it: 200
    anything else to ``/sessions/<id>``    is passed on to the other party, and its responses
                                           back; a stranger gets 403, and when there is no
                                           such call: 404
    ``get`` to ``/sessions``               200, ``data.sessions``: the calls of the peer, a
                                           list of ``{path, state, caller, callee}``
    =====================================  ==================================================

    Mount it before a messenger at the same place, which takes ``/sessions/<id>`` for a
    device of somebody who is called "sessions". One who really is can be called, and sent
    messages, nevertheless.

    :param path: where below the mount; its parameters are ``username`` and ``uuid``.
    :param on_session: ``fn(session, req)``, called in the caller's Flask contexts before
        anything rings, also when nobody is there. It may reply to ``req`` to refuse, and
        listen: ``@session.on("progress" | "open" | "close")``. See
        :class:`~protoo_flask.features.calls.session.Session`.
    :param max_sessions: how many calls a peer may have made that have not ended; then 403.
    :param now: the time in seconds since the epoch.
    :param new_id: makes the ids of the calls; nobody must be able to guess one.
    :raises UsageError: for what is no function, or no number of calls.
    """
    if ":username" not in str(path):
        raise UsageError(
            "session_handler(path=...) takes a path with the parameter :username, like "
            f'"/:username/:uuid?", not {path!r}'
        )
    if on_session is not None:
        check_function(on_session, "fn(session, req)")
    if isinstance(max_sessions, bool) or not (isinstance(max_sessions, int) and max_sessions > 0):
        raise UsageError(
            "session_handler(max_sessions=...) takes how many calls a peer may have made that go "
            f"on, an integer of at least 1, not {max_sessions!r}"
        )
    # Several apps may share this router; each has calls of its own.
    key = object()

    def calls_of(peer: Peer) -> Calls:
        return peer.runtime.service(key, make_calls)

    def make_calls(runtime: Runtime) -> Calls:
        return Calls(runtime.scheduler.lock(), new_id=new_id, now=now, max_sessions=max_sessions)

    def start(req: Request, next: Next) -> None:
        if req.is_notification:
            return  # nobody could be told where the call is
        if len(req.base_path) > MAX_PATH_LENGTH // 2:
            req.reply(414, "the path of the call would be too long")
            return
        peer, callee = _peer_of(req), _callee_of(req)
        if callee == peer.address:
            # RFC 3261 section 21.4.20.
            req.reply(482, "loop detected: this is the device that calls")
            return
        calls = calls_of(peer)
        if not calls.admit(req):
            return
        call = calls.make(req, callee)
        if on_session is not None:
            on_session(call.session, req)
        req.keep_open()
        if req.ended:
            call.session.enter("refused")
        else:
            calls.start(call, req)

    def list_calls(req: Request, next: Next) -> None:
        peer = _peer_of(req)
        req.reply(200, "OK", {"sessions": calls_of(peer).describe_calls_of(peer)})

    def take_inside(req: Request, next: Next) -> None:
        peer, id = _peer_of(req), req.params["id"]
        calls = calls_of(peer)
        call = calls.find(id)
        if call is None:
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

    protoo.on("online", lambda peer: calls_of(peer).join(peer))
    protoo.on("offline", lambda peer: calls_of(peer).leave(peer))
    router = Router()
    router.get("/sessions", list_calls)
    # A parameter, to have it as the peer has written it: as a username.
    router.all("/:sessions(sessions)/:id", take_inside)
    router.session(path, start)
    return router


def _callee_of(req: Request) -> dict[str, str]:
    username, uuid = req.params["username"], req.params.get("uuid")
    return {"username": username} if uuid is None else {"username": username, "uuid": uuid}


def _peer_of(req: Request) -> Peer:
    assert req.peer is not None  # only a request to be sent has none
    return req.peer
