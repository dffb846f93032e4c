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
                         (in the thread of the link, if it has one), unless others of the device
                         are being handled: then it waits, in order. May block. Meanwhile, the
                         transport calls ``receive`` with the next message in another
                         greenlet, so that responses are read while a handler waits for them
``receive_binary()``     the client is told that there are no binary messages
``mark()``               the payload of a ping that is sent next
``confirm(payload)``     the client has answered a ping: it has read the messages before it
``drop()``               requests that wait are forgotten: the site closes the link
``closed(code)``         the link is not open any more, and the directory is told. Called
                         once, also when ``open()`` has failed; may block. Messages that the
                         client sent before are still handled
``ended()``              the link has ended: nothing more is read. May come before or after
                         ``closed()``; does not block
=======================  ===============================================================

When too many requests wait, the core calls ``link.pause_reading()``, and TCP slows the
client down; the core calls ``link.resume_reading()`` when there is room. A transport may go
on to hand over what it has read already: that finds a place. Only a client that has many links,
one after the other, gets 429.

Requests of one device are handled one at a time (``PROTOO_PARALLEL_REQUESTS``), in the order of
arrival, whatever links they came by: see :mod:`.workload`. The site's listeners of "online"
come before all requests of a link: they may block, and may wait for responses of the client.
Requests that a client sent before it left are handled; requests that wait when the site closes
the link, or removes the peer, are not.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from msgspec import UNSET

from .backlog import WaitingRequest
from .close_codes import INTERNAL_ERROR, POLICY_VIOLATION
from .errors import BadMessage
from .link import Link
from .peers.peer import Peer
from .rate_limit import to_retry_after
from .request import ReceivedRequest, Request
from .request_rates import CLOSE_REASON, REASON, Refusal
from .response import ReceivedResponse
from .scheduling import TURN_TIME
from .transactions.inquiry import Inquiry, fingerprint
from .transactions.server import DUPLICATE, NEW
from .wire.dialect import Dialect
from .wire.messages import Incoming
from .workload import HOPELESS, NO_ANSWER, PAUSES, TOO_MANY

#: So many bad messages within so many seconds close the connection. A client that is
#: merely buggy gets enough answers to be debugged; one that floods is cut off.
MAX_VIOLATIONS = 20
VIOLATION_PERIOD = 60.0

#: Characters of a path. Servers limit the first line of an HTTP request to about as much
#: (gunicorn: 4094), and no application has longer paths than that.
MAX_PATH_LENGTH = 4096

#: Seconds after which a client may repeat a request that found no place in the backlog.
RETRY_AFTER = 1

#: The reasons of a 429, and of a Close frame.
TOO_MANY_WAIT = "too many requests wait"
TOO_MANY_BAD = "too many bad messages"


class RequestHandler(Protocol):
    """Handles requests; see :class:`.handling.Handling`."""

    def handle(self, request: Request) -> None:
        """Route a request; returns when its chain has run. Raises no Exception."""


