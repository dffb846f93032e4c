"""An inbox: everything that one link brings in, from its text messages to handled requests.

An inbox belongs to a link, not to the peer. A message that breaks the rules is answered on the
link that brought it, and counted there. The answer of a handler goes to the peer, over
the link that it has by then.

The transport calls the verbs of an inbox in this order, and the core those of its
:class:`~.link.Link`:

=======================  ===============================================================
the transport calls      then
=======================  ===============================================================
``Application.connect``  others can reach the peer. When ``when_reachable`` is called, the
                         transport sends the answer to the handshake. Next, it calls
                         ``open()`` in a greenlet or thread that may block, and it may
                         begin to read
``open()``               the site is told "online"; then the requests that have come
                         meanwhile are handled. Called once
``receive(text)``        the message is read, and a request is handled before this returns
                         (among threads: in a thread of its own), unless others are being
                         handled: then it waits, in order. May block. Meanwhile, the
                         transport calls ``receive`` with the next message in another
                         greenlet, so that responses are read while a handler waits for them
``receive_binary()``     the client is told that there are no binary messages
``mark()``               the payload of a ping that is sent next
``confirm(payload)``     the client has answered a ping: it has read the messages before it
``drop()``               requests that wait are forgotten: the site closes the link
``closed(code)``         the link is not open any more, and the directory is told. Called
                         once, also when ``open()`` has failed; may block. Messages that the
                         client sent before are still handled
=======================  ===============================================================

When too many requests wait, the core calls ``link.pause_reading()``, and TCP slows the
client down; the core calls ``link.resume_reading()`` when there is room. A transport may go
on to hand over what it has read already: that always finds a place.

Requests of one link are handled one at a time (``PROTOO_PARALLEL_REQUESTS``), in the order of
arrival. The site's listeners of "online" are the first task of all: they may block, and may
wait for responses of the client. Requests that a client sent before it left are handled;
requests that wait when the site closes the link, or removes the peer, are not.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from msgspec import UNSET

from .close_codes import INTERNAL_ERROR, POLICY_VIOLATION
from .errors import BadMessage
from .link import Link
from .peers.peer import Peer
from .request import ReceivedRequest, Request
from .response import ReceivedResponse
from .scheduling import one_step
from .transactions.server import DUPLICATE, NEW, fingerprint
from .wire.dialect import Dialect
from .wire.messages import Incoming

#: So many bad messages within so many seconds close the connection. A client that is
#: merely buggy gets enough answers to be debugged; one that floods is cut off.
MAX_VIOLATIONS = 20
VIOLATION_PERIOD = 60.0

#: Characters of a path. Servers limit the first line of an HTTP request to about as much
#: (gunicorn: 4094), and no application has longer paths than that.
MAX_PATH_LENGTH = 4096

#: Bytes of requests that may wait for the one being handled.
MAX_BACKLOG = 1024 * 1024

#: Bytes that a waiting request takes besides its text. Without them, a backlog of tiny
#: requests would take thirty times its limit.
REQUEST_SIZE = 700


class RequestHandler(Protocol):
    """Handles requests; see :class:`.handling.Handling`."""

    def handle(self, request: Request) -> None:
        """Route a request; returns when its chain has run. Raises no Exception."""


class Inbox:
    """The reading end of a link.

    :param owner: becomes ``req.app``.
    :param dialect: of the link.
    :ivar peer: the peer that the link belongs to.
    :ivar waiting: bytes of requests that wait.
    """

    __slots__ = (
        "_active",
        "_backlog",
        "_dialect",
        "_handler",
        "_is_paused",
        "_link",
        "_origin",
        "_owner",
        "_parallel",
        "_violations",
        "peer",
        "waiting",
    )

    def __init__(
        self, peer: Peer, link: Link, dialect: Dialect, handler: RequestHandler, owner: Any
    ) -> None:
        self.peer = peer
        self._link = link
        self._dialect = dialect
        self._handler = handler
        self._owner = owner
        #: Tells this link from others of the peer, without keeping it alive.
        self._origin = object()
        self._violations: deque[float] | None = None
        self._parallel = peer.runtime.limits.parallel_requests
        #: Requests that are being handled. Before open(), all places are taken.
        self._active = self._parallel
        #: Requests that wait, with their sizes. Made when there are some: an empty deque is a
        #: tenth of the memory of an idle connection.
        self._backlog: deque[tuple[Request, int]] | None = None
        self.waiting = 0
        self._is_paused = False

    # The life of the link ----------------------------------------------------------------

    def open(self) -> None:
        """Tell the site that the peer has come, then handle the requests that wait."""
        peer = self.peer
        if peer.runtime.observer is not None:
            peer.runtime.observer.connected(peer)
        try:
            peer.directory.tell(peer)
        except BaseException:
            self._recover()
            raise
        if peer.was_removed:
            self.drop()
        first, *others = [self._pass_on() for _ in range(self._parallel)]
        if self._is_paused:
            self._resume()
        for request in others:
            if request is not None:
                peer.runtime.scheduler.spawn(self._handle, request)
        self._handle(first)

    def closed(self, code: int) -> None:
        """Take note that the link is not open any more.

        :param code: of the Close frame that ended the open state, the client's or ours;
            1005 when it had none, 1006 when the connection ended without (RFC 6455 section
            7.1.5).
        """
        peer = self.peer
        if peer.runtime.observer is not None:
            peer.runtime.observer.closed(peer, code)
        peer.directory.link_closed(peer, self._link, code)

    def mark(self) -> bytes:
        """Return the payload of a ping that is sent next; does not block."""
        return self.peer.requests.mark()

    def confirm(self, payload: bytes) -> None:
        """Take the payload of a pong, untrusted; does not block."""
        self.peer.requests.confirm(payload)

    def drop(self) -> None:
        """Forget the requests that wait: they will not be handled."""
        for request in self._take_all():
            # A repetition of it is to be handled.
            self.peer.requests.forget(request)

    # Messages ----------------------------------------------------------------------------

    def receive(self, payload: bytes) -> None:
        """Take one text message, untrusted, and handle it when it is its turn."""
        peer = self.peer
        observer = peer.runtime.observer
        if observer is not None:
            observer.received(peer, len(payload))
        try:
            message = self._dialect.parse(payload)
        except BadMessage as error:
            self.refuse(error.reason, error.id)
            return
        method, path = message.method, message.path
        if method is UNSET:
            self._hand_on(message)
            return
        assert path is not UNSET  # parse() has made sure; for the type checker
        id = None if message.id is UNSET else message.id
        request = ReceivedRequest(
            method,
            path,
            id,
            message.data or {},
            peer,
            self._owner,
            self._origin,
            fingerprint(payload),
        )
        if id is not None:
            known = peer.requests.begin(request)
            if known is not NEW:
                self._take_known(request, id, known)
                return
        if len(path) > MAX_PATH_LENGTH:
            request.reply(414, f"a path has at most {MAX_PATH_LENGTH} characters")
            return
        if observer is not None:
            observer.admitted(request)
        if self._admit(request, len(payload)):
            self._start(request)
        elif self.waiting > MAX_BACKLOG:
            self._pause()

    def receive_binary(self) -> None:
        """Answer a binary message: there is no such thing in this wire format."""
        self.refuse("binary messages have no meaning here: send JSON as text")

    def refuse(self, reason: str, id: int = 0) -> None:
        """Answer 400; too many of these close the connection."""
        runtime = self.peer.runtime
        if runtime.observer is not None:
            runtime.observer.refused(self.peer, reason)
        self._send(self._dialect.serialize_response(400, reason, id, {}))
        now = runtime.scheduler.now()
        if self._violations is None:
            self._violations = deque(maxlen=MAX_VIOLATIONS)
        self._violations.append(now)
        many = len(self._violations) == MAX_VIOLATIONS
        if many and now - self._violations[0] <= VIOLATION_PERIOD:
            self._link.retire(POLICY_VIOLATION, "too many bad messages")

    def _hand_on(self, message: Incoming) -> None:
        """Hand a response on to its transaction."""
        assert message.status is not UNSET  # these as above
        assert message.id is not UNSET
        id, peer = message.id, self.peer
        response = ReceivedResponse(message.status, message.reason, message.data, id, peer)
        peer.outbound.receive(id, response)

    def _take_known(self, request: Request, id: int, known: str) -> None:
        if known is DUPLICATE:
            self.refuse(f"id {id} is that of a request still in progress", id)
            return
        for payload in request.repetition:
            self._send(payload)

    def _send(self, payload: bytes) -> None:
        """Send a message by this link, whatever link the peer has."""
        observer = self.peer.runtime.observer
        if self._link.outbox.send_text(payload) and observer is not None:
            observer.sent(self.peer, len(payload))

    # Requests, in order ------------------------------------------------------------------

    def _admit(self, request: Request, length: int) -> bool:
        """Give a request a place among those being handled; ``False`` when it has to wait.

        :param length: bytes of its message.
        """
        if self._active < self._parallel:
            self._active += 1
            return True
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append((request, length + REQUEST_SIZE))
        self.waiting += length + REQUEST_SIZE
        return False

    def _pass_on(self) -> Request | None:
        """Pass a place on to the request that has waited longest, or give it back."""
        if not self._backlog:
            self._active -= 1
            return None
        request, size = self._backlog.popleft()
        self.waiting -= size
        return request

    def _take_all(self) -> list[Request]:
        """Empty the backlog."""
        requests = [request for request, _ in self._backlog or ()]
        self._backlog = None
        self.waiting = 0
        return requests

    def _handle(self, request: Request | None) -> None:
        """Handle a request, then those that have come meanwhile."""
        handle = self._handler.handle
        while request is not None:
            try:
                handle(request)
            except BaseException:
                self._recover()
                raise
            if self._backlog and self.peer.was_removed:
                self.drop()
            request = self._pass_on()
            if self._is_paused:
                self._resume()

    #: Handle a request that has just come, and has a place.
    _start = _handle

    def _recover(self) -> None:
        """Go on after an error that ends this greenlet; the link ends with it."""
        if self._link.fail(INTERNAL_ERROR, "internal error"):
            self.drop()
        # A client that had left already does not learn of the error, and may have come back
        # to wait for the answers to its earlier requests.
        request = self._pass_on()
        if request is not None:
            self.peer.runtime.scheduler.spawn(self._handle, request)

    def _pause(self) -> None:
        self._link.pause_reading()
        # In this order: a thread that is in _resume() just now clears the flag, and then calls
        # resume_reading(). And it may have handled the backlog before reading was paused.
        self._is_paused = True
        self._resume()

    def _resume(self) -> None:
        """Let the link read again, if there is room. Harmless when it reads already."""
        if self.waiting <= MAX_BACKLOG:
            self._is_paused = False
            self._link.resume_reading()


class SharedInbox(Inbox):
    """An inbox among threads: each request has a thread, as nobody notices one that blocks.

    No link is called while the lock is held.
    """

    __slots__ = ("_lock",)

    def __init__(
        self, peer: Peer, link: Link, dialect: Dialect, handler: RequestHandler, owner: Any
    ) -> None:
        super().__init__(peer, link, dialect, handler, owner)
        self._lock = peer.runtime.scheduler.lock()

    def _start(self, request: Request | None) -> None:
        self.peer.runtime.scheduler.spawn(self._handle, request)

    _admit = one_step(Inbox._admit)
    _pass_on = one_step(Inbox._pass_on)
    _take_all = one_step(Inbox._take_all)
