"""Server transactions: a peer's requests, until they are answered and a while longer.

The term is SIP's (RFC 3261 section 17.2), and so is the purpose: a client that lost its
connection cannot know whether a request arrived. So it sends the request again, with the
same id, and must get the same answer without anything being done twice.

===========  =====================================  ===========  ======================
state        event                                  next state   action
===========  =====================================  ===========  ======================
(unknown)    a request                              proceeding   it is handled
proceeding   one with its id, same connection       proceeding   a violation
proceeding   the same again, newer connection       proceeding   the first and the latest
                                                                 response are sent again
proceeding   another with its id, newer connection  proceeding   handled in its place
proceeding   its turn comes                         proceeding   its text is read again
proceeding   its peer goes offline                  (unknown)    nobody waits for its answer
proceeding   its peer moves to another process      left         it is handled, here
left         a response, provisional or final       left         told over there
left         its peer comes back                    proceeding   as before
proceeding   dropped before it was handled          (unknown)    a repetition is news
left         dropped before it was handled          (unknown)    503, over there
proceeding   provisional response                   proceeding   sent, and remembered
proceeding   final response                         completed    sent, and remembered
completed    one with its id, same connection       proceeding   handled: the id was free
completed    the same again, newer connection       completed    the first provisional response
                                                                 and the answer are sent again
completed    another with its id, newer connection  proceeding   handled
completed    the client has read the answer         (unknown)    forgotten
===========  =====================================  ===========  ======================

Two requests are the same when they have the same id and the same text. A client that starts
anew (a page that was reloaded) may count its ids from 1 again. Those are other requests, and
the client would take an answer to an earlier request for the answer to the new one.

A peer of a cluster may move to another process, with all of this: :meth:`ServerTransactions.leave`
and :meth:`ServerTransactions.inherit`. Handlers that run here go on. Over there, a
:class:`.inheritance.HandledElsewhere` stands for each of their requests, so that a repetition of
it is recognised, and takes their responses by :meth:`ServerTransactions.respond_for`.

The answers are in :mod:`.remembered_answers`, as long as the client may not have read them. Without
a grace period, none is remembered: no client counts as one that left.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..deadlines import Deadlines
from ..scheduling import one_step
from ..wire.object_size import estimate_size
from .inheritance import HandledElsewhere
from .inquiry import Inquiry, fingerprint
from .open_requests import (
    ENOUGH_ROOM,
    ENVELOPE,
    MAX_OPEN,
    OPEN_SIZE,
    SMALL_COUNT,
    SMALL_TEXT,
    OpenRequests,
)
from .outbound import Outbound
from .remembered_answers import Answer, RememberedAnswers
from .shares import PROGRESS

#: The kinds of requests that arrive.
NEW = "new"
DUPLICATE = "duplicate"
REPEATED = "repeated"

#: Bytes of provisional responses kept for repetitions of the requests of one peer. They come
#: from other peers, too. Beyond it, the latest ones are sent and not kept.
MAX_REPETITIONS = 256 * 1024

#: The requests that are left of a peer which is here; never changed.
NONE_LEFT: dict[int, Inquiry] = {}

#: ``function(request, status, payload)``: takes a response to a request of a peer that has moved.
Heir = Callable[[Inquiry, int, bytes], Any]

#: The reason of the 503 to a request that is dropped after its peer has moved.
DROPPED = "dropped before it was handled"

#: The reason of the 409 that a repetition gets when the text of its answer is forgotten.
FORGOTTEN = "answered before; the answer is not kept any more"


class ServerTransactions:
    """The requests of one peer, and the way back of their responses.

    :param outbound: the peer's, by which responses are sent.
    :ivar answers: those that are remembered; ``None``: none is.
    """

    __slots__ = (
        "__weakref__",
        "_heir",
        "_is_over",
        "_left",
        "_looks",
        "_open",
        "_outbound",
        "_proceeding",
        "_repetitions",
        "_waiting",
        "answers",
    )

    def __init__(self, outbound: Outbound) -> None:
        runtime = outbound.runtime
        self._outbound = outbound
        self.answers: RememberedAnswers | None = None
        if runtime.time_limits.grace_period:
            self.answers = RememberedAnswers(runtime.scheduler.now)
        #: Looks whether answers have arrived; ``None``: pongs tell.
        self._looks: Deadlines[ServerTransactions] | None = runtime.answers
        self._proceeding: dict[int, Inquiry] = {}
        #: How many of these wait for their turn.
        self._waiting = 0
        self._open: OpenRequests | None = None
        self._is_over = False
        #: While the peer is at another process: those of its requests that are handled here,
        #: and the function that takes the responses.
        self._left: dict[int, Inquiry] = NONE_LEFT
        self._heir: Heir | None = None
        #: Bytes of the provisional responses that are kept for repetitions.
        self._repetitions = 0

    def __len__(self) -> int:
        return len(self._proceeding)

    @property
    def are_left(self) -> bool:
        """Whether requests of a peer that has moved are still to be answered from here."""
        return bool(self._left)

    # The requests ----------------------------------------------------------------------

    def begin(self, request: Inquiry) -> str:
        """Take a request; tells whether it is ``NEW`` and to be handled.

        ``DUPLICATE``: its id is that of one in progress on the same connection.
        ``REPEATED``: it is known, and the client is to be sent its ``repetition``.
        """
        assert request.id is not None
        answers = self.answers
        if answers is None and self._proceeding.setdefault(request.id, request) is request:
            return NEW  # whenever its id is not in use, as no answer is remembered
        other = self._proceeding.get(request.id)
        if other is not None:
            if other.origin is request.origin:
                return DUPLICATE
            if other.fingerprint == request.fingerprint:
                request.repetition = other.repetition
                return REPEATED
            self._forget_repetition(other)
            self._let_go(other)
        elif answers is not None:
            answer = answers.find(request)
            if answer is not None:
                final = answer.payload or self._say_forgotten(answer.id)
                request.repetition = (answer.first, final) if answer.first else (final,)
                return REPEATED
        self._proceeding[request.id] = request
        return NEW

    def knows(self, id: int, origin: object, text: bytes) -> bool:
        """Whether a request would not be ``NEW`` to :meth:`begin`; begins nothing."""
        other = self._proceeding.get(id)
        if other is not None:
            return other.origin is origin or other.fingerprint == fingerprint(text)
        return self.answers is not None and self.answers.has(id, origin, text)

    def respond(
        self,
        request: Inquiry,
        status: int,
        reason: str,
        data: dict[str, Any],
        payload: bytes | None = None,
    ) -> None:
        """Send a response; for :meth:`Request.reply`.

        :param payload: its text, if it is written already.
        :raises Unsendable: when the data is not JSON; the request stays open.
        """
        id = request.id
        if id is None:
            return
        outbound = self._outbound
        runtime = outbound.runtime
        if payload is None:
            payload = outbound.dialect.serialize_response(status, reason, id, data)
            # Scheduler.is_foreign(), without the call: it would be another 1 % of a request.
            if runtime.thread_id() != runtime.scheduler.owner:
                # Only now: the thread that answers learns of data that is not JSON.
                hand_over = runtime.scheduler.hand_over
                hand_over(self.respond, request, status, reason, data, payload)
                return
        if status >= 200:
            runtime.unanswered.remove(request)
            is_awaited = self.complete(request, payload)
            if self._open is not None and is_awaited:
                self._make_room(id)
        else:
            # From other peers, mostly. They may send any number, so the client is not given up.
            is_awaited = self.proceed(request, payload)
            if is_awaited:
                outbound.transmit(payload, PROGRESS)
                if runtime.observer is not None:
                    runtime.observer.answered(request, status)
            elif self._heir is not None:
                self._tell_heir(request, status, payload)
            return
        if not is_awaited:
            if self._heir is not None:
                self._tell_heir(request, status, payload)
            return
        observer = runtime.observer
        link = outbound.link
        if link is None or not link.outbox.send_text(payload):
            outbound.transmit(payload)
        elif observer is not None:
            # As observe() does; without the call, if nobody wants to be told of each message.
            if observer.sent is not None:
                outbound.observe(payload)
            else:
                meter = runtime.meter
                meter.sent += 1
                meter.sent_bytes += len(payload)
        if observer is not None:
            tell = observer.answered  # a slot: to call it at once would take Python longer
            tell(request, status)

    def wait_longer(self, request: Inquiry) -> None:
        """Set no time limit to the handlers; for :meth:`Request.keep_open`."""
        self._outbound.runtime.unanswered.remove(request)

    def proceed(self, request: Inquiry, payload: bytes) -> bool:
        """Take note of a provisional response; ``False`` when nobody waits for it any more."""
        assert request.id is not None
        if self._proceeding.get(request.id) is not request:
            return False
        # The latest one tells the progress (RFC 3261 section 17.2.1). The first one may have
        # told something once and for all: the path of a call.
        first, latest = request.repetition[:1], request.repetition[1:]
        self._repetitions += len(payload) - sum(map(len, latest))
        if self._repetitions > MAX_REPETITIONS:
            self._repetitions -= len(payload)
            request.repetition = first
        else:
            request.repetition = (*first, payload)
        return True

    def complete(self, request: Inquiry, payload: bytes) -> bool:
        """Take note of the final response; ``False`` when nobody waits for it any more."""
        assert request.id is not None
        if self._proceeding.get(request.id) is not request:
            return False
        del self._proceeding[request.id]
        first = b""
        if request.repetition:
            first = request.repetition[0]
            self._forget_repetition(request)
        answers = self.answers
        if answers is not None:
            answers.add(request, payload, first)
            if self._looks is not None and answers.begin_look():
                self._looks.add(self)
        return True

    def _forget_repetition(self, request: Inquiry) -> None:
        self._repetitions -= sum(map(len, request.repetition))
        request.repetition = ()

    # Requests that wait --------------------------------------------------------------------

    def begin_waiting(self, request: Inquiry) -> str:
        """Take a request that has to wait for its turn; as :meth:`begin`."""
        known = self.begin(request)
        if known is NEW:
            self._waiting += 1
        return known

    def take_up(self, request: Inquiry, handled: Inquiry) -> None:
        """Put the request that handlers see into the place of one that has waited."""
        assert request.id is not None
        self._waiting -= 1
        for requests in (self._proceeding, self._left):
            if requests.get(request.id) is request:
                requests[request.id] = handled

    def forget(self, request: Inquiry) -> None:
        """Forget a request that has waited, and is not going to be handled."""
        if request.id is None:
            return
        self._waiting -= 1
        if self._proceeding.get(request.id) is request:
            del self._proceeding[request.id]
        elif self._left.get(request.id) is request:
            # Over there, a repetition of it would wait for the answer for ever.
            write = self._outbound.dialect.serialize_response
            self._tell_heir(request, 503, write(503, DROPPED, request.id, {}))

    # Requests that handlers have left open ---------------------------------------------------

    @property
    def are_too_many(self) -> bool:
        """Whether so many are left open that the next ones have to wait."""
        return self._open is not None and self._open.are_too_many

    def leave_open(self, request: Inquiry, text: bytes) -> bool:
        """Take note that the handlers of a request have returned without an answer.

        :param text: that of the request.
        :returns: whether so many are open that the next ones have to wait.
        """
        # Of every request: its handlers need no place any more, whoever waits for an answer.
        request.is_left_open = True
        id = request.id
        if id is None:
            return False
        proceeding = self._proceeding
        if self._left.get(id) is request:
            return False
        if self._is_over or proceeding.get(id) is not request:
            # Nobody waits for its answer: the peer has gone, or has another request of that id.
            self._outbound.runtime.unanswered.remove(request)
            if proceeding.get(id) is request:
                del proceeding[id]
            return False
        is_small = len(text) <= SMALL_TEXT
        if is_small and self._open is None and len(proceeding) <= SMALL_COUNT:
            return False  # most requests that are relayed
        size = 0 if is_small else estimate_size(text) - ENVELOPE
        if self._open is None:
            self._open = OpenRequests()
        if size > OPEN_SIZE:
            self._open.add(id, size - OPEN_SIZE)
        if self._open_size() > MAX_OPEN:
            self._open.are_too_many = True
        if not self._open.is_needed:
            self._open = None
        return self.are_too_many

    def _open_size(self) -> int:
        size = (len(self._proceeding) - self._waiting) * OPEN_SIZE
        return size if self._open is None else size + self._open.size

    def _make_room(self, id: int) -> None:
        """Have requests handled that wait for room, if there is enough now."""
        if self._close(id):
            self._outbound.tell_room()

    def _close(self, id: int) -> bool:
        """Count a request no more; tells whether there is room again."""
        open = self._open
        if open is None:
            return False
        open.remove(id)
        has_room = open.are_too_many and self._open_size() <= ENOUGH_ROOM
        if has_room:
            open.are_too_many = False
        if not open.is_needed:
            self._open = None
        return has_room

    def _let_go(self, request: Inquiry) -> None:
        """Keep a request no longer that handlers have left open: nobody waits for its answer."""
        if request.is_left_open:
            assert request.id is not None
            self._outbound.runtime.unanswered.remove(request)
            self._close(request.id)

    def forget_all(self) -> None:
        """Forget everything: the peer has gone.

        Requests that wait, or are being handled, go on. Nobody waits for their answers.
        """
        self._is_over = True
        self._heir = None
        for requests in (self._proceeding, self._left):
            for id, request in list(requests.items()):
                if request.is_left_open:
                    self._let_go(request)
                    del requests[id]
        self._left = NONE_LEFT
        self._open = None
        if self.answers is not None:
            self.answers.forget_all()
            self.answers = None
            if self._looks is not None:
                self._looks.remove(self)

    # From one process to another ----------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the peer has gone for good."""
        return self._is_over

    def change_outbound(self, outbound: Outbound) -> None:
        """Send responses another way: the peer is at this process again."""
        self._outbound = outbound

    def leave(self, heir: Heir) -> tuple[list[Answer], list[Inquiry]]:
        """Give up everything: another process has the next link.

        Requests that wait, or are being handled, go on here.

        :param heir: takes their responses.
        :returns: the answers that are remembered, oldest first, and the requests in progress.
        """
        answers: list[Answer] = []
        if self.answers is not None:
            answers = self.answers.take_all()
            if self._looks is not None:
                self._looks.remove(self)
        requests = list(self._proceeding.values())
        mine = {
            id: request
            for id, request in self._proceeding.items()
            if not isinstance(request, HandledElsewhere)
        }
        # A peer that leaves before its estate has come has those of the time before, too.
        self._left = {**self._left, **mine}
        self._proceeding.clear()
        self._repetitions = 0
        self._open = None
        self._heir = heir
        return answers, requests

    def inherit(
        self, answers: Sequence[HandledElsewhere], requests: Sequence[HandledElsewhere]
    ) -> None:
        """Take in what another process has given up.

        :param answers: requests that were answered, oldest first; the ``repetition`` of each is
            the first provisional response, if that is remembered, and the text of its answer,
            which is empty when it is forgotten.
        :param requests: in progress. One that is handled here goes on as before.
        """
        left, self._left = self._left, NONE_LEFT
        self._heir = None
        for request in requests:
            assert request.id is not None
            mine = left.pop(request.id) if request.id in left else None
            found: Inquiry = request
            if mine is not None and mine.fingerprint == request.fingerprint:
                found = mine
            self._proceeding[request.id] = found
            found.repetition = request.repetition
            self._repetitions += sum(map(len, request.repetition))
        for forgotten in left.values():
            # The client has sent other requests with these ids, over there.
            self._let_go(forgotten)
        if self.answers is not None:
            for answered in answers:
                *firsts, payload = answered.repetition or (b"",)
                self.answers.add(answered, payload, b"".join(firsts))
            if self._looks is not None and self.answers.begin_look():
                self._looks.add(self)

    def respond_for(self, id: int, fingerprint: int, status: int, payload: bytes) -> bool:
        """Send a response of a handler of another process.

        :param payload: its text, with the id.
        :returns: ``False`` when nobody waits for it.
        """
        request = self._proceeding.get(id)
        if not isinstance(request, HandledElsewhere) or request.fingerprint != fingerprint:
            return False
        # Not by respond(): an observer has been told over there.
        if status < 200:
            is_awaited = self.proceed(request, payload)
        else:
            is_awaited = self.complete(request, payload)
            if self._open is not None and is_awaited:
                self._make_room(id)
        if is_awaited:
            self._outbound.transmit(payload, PROGRESS if status < 200 else None)
        return is_awaited

    def handled_elsewhere(self) -> list[HandledElsewhere]:
        """Return the requests in progress that handlers of other processes answer."""
        if not self._proceeding:
            return []
        requests = list(self._proceeding.values())
        return [request for request in requests if isinstance(request, HandledElsewhere)]

    def has_left(self, id: int, fingerprint: int) -> bool:
        """Whether handlers of this process go on with a request of a peer that has moved."""
        request = self._left.get(id)
        return request is not None and request.fingerprint == fingerprint

    def end_for(self, node: str, status: int, reason: str) -> None:
        """Answer the requests that a process was handling which is gone."""
        write = self._outbound.dialect.serialize_response
        for id, request in list(self._proceeding.items()):
            if isinstance(request, HandledElsewhere) and request.node == node:
                self.respond_for(id, request.fingerprint, status, write(status, reason, id, {}))

    def _tell_heir(self, request: Inquiry, status: int, payload: bytes) -> None:
        """Tell the process that has the peer now of a response."""
        assert request.id is not None
        heir = self._heir
        if heir is None or self._left.get(request.id) is not request:
            return
        if status >= 200:
            self._left.pop(request.id, None)
        heir(request, status, payload)
        observer = self._outbound.runtime.observer
        if observer is not None:
            observer.answered(request, status)

    # Answers that are remembered --------------------------------------------------------------

    def let_repeat(self, seconds: float) -> None:
        """Let a client that has come back repeat its earlier requests for this time."""
        if self.answers is not None:
            self.answers.let_repeat(seconds)

    def mark(self) -> bytes:
        """Return the payload of a ping; see :meth:`.RememberedAnswers.mark`."""
        return b"" if self.answers is None else self.answers.mark()

    def confirm(self, mark: bytes) -> None:
        """Take the payload of a pong; see :meth:`.RememberedAnswers.confirm`."""
        if self.answers is not None:
            self.answers.confirm(mark)

    def look(self) -> None:
        """Forget the answers before the last look, if all bytes have arrived; nobody pings."""
        link = self._outbound.link
        self._look(link is not None and not link.outbox.undelivered)

    def _look(self, has_arrived: bool) -> None:
        answers, looks = self.answers, self._looks
        if answers is not None and looks is not None:
            answers.end_look(has_arrived)
            if answers.begin_look():
                looks.add(self)

    def _say_forgotten(self, id: int) -> bytes:
        return self._outbound.dialect.serialize_response(409, FORGOTTEN, id, {})


