"""What one link brings in: messages read, bad ones answered, responses handed on.

An inbox belongs to a link, not to the peer: what breaks the rules is answered on the
connection that it came from, and counted there. What a handler answers goes to the
peer, over whatever link that has by then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from .close_codes import POLICY_VIOLATION
from .errors import BadMessage
from .peers.peer import Link, Peer
from .request import ReceivedRequest, Request
from .response import ReceivedResponse, Response
from .transactions.server import DUPLICATE, NEW
from .wire.messages import Incoming, parse, serialize_response

if TYPE_CHECKING:
    from .application import Application

#: So many bad messages within so many seconds close the connection. A client that is
#: merely buggy gets enough answers to be debugged; one that floods is cut off.
MAX_VIOLATIONS = 20
VIOLATION_PERIOD = 60.0

#: Characters of a path. What a server takes as the first line of an HTTP request is of
#: this order (gunicorn: 4094), and no application has longer paths than that.
MAX_PATH_LENGTH = 4096


class Inbox:
    """The reading end of a link."""

    __slots__ = ("_application", "_link", "_origin", "_violations", "handle", "peer")

    def __init__(self, application: Application, peer: Peer, link: Link) -> None:
        self._application = application
        self.peer = peer
        self._link = link
        #: What tells this connection from others of the peer, without keeping it alive.
        self._origin = object()
        self._violations: deque[float] | None = None
        #: ``handle(request)`` routes a request; see :meth:`Application.handle`.
        self.handle = application.handle

    def introduce(self) -> None:
        """Tell the site who has come; before the first request is handled."""
        self._application.registry.tell(self.peer)

    def receive(self, payload: bytes) -> Request | None:
        """Take one text message, untrusted.

        :returns: the request to be passed to :meth:`handle`, if it is one.
        """
        try:
            message = parse(payload)
        except BadMessage as error:
            self.refuse(error.reason, error.id)
            return None
        if message.method is UNSET:
            self._hand_on(message)
            return None
        assert message.path is not UNSET  # parse() has made sure; for the type checker
        application = self._application
        id = None if message.id is UNSET else message.id
        request: Request = ReceivedRequest().received(
            message.method,
            message.path,
            id,
            message.data or {},
            self.peer,
            self,
            application.owner,
            self._origin,
            hash(payload),
        )
        if id is not None:
            seen = self.peer.requests.begin(request, application.scheduler)
            if seen is not NEW:
                self._take_known(request, id, seen)
                return None
        if len(message.path) > MAX_PATH_LENGTH:
            request.reply(414, f"a path has at most {MAX_PATH_LENGTH} characters")
            return None
        return request

    def _hand_on(self, message: Incoming) -> None:
        """Hand a response on to whoever waits for it."""
        assert message.status is not UNSET  # these as above
        assert message.id is not UNSET
        id, peer = message.id, self.peer
        response: Response = ReceivedResponse().received(
            message.status, message.reason, message.data, id, peer
        )
        peer.transactions.receive(id, response)

    def receive_binary(self) -> None:
        """Answer a binary message: there is no such thing in this wire format."""
        self.refuse("binary messages have no meaning here: send JSON as text")

    def _take_known(self, request: Request, id: int, seen: str) -> None:
        if seen is DUPLICATE:
            self.refuse(f"id {id} is that of a request still in progress", id)
            return
        for payload in request.repetition:
            self._link.send(payload)

    def forget(self, request: Request) -> None:
        """Take note that a request will not be handled: if repeated, it is to be heard."""
        self.peer.requests.forget(request)

    def refuse(self, reason: str, id: int = 0) -> None:
        """Answer 400; too many of these close the connection."""
        self._link.send(serialize_response(400, reason, id, {}))
        now = self._application.scheduler.now()
        if self._violations is None:
            self._violations = deque(maxlen=MAX_VIOLATIONS)
        self._violations.append(now)
        many = len(self._violations) == MAX_VIOLATIONS
        if many and now - self._violations[0] <= VIOLATION_PERIOD:
            self._link.retire(POLICY_VIOLATION, "too many bad messages")

    def respond(self, request: Request, status: int, reason: str, data: dict[str, Any]) -> None:
        """Send a response; for :meth:`Request.reply`."""
        id = request.id
        if id is None:
            return
        payload = serialize_response(status, reason, id, data)
        peer = self.peer
        if status >= 200:
            self._application.unanswered.remove(request)
            is_awaited = peer.requests.complete(request, payload)
        else:
            is_awaited = peer.requests.proceed(request, payload)
        link = self._link
        # As a rule it goes where the request came from.
        if is_awaited and not (peer.link is link and link.send(payload)):
            peer.transmit(payload)

    def wait_longer(self, request: Request) -> None:
        """Set no limit to a handler; for :meth:`Request.keep_open`."""
        self._application.unanswered.remove(request)
