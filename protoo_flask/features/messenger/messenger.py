"""The messenger: handles ``message`` requests, and finds another way for undeliverable ones."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any, Callable, NamedTuple, Protocol

from ...core.events import EventQueues, SiteEvent
from ...core.names import check_length
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request, relay_answer
from ...core.response import Response
from ...core.routing.registration import Next
from ...core.runtime import Runtime
from ...core.sendable import Sendable
from ...core.transactions.client import OF_CORE, RELAYED
from ..permission import Permission
from ..sending_peer import sending_peer
from .delivery_report import DeliveryReport, is_gone

OnOffline = Callable[[Request, str], Any]


class _Returned(NamedTuple):
    """A message whose recipients have gone, and the answer if nobody takes it."""

    req: Request
    username: str
    answer: Response


class PeerFinder(Protocol):
    """The :class:`~protoo_flask.Protoo`, as far as a messenger needs it."""

    def peers(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, or the one with this uuid."""


class Messenger:
    """The handler of one ``p2p_messenger()``; the options are explained there."""

    def __init__(
        self,
        protoo: PeerFinder,
        permission: Permission | None,
        report: str | None,
        carbons: bool,
        on_offline: OnOffline | None,
    ) -> None:
        self._protoo = protoo
        self._permission = permission
        self._report = report
        self._carbons = carbons
        self._on_offline = on_offline

    def deliver(self, req: Request, next: Next) -> None:
        """Send a message on to its recipients, and copies to the sender's other devices."""
        username, uuid = req.params["username"], req.params.get("uuid")
        if self._permission is not None:
            self._permission.demand(sending_peer(req), username)
            # The time limit may have answered the request while allow() was blocking. Its
            # sender takes it for lost.
            if req.ended:
                return
        peers = self._find(req, username, uuid)
        if uuid is None and req.peer in peers:
            peers.remove(req.peer)
        if not peers:
            # Only now: users that are there have names that are short enough.
            check_length(username, "a username")
            self._answer_for_absent(req, username)
        elif req.id is None:
            broadcast(peers, req.method, req.data, req.sender)
            req.reply(200, f"message sent to {len(peers)} peers")
        elif len(peers) == 1 and self._report is None and self._on_offline is None:
            # The most frequent case.
            self._relay_to(peers[0], req)
        else:
            self._forward(req, username, peers)
        if self._carbons and (peers or _is_accepted(req)):
            self._send_carbons(req, username, uuid, peers)

    def _find(self, req: Request, username: str, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, or the one with this uuid."""
        if req.app is not self._protoo:
            return self._protoo.peers(username, uuid)
        # The same peers, without a look at Flask's current app.
        assert req.peer is not None
        return req.peer.directory.find(username, uuid)

    def _answer_for_absent(self, req: Request, username: str) -> None:
        """Answer a message to a user of whom no device is found."""
        doubt = sending_peer(req).directory.doubt(username)
        if doubt is not None:
            # Not offered to on_offline: the user may be online.
            req.reply(503, doubt)
            return
        self._offer(req, username)
        if not req.ended:
            req.reply(404, "peer not found")

    def _relay_to(self, peer: Peer, req: Request) -> None:
        """Send a request on to a peer, and its responses back; no code of the site is needed."""
        timeout = peer.runtime.time_limits.request
        # A bound method and not a partial(): calling a partial() leaves the interpreter.
        peer.outbound.start(req, MethodType(relay_answer, req), timeout, RELAYED)

    def _forward(self, req: Request, username: str, peers: list[Peer]) -> None:
        if self._report is not None:
            on_gone = None if self._on_offline is None else partial(self._take_back, req, username)
            DeliveryReport(req, peers, self._report, on_gone).send()
        elif len(peers) > 1:
            refusals = _send_copies(req, peers)
            if len(refusals) < len(peers):
                req.reply(200, f"message sent to {len(peers) - len(refusals)} peers")
            else:
                req.reply(refusals[0].status, refusals[0].reason, refusals[0].data)
        else:
            peers[0].send(req, on_response=partial(self._relay, req, username))

    def _relay(self, req: Request, username: str, response: Response) -> None:
        if is_gone(response):
            self._take_back(req, username, response)
        else:
            assert response.peer is not None
            response.peer.call_back(req.reply, response)

    def _take_back(self, req: Request, username: str, answer: Response) -> None:
        """Offer a message after its recipients have gone; without a taker, send ``answer``."""
        # This code runs in the contexts of the device that went offline. Contexts of the
        # sender, entered from here, would share the g and the teardowns of that device. And a
        # device may leave thousands of messages unanswered: those of one sender are offered one
        # after the other, lest on_offline take all connections of a database pool.
        sender = sending_peer(req)
        returned = sender.runtime.service(self, self._make_queues)
        returned.post(sender.username, SiteEvent("returned", _Returned(req, username, answer)))
        sender.runtime.scheduler.spawn(returned.drain, sender.username)

    def _make_queues(self, runtime: Runtime) -> EventQueues:
        return EventQueues(self._offer_or_answer, runtime.scheduler.lock())

    def _offer_or_answer(self, event: SiteEvent) -> None:
        req, username, answer = event.subject

        def run_in_contexts(answer: Response) -> None:
            # A request that has ended was answered 504: its sender takes it for lost.
            if not req.ended:
                self._offer(req, username)
            if not req.ended:
                req.reply(answer)

        sender = sending_peer(req)
        try:
            sender.runtime.call_back(sender, run_in_contexts, answer)
        finally:
            # An error of on_offline is in the log by now, but the sender still waits.
            if not req.ended:
                req.reply(500, "internal server error")

    def _offer(self, req: Request, username: str) -> None:
        """Offer ``on_offline`` a message to a user without any device online."""
        if self._on_offline is not None and not self._find(req, username):
            self._on_offline(req, username)

    def _send_carbons(
        self, req: Request, username: str, uuid: str | None, recipients: list[Peer]
    ) -> None:
        """Send the sender's other devices a copy (a "carbon" in XEP-0280)."""
        sender = sending_peer(req)
        others = [
            peer
            for peer in self._find(req, sender.username)
            if peer is not sender and peer not in recipients
        ]
        if not others:
            return
        # Without "to", a device could not tell to which conversation the copy belongs.
        to = {"username": username} if uuid is None else {"username": username, "uuid": uuid}
        broadcast(others, req.method, {**req.data, "carbon": True, "to": to}, req.sender)


def _send_copies(req: Request, peers: list[Peer]) -> list[Response]:
    """Send a message to several peers, whose answers nobody waits for.

    :returns: the local 503s: those peers read too slowly, or leave too much unanswered.
    """
    # Not the request itself: its data would be kept for each of them, next to its text.
    message = Sendable(req.method, req.data)
    message.sender = req.sender
    started = [
        peer.outbound.start(message, None, peer.runtime.time_limits.request, OF_CORE)
        for peer in peers
    ]
    message.data = {}
    ended = [transaction.response for transaction in started if transaction.response is not None]
    return [response for response in ended if response.status == 503]


def _is_accepted(req: Request) -> bool:
    return req.response is not None and req.response.is_accept