class SharedServerTransactions(ServerTransactions):
    """The requests of a peer that are handled in threads.

    Its lock is its own, and only that of the deadlines is taken inside of it: a connection that
    drops its backlog holds its own lock, and a sender holds that of the outbound messages.
    """

    __slots__ = ("_lock", "_responding")

    def __init__(self, outbound: Outbound) -> None:
        super().__init__(outbound)
        self._lock = outbound.runtime.scheduler.lock()
        #: Threads that are giving an answer.
        self._responding = 0

    def respond(
        self,
        request: Inquiry,
        status: int,
        reason: str,
        data: dict[str, Any],
        payload: bytes | None = None,
    ) -> None:
        self._count_responding(1)
        try:
            super().respond(request, status, reason, data, payload)
        finally:
            self._count_responding(-1)

    def mark(self) -> bytes:
        """Return the payload of a ping. Empty also while an answer is remembered and not sent:
        the ping would overtake it.
        """
        with self._lock:
            return b"" if self._responding else super().mark()

    def _count_responding(self, change: int) -> None:
        with self._lock:
            self._responding += change

    begin = one_step(ServerTransactions.begin)
    knows = one_step(ServerTransactions.knows)
    complete = one_step(ServerTransactions.complete)
    confirm = one_step(ServerTransactions.confirm)
    begin_waiting = one_step(ServerTransactions.begin_waiting)
    take_up = one_step(ServerTransactions.take_up)
    forget = one_step(ServerTransactions.forget)
    leave_open = one_step(ServerTransactions.leave_open)
    _close = one_step(ServerTransactions._close)
    forget_all = one_step(ServerTransactions.forget_all)
    leave = one_step(ServerTransactions.leave)
    inherit = one_step(ServerTransactions.inherit)
    let_repeat = one_step(ServerTransactions.let_repeat)
    proceed = one_step(ServerTransactions.proceed)
    _look = one_step(ServerTransactions._look)
