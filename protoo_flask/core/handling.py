"""The handling of a request: through the router, to a final handler that always answers.

A request that no handler has answered gets a 404, an error its status, and a request that the
handlers forget a 504.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Callable, Protocol

from .errors import (
    AlreadyReplied,
    LimitReached,
    ProtocolError,
    ProtooError,
    Reject,
    tell_retry,
)
from .events import SiteEvent
from .excerpts import excerpt, excerpt_of, excerpt_of_error
from .exits import is_contained
from .functions import name_function, passed_through
from .peers.peer import Peer
from .request import Request
from .tracebacks import log_error

#: Seconds in which one request of a peer that a function has not answered is logged, and the
#: number of functions and peers of which that is remembered.
QUIET = 1.0
MAX_LOGGED = 1000


class HandlerError(ProtooError):
    """Stands for something given to ``next()`` that is no exception, such as a text."""


class Framework(Protocol):
    """The framework that the site is built with: for us, Flask."""

    @property
    def logger(self) -> logging.Logger:
        """Where errors of the site's code are logged."""

    def tell(self, event: SiteEvent) -> None:
        """Tell the site of an event of a peer or user; must not raise."""

    def tell_error(self, error: Any, request: Request) -> None:
        """Tell the site of an error that no error handler took; must not raise."""

    def log_teardown(self, occasion: str, error: BaseException) -> None:
        """Log an error of a function of the site that ran after code in its contexts.

        :param occasion: the message or event, for ``error after ...``.
        """

    def describe_error(self, error: Any) -> tuple[int, str] | None:
        """Return the status and reason of an error of the framework's own kind."""


