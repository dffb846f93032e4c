"""Instant messages from peer to peer."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Literal

from ...core.errors import UsageError
from ...core.functions import check_function
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request
from ...core.response import Response
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...extension import Protoo
from ..relay import relay
from .delivery_report import MODES, DeliveryReport, is_gone

OnOffline = Callable[[Request, str], Any]


def p2p_messenger(
    protoo: Protoo,
    path: str = "/:username/:uuid?",
    *,
    report: Literal["first", "all"] | None = None,
    carbons: bool = False,
    on_offline: OnOffline | None = None,
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
    :param report: when the sender shall be answered instead: ``"first"``, as soon as one
        device has accepted, or ``"all"``, when each has answered or failed. In either
        case the data of the final response has ``delivered`` and ``failed``, lists of
        uuids; see :mod:`.delivery_report`.
    :param carbons: whether the sender's other devices get a copy: a notification whose
        data has also ``carbon`` (true) and ``to`` (``username``, and ``uuid`` if one was
        addressed).
    :param on_offline: ``fn(req, username)``, called when no device of the user is there;
        it may keep the message and reply (202, say). When it does not reply, 404 does.
        Also called when the devices that the message went to left without answering and
        the user has no other; 410 is the reply then. Not for a message to several devices
        without a report, whose sender has had its answer.
    :raises UsageError: for any other ``report``, or what is no function.
    """
    if report is not None and report not in MODES:
        raise UsageError(f'p2p_messenger(report=...) is None, "first" or "all", not {report!r}')
    if on_offline is not None:
        check_function(on_offline, "fn(req, username)")
    router = Router()
    router.message(path, _Messenger(protoo, report, carbons, on_offline).deliver)
    return router


class _Messenger:
    """What stands at the path of a messenger."""

    def __init__(
        self, protoo: Protoo, report: str | None, carbons: bool, on_offline: OnOffline | None
    ) -> None:
        self._protoo = protoo
        self._report = report
        self._carbons = carbons
        self._on_offline = on_offline

    def deliver(self, req: Request, next: Next) -> None:
        """Pass a message on to those it is for, and to whom else it concerns."""
        username, uuid = req.params["username"], req.params.get("uuid")
        peers = self._find(req, username, uuid)
        if uuid is None and req.peer in peers:
            peers.remove(req.peer)
        if not peers:
            self._offer(req, username)
            if not req.ended:
                req.reply(404, "peer not found")
        elif req.id is None:
            broadcast(peers, req.method, req.data, req.sender)
            req.reply(200, f"message sent to {len(peers)} peers")
        elif len(peers) == 1 and self._report is None and self._on_offline is None:
            # What most messages are. Nothing of the site is needed for the way back.
            relay(req, peers[0])
        else:
            self._forward(req, username, peers)
        if self._carbons and (peers or _is_accepted(req)):
            self._send_carbons(req, username, uuid, peers)

    def _find(self, req: Request, username: str, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, or a device."""
        if req.app is not self._protoo:
            return self._protoo.peers(username, uuid)
        # These are the same, without asking Flask which app this is.
        assert req.peer is not None
        return req.peer.directory.find(username, uuid)

    def _forward(self, req: Request, username: str, peers: list[Peer]) -> None:
        if self._report is not None:
            on_gone = None if self._on_offline is None else partial(self._take_back, req, username)
            DeliveryReport(req, peers, self._report, on_gone).send()
        elif len(peers) > 1:
            for peer in peers:
                peer.send(req)
            req.reply(200, f"message sent to {len(peers)} peers")
        else:
            peers[0].send(req, on_response=partial(self._relay, req, username))

    def _relay(self, req: Request, username: str, response: Response) -> None:
        if is_gone(response):
            self._take_back(req, username, response)
        else:
            assert response.peer is not None
            response.peer.call_back(req.reply, response)

    def _take_back(self, req: Request, username: str, answer: Response) -> None:
        """Offer a message that was sent in vain; ``answer`` is for when nobody takes it."""
        # What runs here has the contexts of the device that went offline. Those of the
        # sender, entered from here, would share its g and its teardowns.
        assert req.peer is not None
        req.peer.runtime.scheduler.spawn(self._offer_or_answer, req, username, answer)

    def _offer_or_answer(self, req: Request, username: str, answer: Response) -> None:
        def run_in_contexts(answer: Response) -> None:
            # Ended: the sender was told 504, and takes the message for lost.
            if not req.ended:
                self._offer(req, username)
            if not req.ended:
                req.reply(answer)

        assert req.peer is not None
        try:
            req.peer.runtime.call_back(req.peer, run_in_contexts, answer)
        finally:
            # It has failed, which is in the log now, and the sender still waits.
            if not req.ended:
                req.reply(500, "internal server error")

    def _offer(self, req: Request, username: str) -> None:
        """Let ``on_offline`` have a message to a user who is not there at all."""
        if self._on_offline is not None and not self._find(req, username):
            self._on_offline(req, username)

    def _send_carbons(
        self, req: Request, username: str, uuid: str | None, recipients: list[Peer]
    ) -> None:
        """Send the sender's other devices a copy (XEP-0280 calls it a carbon)."""
        assert req.peer is not None
        others = [
            peer
            for peer in self._find(req, req.peer.username)
            if peer is not req.peer and peer not in recipients
        ]
        if not others:
            return
        # A copy that does not say whom the message went to would be of no use.
        to = {"username": username} if uuid is None else {"username": username, "uuid": uuid}
        broadcast(others, req.method, {**req.data, "carbon": True, "to": to}, req.sender)


def _is_accepted(req: Request) -> bool:
    return req.response is not None and req.response.is_accept