class Inbox:
    """The reading end of a link.

    :param owner: becomes ``req.app``.
    :param dialect: of the link.
    :ivar peer: the peer that the link belongs to.
    :ivar origin: tells this link from others of the peer, without keeping it alive.
    """

    __slots__ = (
        "_dialect",
        "_handler",
        "_link",
        "_owner",
        "_violations",
        "_workload",
        "origin",
        "peer",
    )

    def __init__(
        self, peer: Peer, link: Link, dialect: Dialect, handler: RequestHandler, owner: Any
    ) -> None:
        self.peer = peer
        self._link = link
        self._dialect = dialect
        self._handler = handler
        self._owner = owner
        self.origin = object()
        self._violations: deque[float] | None = None
        self._workload = peer.workload
        # Before open(), no request is handled.
        if not self._workload.join(self):
            self._pause()

    @property
    def waiting(self) -> int:
        """Bytes of the requests of the device that wait."""
        return self._workload.waiting

    @property
    def is_removed(self) -> bool:
        """Whether the site has closed the peer."""
        return self.peer.was_removed

    # The life of the link ----------------------------------------------------------------

    def open(self) -> None:
        """Tell the site that the peer has come, then handle the requests that wait."""
        peer = self.peer
        if peer.runtime.observer is not None:
            peer.runtime.observer.connected(peer)
        try:
            peer.directory.tell(peer)
        except BaseException:
            self._fail()
            self._spawn(self._workload.opened(self))
            self._workload.go_on()
            raise
        if peer.was_removed:
            self.drop()
        first = self._workload.opened(self)
        self._workload.go_on()
        if first is not None:
            first.source.handle_waiting(first)

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

    def ended(self) -> None:
        """Take note that the link has ended. It need not be told of room any more."""
        self._workload.forget_pause(self)

    def note_overflow(self) -> None:
        """Take note that the link is closed, as its client reads too slowly; does not block."""
        self.peer.runtime.limited("outbox", self.peer, "slow consumer")

    def mark(self) -> bytes:
        """Return the payload of a ping that is sent next; does not block."""
        return self.peer.requests.mark()

    def confirm(self, payload: bytes) -> None:
        """Take the payload of a pong, untrusted; does not block."""
        self.peer.requests.confirm(payload)

    def drop(self) -> None:
        """Forget the requests that wait: they will not be handled."""
        dropped = self._workload.drop(self)
        for request in dropped:
            request.source.forget(request)
        if dropped:
            # Not here: the transport may hold a lock of this link, and others are called.
            self.peer.runtime.scheduler.spawn(self._workload.go_on)

    def forget(self, request: WaitingRequest) -> None:
        """Forget a request that was dropped: a repetition of it is to be handled."""
        self.peer.requests.forget(request)

    # Messages ----------------------------------------------------------------------------

    def receive(self, payload: bytes) -> None:
        """Take one text message, untrusted, and handle it when it is its turn."""
        peer = self.peer
        runtime = peer.runtime
        observer = runtime.observer
        if observer is not None:
            size, meter = len(payload), peer.runtime.meter
            meter.received += 1
            meter.received_bytes += size
            if observer.received is not None:
                observer.received(peer, size)
        try:
            message = self._dialect.parse(payload)
        except BadMessage as error:
            self.refuse(error.reason, error.id)
            return
        method, path = message.method, message.path
        if method is UNSET:
            self._hand_on(message)
            return
        if path is UNSET:
            # A ping. It does not wait for the handlers of the requests before it, which may block.
            assert message.id is not UNSET  # parse() has made sure; for the type checker
            self._send(self._dialect.serialize_response(200, "pong", message.id, {}))
            return
        rates = runtime.rates
        if rates is not None:
            refusal = rates.take(peer)
            if refusal is not None:
                self._refuse_beyond(refusal, message, payload)
                return
        if not self._workload.take():
            self._keep(message, payload)
            return
        id = None if message.id is UNSET else message.id
        # As _make_request() does, without the call.
        request = ReceivedRequest(
            method,
            path,
            id,
            message.data or {},
            peer,
            self._owner,
            self.origin,
            fingerprint(payload),
        )
        if id is not None:
            known = peer.requests.begin(request)
            if known is not NEW:
                self._take_known(request, id, known)
                self._give_back()
                return
        if len(path) > MAX_PATH_LENGTH:
            self._refuse_path(request)
            self._give_back()
            return
        if observer is not None:
            request.admitted_at = peer.runtime.now()
            if observer.admitted is not None:
                observer.admitted(request)
            if id is None:
                observer.notified(request)
        self._start(request, payload)

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
            runtime.limited("bad_messages", self.peer, TOO_MANY_BAD)
            self._link.retire(POLICY_VIOLATION, TOO_MANY_BAD)

    def _hand_on(self, message: Incoming) -> None:
        """Hand a response on to its transaction."""
        assert message.status is not UNSET  # these as above
        assert message.id is not UNSET
        id, peer = message.id, self.peer
        response = ReceivedResponse(message.status, message.reason, message.data, id, peer)
        peer.outbound.receive(id, response)

    def _make_request(self, message: Incoming, number: int) -> ReceivedRequest:
        """Make the request that handlers see.

        :param number: the fingerprint of its text.
        """
        request: ReceivedRequest = ReceivedRequest(
            message.method,
            message.path,
            None if message.id is UNSET else message.id,
            message.data or {},
            self.peer,
            self._owner,
            self.origin,
            number,
        )
        return request

    def _refuse_path(self, request: Request) -> None:
        request.reply(414, f"a path has at most {MAX_PATH_LENGTH} characters")

    def _take_known(self, request: Inquiry, id: int, known: str) -> None:
        rates = self.peer.runtime.rates
        if rates is not None:
            rates.give_back(self.peer)  # it was counted when it came for the first time
        self._answer_known(request, id, known)

    def _answer_known(self, request: Inquiry, id: int, known: str) -> None:
        if known is DUPLICATE:
            self.refuse(f"id {id} is that of a request still in progress", id)
            return
        for payload in request.repetition:
            self._send(payload)

    # Rates -------------------------------------------------------------------------------

    def _refuse_beyond(self, refusal: Refusal, message: Incoming, payload: bytes) -> None:
        """Refuse a request or notification that is beyond the rates.

        Nothing is kept of it: no handler, place or transaction is needed to refuse it. Like
        others that are not going to be handled, it is answered whatever requests wait.
        """
        limit, wait, is_last = refusal
        peer, id = self.peer, message.id
        if id is not UNSET and peer.requests.knows(id, self.origin, payload):
            request = WaitingRequest(self, payload, id, fingerprint(payload))
            self._answer_known(request, id, peer.requests.begin(request))
            return
        observer = peer.runtime.observer
        if observer is not None:
            observer.limited(limit, peer)
        if id is not UNSET:
            data = {"retryAfter": to_retry_after(wait)}
            self._send(self._dialect.serialize_response(429, REASON, id, data))
        if is_last:
            self._link.retire(POLICY_VIOLATION, CLOSE_REASON)

    def _send(self, payload: bytes) -> None:
        """Send a message by this link, whatever link the peer has."""
        if self._link.outbox.send_text(payload) and self.peer.runtime.observer is not None:
            self.peer.outbound.observe(payload)

    # Requests that wait ------------------------------------------------------------------

    def _keep(self, message: Incoming, payload: bytes) -> None:
        """Keep the text of a request until it is its turn."""
        assert message.path is not UNSET
        if len(message.path) > MAX_PATH_LENGTH:
            self._answer_at_once(message, payload)
            return
        id = None if message.id is UNSET else message.id
        request = WaitingRequest(self, payload, id, fingerprint(payload))
        if id is not None:
            known = self.peer.requests.begin_waiting(request)
            if known is not NEW:
                self._take_known(request, id, known)
                return
        fate = self._workload.wait(request)
        runtime = self.peer.runtime
        if fate is HOPELESS:
            self.turn_down(request, *NO_ANSWER)
        elif fate is TOO_MANY:
            runtime.limited("waiting_requests", self.peer, TOO_MANY_WAIT)
            self.turn_down(request, 429, TOO_MANY_WAIT, {"retryAfter": RETRY_AFTER})
        elif fate is PAUSES:
            self._pause()
        if self._workload.is_held and not self.peer.requests.are_too_many:
            # It has taken the place of an earlier one with its id, which was open.
            self._workload.release()
        else:
            self._workload.go_on()

    def _answer_at_once(self, message: Incoming, payload: bytes) -> None:
        """Answer a request that is not going to be handled, whatever others do."""
        request = self._make_request(message, fingerprint(payload))
        if request.id is not None:
            known = self.peer.requests.begin(request)
            if known is not NEW:
                self._take_known(request, request.id, known)
                return
        self._refuse_path(request)

    def _pause(self) -> None:
        self._link.pause_reading()
        # In this order: a thread that makes room just now looks for pauses afterwards. And it
        # may have handled the whole backlog before reading was paused.
        self._workload.note_pause(self)
        self._workload.resume_reading()

    def resume_reading(self) -> None:
        """Let the link read again. Harmless when it reads already, or has ended."""
        self._link.resume_reading()

    def turn_down(
        self, request: WaitingRequest, status: int, reason: str, data: dict[str, Any] | None = None
    ) -> None:
        """Answer a request that is not going to be handled."""
        observer = self.peer.runtime.observer
        if observer is not None and (status, reason) == NO_ANSWER:
            observer.limited("stuck_handlers", self.peer)  # the log has told of the handlers
        refused = self._take_up(request)
        if refused is not None:
            refused.reply(status, reason, data)

    def _take_up(self, request: WaitingRequest) -> Request | None:
        """Read the text of a request again; ``None`` when it is not to be handled any more."""
        requests = self.peer.requests
        if self.is_removed:
            requests.forget(request)
            return None
        try:
            message = self._dialect.parse(request.payload)
        except BadMessage as error:
            # It could be read before. The stack may be deeper now.
            requests.forget(request)
            self.refuse(error.reason, error.id)
            return None
        handled = self._make_request(message, request.fingerprint)
        if handled.id is not None:
            requests.take_up(request, handled)
        return handled

    # Requests, in order ------------------------------------------------------------------

    def handle_waiting(self, request: WaitingRequest) -> None:
        """Handle a request that has waited and has a place now, then those behind it."""
        self._go_on(request)

    def _handle(self, request: Request, payload: bytes) -> None:
        """Handle a request, then those that have come meanwhile.

        :param payload: its text.
        """
        try:
            self._handler.handle(request)
        except BaseException:
            self._recover(request)
            raise
        if not request.ended and self.peer.requests.leave_open(request, payload):
            self._hold()
        if not self._workload.leave():
            self._go_on(self._workload.pass_on(request))

    #: Handle a request that has just come, and has a place.
    _start = _handle

    def _go_on(self, waiting: WaitingRequest | None) -> None:
        """Handle a request that has waited and has a place now, then those behind it.

        Beyond :data:`TURN_TIME`, the next ones are handled in the next iteration of the hub.
        """
        workload, scheduler = self._workload, self.peer.runtime.scheduler
        end = scheduler.now() + TURN_TIME
        while True:
            workload.resume_reading()
            if waiting is None:
                return
            inbox: Any = waiting.source  # the same workload, another link
            request = inbox._take_up(waiting)
            if request is not None:
                workload.started(request)
                observer = self.peer.runtime.observer
                if observer is not None:
                    request.admitted_at = scheduler.now()
                    if observer.admitted is not None:
                        observer.admitted(request)
                    if request.id is None:
                        observer.notified(request)
                try:
                    self._handler.handle(request)
                except BaseException:
                    inbox._recover(request)
                    raise
                requests = inbox.peer.requests
                if not request.ended and requests.leave_open(request, waiting.payload):
                    inbox._hold()
            waiting = workload.pass_on(request)
            if waiting is not None and not scheduler.preempts and scheduler.now() >= end:
                scheduler.call_later(0, waiting.source.handle_waiting, waiting)
                return

    def _give_back(self) -> None:
        """Give back the place of a request that is not handled."""
        if not self._workload.leave():
            self._spawn(self._workload.pass_on(None))

    def _spawn(self, waiting: WaitingRequest | None) -> None:
        if waiting is not None:
            self.peer.runtime.scheduler.spawn(waiting.source.handle_waiting, waiting)

    def _hold(self) -> None:
        """Handle no more requests until enough of the earlier ones have been answered."""
        self._workload.hold()
        if not self.peer.requests.are_too_many:
            self._workload.release()  # another thread has answered some before hold()

    def _recover(self, request: Request) -> None:
        """Go on after an error that ends this greenlet; the link ends with it."""
        self._fail()
        # A client that had left already does not learn of the error, and may have come back
        # to wait for the answers to its earlier requests.
        if not self._workload.leave():
            self._spawn(self._workload.pass_on(request))

    def _fail(self) -> None:
        if self._link.fail(INTERNAL_ERROR, "internal error"):
            self.drop()


class SharedInbox(Inbox):
    """An inbox whose requests are not handled where they are read.

    Among threads, nobody notices one that blocks. So requests are handled in the thread that the
    link has of its own, and responses are read meanwhile.
    """

    __slots__ = ()

    def _start(self, request: Request, payload: bytes) -> None:
        spawn = getattr(self._link, "spawn", None) or self.peer.runtime.scheduler.spawn
        spawn(self._handle, request, payload)
