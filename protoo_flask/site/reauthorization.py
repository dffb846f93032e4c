"""Reauthorization: the authorizer is asked again, peer by peer, while connections last.

A connection may outlive the login that let it in: sessions end on the server, accounts are
banned. So each peer's handshake is repeated every ``PROTOO_REAUTHORIZE_INTERVAL`` seconds, up
to the authorizer's answer. A peer that would not be let in now is disconnected.
"""

from __future__ import annotations

from typing import Any, Callable

from flask import abort, current_app

from ..core.application import Application
from ..core.close_codes import AUTHORIZATION_REVOKED
from ..core.deadlines import Deadlines
from ..core.errors import Reject, UsageError
from ..core.excerpts import excerpt_of
from ..core.exits import is_contained
from ..core.handling import Framework
from ..core.link import Link
from ..core.peers.peer import Peer
from ..core.tracebacks import log_error
from .authorization import Identification
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
    :param ask: returns the answer of the authorizer, in the request context that is active.
    """

    def __init__(
        self,
        application: Application,
        framework: Framework,
        interval: float | None,
        ask: Callable[[], Identification],
    ) -> None:
        self._application = application
        self._framework = framework
        self._ask = ask
        self._closed = False
        self._due: Deadlines[Peer] = Deadlines(application.runtime.scheduler, interval, self._begin)

    def watch(self, peer: Peer) -> None:
        """Ask about a peer when an interval is over, beginning now."""
        if not self._closed:
            self._due.add(peer)

    def note_departure(self, peer: Peer) -> None:
        """Forget a peer when its connection has gone, unless it has another one by now."""
        self._due.remove(peer)
        # Under threads, the peer may have come back before the line above, which then has
        # undone the watch of its new connection.
        if _is_here(peer):
            self.watch(peer)

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        self._due.clear()

    def _begin(self, peer: Peer) -> None:
        # A peer that is away comes back with a handshake, which is authorized, and watched.
        if _is_here(peer):
            # In a greenlet of its own: a database that is slow for one peer must not delay others.
            self._application.runtime.scheduler.spawn(self._check, peer)

    def _check(self, peer: Peer) -> None:
        """Ask about one peer, and act on the answer."""
        link = peer.link  # before its context: see LocalDirectory.claim()
        context = peer.context
        assert isinstance(context, HandshakeContext)
        answers: list[Identification | None] = []
        try:
            context.run_anew(lambda: answers.append(self._answer()))
        except BaseException as error:
            if not is_contained(error):
                raise
            # An error is no refusal: a database that is down must not throw everybody out.
            log_error(self._framework.logger, error, "could not authorize %r again", peer)
            if peer.runtime.observer is not None:
                peer.runtime.observer.failed(error, None)
        finally:
            # Asking may take long. When the device has connected again meanwhile, the answer is
            # about a handshake that is not used any more. The newer one was authorized by
            # itself, with cookies of its own, and is asked about in its own turn. It must not be
            # closed for the cookies of the older one.
            if peer.context is context:
                # An answer counts even if a teardown function has failed afterwards.
                for answer in answers:
                    self._obey(peer, link, answer)
                if _is_here(peer):
                    self.watch(peer)

    def _answer(self) -> Identification | None:
        """Return the site's answer of now, in the contexts of a handshake; ``None``: refused."""
        try:
            # Authorizers rely on the results of these functions (``g.user``). In a handshake, a
            # function that answers by itself has refused it.
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
        described = self._framework.describe_error(error)
        return None if described is None else described[0]

    def _obey(self, peer: Peer, link: Link | None, answer: Identification | None) -> None:
        if answer is not None and answer.username == peer.username:
            # Without a uuid of the authorizer's, the one that was made up still stands.
            if answer.uuid in (None, peer.uuid):
                self._renew(peer, answer)
                return
            self._framework.logger.warning(
                "%r is disconnected: asked again, the authorizer names another uuid, %s. It "
                "must return the same one for the same handshake, or None",
                peer,
                excerpt_of(answer.uuid),
            )
        directory = self._application.directory
        if link and directory.remove(peer, AUTHORIZATION_REVOKED, REASON, only=link):
            self._framework.logger.info("%r is not authorized any more", peer)

    def _renew(self, peer: Peer, answer: Identification) -> None:
        try:
            self._application.directory.renew(peer, answer.data)
        except UsageError as error:
            # No refusal: the peer keeps the data that it has.
            log_error(self._framework.logger, error, "could not authorize %r again", peer)


def _is_here(peer: Peer) -> bool:
    """Whether a peer has a connection to this process: another one asks about it otherwise."""
    return peer.is_local and peer.online
