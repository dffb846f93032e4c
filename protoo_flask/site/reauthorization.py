"""May they stay: the authorizer asked again, peer by peer, while the connections last.

A connection outlives what let it in: sessions end on the server, accounts are banned.
So each peer's handshake is played again every ``PROTOO_REAUTHORIZE_INTERVAL`` seconds,
up to the authorizer's answer, and whoever would not be let in now is disconnected.
"""

from __future__ import annotations

from typing import Any, Callable

from flask import abort, current_app

from ..core.application import Host
from ..core.close_codes import AUTHORIZATION_REVOKED
from ..core.deadlines import Deadlines
from ..core.errors import Reject
from ..core.peers.peer import Link, Peer
from ..core.peers.registry import Registry
from .authorization import Answer
from .contexts import HandshakeContext, preprocess_request

REASON = "authorization revoked"

#: Refusals below 500 that are about the moment, not about the user: timeout, too early, too
#: many requests (a site's rate limit). In a handshake, clients try again after these.
_NOT_NOW = {408, 425, 429}


class Reauthorization:
    """Asks, for each peer that is online, whether it may stay.

    Each is due a whole interval after it has connected or was asked about, so the load
    is spread over time as the connections were.

    :param interval: seconds; ``None`` for never.
    :param ask: what the authorizer says, in the request context that is active.
    """

    def __init__(
        self,
        registry: Registry,
        host: Host,
        interval: float | None,
        ask: Callable[[], Answer],
    ) -> None:
        self._registry = registry
        self._host = host
        self._ask = ask
        self._closed = False
        self._due: Deadlines[Peer] = Deadlines(registry.scheduler, interval, self._begin)

    def watch(self, peer: Peer) -> None:
        """Ask about a peer when an interval is over, beginning now."""
        if not self._closed:
            self._due.add(peer)

    def note_departure(self, peer: Peer) -> None:
        """Forget a peer whose connection is gone, unless it has another one by now."""
        self._due.remove(peer)
        # Under threads it may have come back between the end of that connection and the
        # line above, which then has undone what its new connection began.
        if peer.online:
            self.watch(peer)

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        self._due.clear()

    def _begin(self, peer: Peer) -> None:
        # Whoever is away comes back with a handshake, which is authorized, and watched.
        if peer.online:
            # The site's database may be slow for one of them, and must not be for the rest.
            self._registry.scheduler.spawn(self._check, peer)

    def _check(self, peer: Peer) -> None:
        """Ask about one peer, and do what the answer demands."""
        link = peer.link  # before its context: see Registry.connect()
        context = peer.context
        assert isinstance(context, HandshakeContext)
        answers: list[Answer | None] = []
        try:
            context.run_anew(lambda: answers.append(self._answer()))
        except Exception:
            # Which is no refusal: a database that is down must not throw everybody out.
            self._host.logger.exception("could not authorize %r again", peer)
        finally:
            # Asking may have taken its time. When the device has connected again meanwhile,
            # the answer is about a handshake that nobody uses any more: the newer one was
            # authorized by itself, with cookies of its own, has its own turn to be asked
            # about, and must not be closed for what the older one came with.
            if peer.context is context:
                # An answer counts, though a teardown function has failed since.
                for answer in answers:
                    self._obey(peer, link, answer)
                if peer.online:
                    self.watch(peer)

    def _answer(self) -> Answer | None:
        """Return what the site says now, in the contexts of a handshake; ``None``: refused."""
        try:
            # Authorizers rely on what these find out (``g.user``), and in a handshake one
            # that answers by itself has refused it.
            response = preprocess_request(current_app)
            if response is not None:
                abort(current_app.make_response(response))
            return self._ask()
        except Exception as error:
            status = self._status(error)
            if status is None or status >= 500 or status in _NOT_NOW:
                raise
            return None

    def _status(self, error: Any) -> int | None:
        """Return the status of a refusal; ``None`` for an error of any other kind."""
        if isinstance(error, Reject):
            return error.code
        described = self._host.describe_error(error)
        return None if described is None else described[0]

    def _obey(self, peer: Peer, link: Link | None, answer: Answer | None) -> None:
        if answer is not None and answer.username == peer.username:
            # Without a uuid of the authorizer's, the one that was made up still stands.
            if answer.uuid in (None, peer.uuid):
                peer.data = answer.data
                return
            self._host.logger.warning(
                "%r is disconnected: asked again, the authorizer names another uuid, %r. It "
                "must return the same one for the same handshake, or None",
                peer,
                answer.uuid,
            )
        if link and self._registry.remove(peer, AUTHORIZATION_REVOKED, REASON, only=link):
            self._host.logger.info("%r is not authorized any more", peer)
