"""Instant messages from peer to peer."""

from __future__ import annotations

from typing import Literal

from ...core.errors import UsageError
from ...core.functions import check_function
from ...core.routing.router import Router
from ...extension import Protoo
from ..permission import Allow, Permission
from .delivery_report import MODES
from .messenger import Messenger, OnOffline


def p2p_messenger(
    protoo: Protoo,
    path: str = "/:username/:uuid?",
    *,
    allow: Allow | None = None,
    report: Literal["first", "all"] | None = None,
    carbons: bool = False,
    on_offline: OnOffline | None = None,
) -> Router:
    """Return a router that sends ``message`` requests on to the peers they are addressed to.

    ::

        protoo.use("/users", p2p_messenger(protoo))

    A ``message`` to ``/users/bob/<uuid>`` goes to that device. A ``message`` to
    ``/users/bob`` goes to every device of Bob's except the sender itself.

    ==================  ===========================================================
    recipients          the sender gets
    ==================  ===========================================================
    one                 the responses of that device, unchanged
    several             200 "message sent to N peers" at once; 503 if all of them
                        read too slowly, or leave too much unanswered
    none                the reply of ``on_offline``, else 404 "peer not found"
    ==================  ===========================================================

    A notification is sent on as a notification.

    :param path: the path below the mount, with the parameters ``username`` and ``uuid``.
    :param allow: ``fn(peer, username)``; returns whether the peer may write to that user, or
        raises :class:`~protoo_flask.Reject`. It is called for every message, before anything
        else: a refused sender (403) does not learn whether the user is online. The username
        is untrusted, and the user need not exist. ``None``: everybody may write to
        everybody.
    :param report: when the sender is answered instead: ``"first"``, as soon as one device
        has accepted, or ``"all"``, when each has answered or failed. In either case the data
        of the final response has ``delivered`` and ``failed``, lists of uuids; see
        :mod:`.delivery_report`.
    :param carbons: whether the sender's other devices get a copy: a notification whose
        data has also ``carbon`` (true) and ``to`` (``username``, and ``uuid`` if one was
        addressed).
    :param on_offline: ``fn(req, username)``, called when no device of the user is online.
        It may store the message and reply (with 202, say). Without a reply of its own, the
        sender gets 404. It is also called when the recipients went offline without
        answering and the user has no other device; without a reply, the sender then gets
        410. It is not called for a message to several devices without a report, because the
        sender has been answered.
    :raises UsageError: for any other ``report``, or an ``allow`` or ``on_offline`` that is no
        such function.
    """
    if report is not None and report not in MODES:
        raise UsageError(f'p2p_messenger(report=...) is None, "first" or "all", not {report!r}')
    if on_offline is not None:
        check_function(on_offline, "fn(req, username)")
    permission = None
    if allow is not None:
        permission = Permission("p2p_messenger(allow=...)", "write to", allow, everybody="None")
    router = Router()
    router.message(path, Messenger(protoo, permission, report, carbons, on_offline).deliver)
    return router
