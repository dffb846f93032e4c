"""Calls: ``session`` requests that ring at the devices of a user, and requests inside them."""

from __future__ import annotations

import secrets
import time
from typing import Callable

from ...core.errors import UsageError
from ...core.functions import check_function
from ...core.routing.router import Router
from ...extension import Protoo
from ..limits import check_limit
from ..permission import Allow, Permission
from .handlers import CallHandlers, OnSession

#: Unfinished calls that one peer may have made: more than a person makes at a time, calls on
#: hold included. Each call may ring at all devices of a user.
MAX_SESSIONS = 16

#: Bytes of randomness in the id of a call. OWASP asks for 8 in the id of a login session.
ID_BYTES = 16


def session_handler(
    protoo: Protoo,
    path: str = "/:username/:uuid?",
    on_session: OnSession | None = None,
    *,
    allow: Allow | None = None,
    max_sessions: int = MAX_SESSIONS,
    now: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: secrets.token_urlsafe(ID_BYTES),
) -> Router:
    """Return a router that connects calls between peers.

    ::

        protoo.use("/users", session_handler(protoo))

    A ``session`` to ``/users/bob`` rings every device of Bob's except the caller itself. A
    ``session`` to ``/users/bob/<uuid>`` rings that device. The caller gets 100 with
    ``data.sessionPath``, a path below the same mount: ``/users/sessions/<id>``.

    =====================================  ==================================================
    ``session`` to ``/bob``                starts a call; 404 "peer not found" when no device
                                           is online
    ``end`` to ``/sessions/<id>``          ends the call: 200
    anything else to ``/sessions/<id>``    is sent on to the other party, and its responses
                                           come back; 403 for a peer outside the call, 404
                                           for an unknown call
    ``get`` to ``/sessions``               200, ``data.sessions``: the calls of the peer, a
                                           list of ``{path, state, caller, callee}``
    =====================================  ==================================================

    Mount it before a messenger at the same place: the messenger takes ``/sessions/<id>`` for
    a device of a user named "sessions". A user of that name can still be called, and can
    get messages.

    :param path: the path below the mount, with the parameters ``username`` and ``uuid``.
    :param allow: ``fn(peer, username)``; returns whether the peer may call that user, or raises
        :class:`~protoo_flask.Reject`. It is called once for each call, before ``on_session``
        and before any device rings: a refused caller (403) does not learn whether the user is
        online. The username is untrusted, and the user need not exist. ``None``: everybody
        may call everybody.
    :param on_session: ``fn(session, req)``, called in the caller's Flask contexts before any
        device rings, also when none is online. It may refuse the call by a reply to ``req``.
        It may register listeners: ``@session.on("progress" | "open" | "close")``. See
        :class:`~protoo_flask.features.calls.session.Session`.
    :param max_sessions: how many unfinished calls one peer may have made; then 429.
    :param now: returns the time in seconds since the epoch.
    :param new_id: returns a new id for a call, which must be impossible to guess.
    :raises UsageError: for a path without ``:username``, an ``allow`` or ``on_session`` that is
        no such function, or a limit that is not an integer of at least 1.
    """
    if ":username" not in str(path):
        raise UsageError(
            "session_handler(path=...) takes a path with the parameter :username, like "
            f'"/:username/:uuid?", not {path!r}'
        )
    if on_session is not None:
        check_function(on_session, "fn(session, req)")
    permission = None
    if allow is not None:
        permission = Permission("session_handler(allow=...)", "call", allow, everybody="None")
    check_limit(
        max_sessions,
        "session_handler(max_sessions=...) takes the number of unfinished calls of one peer",
    )
    handlers = CallHandlers(permission, on_session, max_sessions, now, new_id)
    handlers.service = protoo.add_service("calls", handlers)
    protoo.on("online", lambda peer: handlers.calls_of(peer).join(peer))
    protoo.on("offline", lambda peer: handlers.calls_of(peer).leave(peer))
    router = Router()
    router.get("/sessions", handlers.list_calls)
    # "sessions" is a parameter, so that its spelling by the client is known: as a username.
    router.all("/:sessions(sessions)/:id", handlers.handle_inside)
    router.session(path, handlers.start)
    return router
