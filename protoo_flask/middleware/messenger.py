"""Instant messages from peer to peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ..core.handlers import Next
from ..core.peers import Peer
from ..core.request import Request
from ..core.router import Router

if TYPE_CHECKING:
    from ..extension import Protoo

OnOffline = Callable[[Request, str], Any]


def p2p_messenger(
    protoo: Protoo, path: str = "/:username/:uuid?", *, on_offline: OnOffline | None = None
) -> Router:
    """Return a router that passes ``message`` requests on to the peers they are for.

    ::

        protoo.use("/users", p2p_messenger(protoo))

    A ``message`` to ``/users/bob/<uuid>`` goes to that device, one to ``/users/bob`` to
    every device of Bob's except the one that sent it.

    ==================  ===========================================================
    one such peer       its responses go back to the sender as they are
    several             200 "message sent to N peers" at once
    none                ``on_offline``, else 404 "peer not found"
    ==================  ===========================================================

    A notification is passed on as a notification.

    :param path: where below the mount; its parameters are ``username`` and ``uuid``.
    :param on_offline: ``fn(req, username)``, called when no device of the user is there;
        it may keep the message and reply (202, say). When it does not reply, 404 does.
    """
    router = Router()

    def deliver(req: Request, next: Next) -> None:
        username, uuid = req.params["username"], req.params.get("uuid")
        peers = protoo.peers(username, uuid)
        if uuid is None:
            peers = [peer for peer in peers if peer is not req.peer]
        if not peers:
            if on_offline is not None and not protoo.peers(username):
                on_offline(req, username)
            if not req.ended:
                req.reply(404, "peer not found")
        elif len(peers) == 1 and not req.is_notification:
            peers[0].send(req, on_response=req.reply)
        else:
            _send_to_each(req, peers)

    router.message(path, deliver)
    return router


def _send_to_each(req: Request, peers: list[Peer]) -> None:
    for peer in peers:
        if req.is_notification:
            peer.notify(req.method, req.data, sender=req.sender)
        else:
            peer.send(req)
    req.reply(200, f"message sent to {len(peers)} peers")