class Handling:
    """Handles the requests of one app.

    :param route: ``route(request, next)``, as the app's router is called.
    """

    def __init__(self, route: Callable[[Request, Callable[..., None]], None], framework: Framework):
        self._route = route
        self._framework = framework
        #: {(username, uuid, function): when a request without an answer is logged again}
        self._logged: dict[tuple[str, str, str], float] = {}
        #: The functions of the site that :meth:`call_back` runs just now, and their peers.
        self.running: dict[object, Peer] = {}

    def handle(self, request: Request) -> None:
        """Route a request from a peer; returns when its chain has run.

        Never raises an Exception.
        """

        def final_handler(error: Any = None) -> None:
            """The last ``next`` of the chain: nobody has answered, or there was an error."""
            if error is not None:
                self.fail(request, error)
            else:
                self._answer(request, 404, "not found")

        peer = request.peer
        assert peer is not None
        if request.id is not None:
            # Only now: the time in the backlog is not its handlers'.
            peer.runtime.unanswered.add(request)
        try:
            peer.context.run(self._route, request, final_handler)
        except BaseException as error:
            ends_here = is_contained(error)
            if ends_here and not self._came_through_chain(error):
                # A teardown function of the site failed.
                self._framework.log_teardown(_describe_request(request), error)
                self._end(request, error)
                return
            self.fail(request, error)
            if not ends_here:
                raise

    def _came_through_chain(self, error: BaseException) -> bool:
        """Whether an error has left the chain of handlers, which usually ends errors itself."""
        if isinstance(error, Exception):
            # Error handlers called at that depth would fail the same way, so this error comes
            # all the way up.
            return isinstance(error, RecursionError)
        return passed_through(self._route, error)

    def time_out(self, request: Request) -> None:
        """Answer a request that nobody has answered in time."""
        if request.ended:
            return  # it could not be answered: see _answer()
        handler = request.last_handler
        if self._is_news(request):
            self._framework.logger.warning(
                "nobody has answered %s; it stopped in %s",
                _describe_request(request),
                name_function(handler),
            )
        self._answer(request, 504, "no answer")

    def _is_news(self, request: Request) -> bool:
        """Whether nothing was logged of this peer and function for :data:`QUIET` seconds.

        A client may send thousands of requests to a function that never answers.
        """
        peer = request.peer
        assert peer is not None
        key = (peer.username, peer.uuid, name_function(request.last_handler))
        now = peer.runtime.scheduler.now()
        is_news = self._logged.get(key, now) <= now
        if is_news:
            if len(self._logged) >= MAX_LOGGED:
                self._logged.clear()
            self._logged[key] = now + QUIET
        return is_news

    def report_stuck(self, username: str, count: int, has_hope: bool) -> None:
        """Log that handlers of a user have not returned for as long as they have to answer.

        :param has_hope: whether more of them may be called.
        """
        then = "other requests are handled beside it"
        if not has_hope:
            then = "as many as may run for this user are stuck: its requests are answered 504"
        self._framework.logger.warning(
            "a handler of a request or notification from %s does not return (%d just now); %s",
            excerpt(username),
            count,
            then,
        )

    def call_back(self, peer: Peer, function: Callable[[Any], Any], subject: Any) -> None:
        """Run a function of the site in the contexts of a peer; its errors are logged."""
        key = object()
        self.running[key] = peer
        try:
            peer.context.run(function, subject)
        except BaseException as error:
            if not is_contained(error):
                raise
            name = name_function(function)
            if passed_through(function, error):
                log_error(
                    self._framework.logger,
                    error,
                    "error in %s, called with %s for %r",
                    name,
                    excerpt_of(subject),
                    peer,
                )
                observer = peer.runtime.observer
                if observer is not None:
                    observer.failed(error, None)
            else:
                self._framework.log_teardown(f"{name} for {peer}", error)
        finally:
            del self.running[key]

    def fail(self, request: Request, error: Any) -> None:
        """Log an error of the site's code if it is one, answer the request, and tell the site."""
        status, _ = self._describe(error)
        if (status >= 500 and not isinstance(error, LimitReached)) or request.ended:
            # The traceback of a chain that was too deep is a thousand times the same frame.
            told = isinstance(error, BaseException) and not isinstance(error, RecursionError)
            # Without a traceback, the log names the function that the chain had reached. That
            # of an exit shows the code which it was not meant for.
            is_clear = told and not isinstance(error, SystemExit)
            handler = None if is_clear else request.last_handler
            logger = self._framework.logger
            log = partial(log_error, logger, error) if told else logger.error
            log(
                "error in %s: %s%s",
                _describe_request(request),
                excerpt_of_error(error),
                "" if handler is None else f", last in {name_function(handler)}",
            )
            self._observe(request, error)
        self._end(request, error)

    def _observe(self, request: Request, error: Any) -> None:
        """Tell an observer of an error of a handler, or of anything else given to ``next()``."""
        assert request.peer is not None
        observer = request.peer.runtime.observer
        if observer is not None:
            is_error = isinstance(error, BaseException)
            observer.failed(error if is_error else HandlerError(excerpt_of(error)), request)

    def _end(self, request: Request, error: Any) -> None:
        """Answer a request that failed, if it has no answer, and tell the site."""
        status, reason = self._describe(error)
        # A site's reason may be a lazy string, which is translated when it is read.
        self._answer(request, status, str(reason), tell_retry(error))
        self._framework.tell_error(error, request)

    def _answer(
        self, request: Request, status: int, reason: str, data: dict[str, Any] | None = None
    ) -> None:
        """Answer a request that has no answer; never raises an Exception.

        An error of the last function of the chain would come back to it as the next error.
        """
        if request.ended:
            return
        try:
            request.reply(status, reason, data)
        except AlreadyReplied:
            return  # another thread was faster
        except ProtooError as error:
            # The server has stopped; or this is a forked process, whose parent answers.
            request.ended = True
            self._framework.logger.warning(
                "%s %s is not answered %s: %s",
                excerpt(request.method),
                excerpt(request.original_path),
                status,
                error,
            )

    def _describe(self, error: Any) -> tuple[int, str]:
        """Return the status and reason of the response to an error.

        Only an error that was made for the peer shows its text: those of this package, and
        those of the framework. The text of any other one may hold secrets, whatever attributes
        it has: the errors of clients for other servers have a status, too.
        """
        if isinstance(error, RecursionError):
            return 500, "too many nested calls of next(), or of something else"
        if isinstance(error, Reject):
            return error.code, error.reason
        described = self._framework.describe_error(error)
        if described is not None:
            return described
        if isinstance(error, ProtocolError):
            return error.status, error.reason
        return 500, "internal server error"


def _describe_request(request: Request) -> str:
    """Return a request and its sender for the log: ``get /item/7 from <Peer alice/a1 online>``."""
    return f"{excerpt(request.method)} {excerpt(request.original_path)} from {request.peer}"
