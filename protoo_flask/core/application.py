"""The application: joins the registry, the router and the final handler.

There is one per Flask app, made at its first connection. Bytes come in through an
:class:`~.inbox.Inbox`, become requests, walk the router, and end here when nobody
has answered them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Callable, Protocol

from .close_codes import GOING_AWAY
from .deadlines import Deadlines
from .errors import ProtocolError, Reject, UsageError
from .events import Event, EventQueues
from .functions import describe, locate
from .inbox import Inbox
from .peers.peer import (
    Context,
    Identity,
    Link,
    Peer,
)
from .peers.registry import Registry
from .request import Request
from .transactions.server import Answer

if TYPE_CHECKING:
    from .routing.router import Router
    from .scheduling import Scheduler


class Host(Protocol):
    """What surrounds the application: for us, Flask."""

    @property
    def logger(self) -> logging.Logger:
        """Where errors of the site's code are logged."""

    def tell(self, event: Event) -> None:
        """Tell the site what happened to a peer or user; must not raise."""

    def tell_error(self, error: Any, request: Request) -> None:
        """Tell the site of an error that no error handler took; must not raise."""

    def describe_error(self, error: Any) -> tuple[int, str] | None:
        """Return the status and reason of an error of the host's own kind."""


class Application:
    """The live state of one Flask app.

    :param session_timeout: seconds that a call may ring.
    :param grace_period: seconds that a peer whose connection dropped may take to come back.
    :param detection_time: seconds after which a dead connection is noticed at the latest.
    :param max_waiting: bytes that may wait for a peer that is away.
    :ivar owner: what ``req.app`` shall be.
    :ivar registry: the peers that are there.
    """

    def __init__(
        self,
        owner: Any,
        router: Router,
        host: Host,
        scheduler: Scheduler,
        *,
        first_id: Callable[[], int],
        request_timeout: float,
        session_timeout: float = 120,
        max_peers_per_user: int,
        response_timeout: float | None = None,
        grace_period: float = 0,
        detection_time: float = 0,
        max_waiting: int = 1024 * 1024,
    ) -> None:
        self.owner = owner
        self.scheduler = scheduler
        #: Requests without a final response: the last resort against a handler that
        #: forgets to reply, or to call ``next()``.
        self.unanswered: Deadlines[Request] = Deadlines(scheduler, response_timeout, self._give_up)
        #: What calling the router comes to, without the way there.
        self._route = router.__call__
        self._host = host
        self.registry = Registry(
            scheduler=scheduler,
            events=EventQueues(host.tell, scheduler.lock()),
            call_back=self._call_back,
            first_id=first_id,
            request_timeout=request_timeout,
            session_timeout=session_timeout,
            max_peers_per_user=max_peers_per_user,
            grace_period=grace_period,
            detection_time=detection_time,
            max_waiting=max_waiting,
            # From the answer on: it may have been lost long before anybody noticed that
            # the connection was.
            answers=Deadlines(scheduler, detection_time + grace_period, Answer.expire)
            if grace_period
            else None,
        )

    def connect(
        self,
        identity: Identity,
        link: Link,
        context: Context,
        when_reachable: Callable[[], None] | None = None,
    ) -> Inbox:
        """Take a new link in: its peer comes online, or moves over to it.

        The site is told of it by the inbox's ``introduce()``.

        :param context: becomes ``peer.context``.
        :param when_reachable: called when others find the peer, before the site is told.

        :raises TooManyPeers: when the user has too many devices.
        """
        return Inbox(self, self.registry.connect(identity, link, context, when_reachable), link)

    def disconnect(self, username: str, uuid: str | None, code: int, reason: str) -> int:
        """Close the links of a user's devices; returns how many.

        :raises UsageError: without a username, lest everybody be disconnected.
        """
        if not isinstance(username, str):
            raise UsageError(f"disconnect(username) takes a string, not {username!r}")
        peers = self.registry.find(username, uuid)
        return sum(self.registry.remove(peer, code, reason) for peer in peers)

    def close(self, reason: str = "shutting down") -> None:
        """Close every link."""
        for peer in self.registry.find():
            self.registry.remove(peer, GOING_AWAY, reason)

    def handle(self, request: Request) -> None:
        """Route a request from a peer; returns when its chain has run.

        Never raises an Exception.
        """

        def final_handler(error: Any = None) -> None:
            """The last ``next`` of the chain: nobody has answered, or there was an error."""
            if error is not None:
                self._fail(request, error)
            elif not request.ended:
                request.reply(404, "not found")

        assert request.peer is not None
        if request.id is not None:
            # From now on: in the backlog, it is not its own handler that takes the time.
            self.unanswered.add(request)
        try:
            request.peer.context.run(self._route, request, final_handler)
        except BaseException as error:
            # A teardown function of the site failed, or something that is no Exception
            # (a gevent.Timeout, say) came through the chain. Or the chain was too deep:
            # error handlers, called where it broke, would break there again, so that
            # error comes all the way up.
            self._fail(request, error)
            if not isinstance(error, Exception):
                raise

    def _give_up(self, request: Request) -> None:
        """Answer a request that nobody has answered in time."""
        handler = request.last_handler
        self._host.logger.warning(
            "nobody has answered %s %s from %s; it stopped in %s %s",
            request.method,
            request.original_path,
            request.peer,
            describe(handler),
            locate(handler),
        )
        if not request.ended:
            request.reply(504, "no answer")

    def _fail(self, request: Request, error: Any) -> None:
        status, reason = self._describe(error)
        if status >= 500 or request.ended:
            # The traceback of a chain that was too deep is a thousand frames of the same.
            told = isinstance(error, BaseException) and not isinstance(error, RecursionError)
            exc_info = error if told else None
            self._host.logger.error(
                "error in %s %s from %s: %r",
                request.method,
                request.original_path,
                request.peer,
                error,
                exc_info=exc_info,
            )
        if not request.ended:
            # A site's reason may be a string only by its looks: translated when it is read.
            request.reply(status, str(reason))
        self._host.tell_error(error, request)

    def _describe(self, error: Any) -> tuple[int, str]:
        """Return the status and reason of the response to an error.

        Only errors that were given a status say more than that something went wrong:
        the text of any other may hold what is nobody's business.
        """
        if isinstance(error, RecursionError):
            return 500, "too many nested calls of next(), or of something else"
        if isinstance(error, Reject):
            return error.code, error.reason
        described = self._host.describe_error(error)
        if described is not None:
            return described
        status = getattr(error, "status", None)
        if isinstance(status, int) and 300 <= status <= 699:
            reason = error.reason if isinstance(error, ProtocolError) else str(error)
            return status, reason
        return 500, "internal server error"

    def _call_back(self, peer: Peer, function: Callable[[Any], Any], subject: Any) -> None:
        try:
            peer.context.run(function, subject)
        except Exception:
            self._host.logger.exception(
                "error in %s, called with %r for %r", describe(function), subject, peer
            )
