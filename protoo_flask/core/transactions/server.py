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
proceeding   dropped before it was handled          (unknown)    a repetition is news
proceeding   provisional response                   proceeding   sent, and remembered
proceeding   final response                         completed    sent, and remembered
completed    one with its id, same connection       proceeding   handled: the id was free
completed    the same again, newer connection       completed    the answer is sent again
completed    another with its id, newer connection  proceeding   handled
completed    the client has read the answer         (unknown)    forgotten
===========  =====================================  ===========  ======================

Two requests are the same when they have the same id and the same text. A client that starts
anew (a page that was reloaded) may count its ids from 1 again. Those are other requests, and
the client would take an answer to an earlier request for the answer to the new one.

Answers are remembered only if there is a grace period, within which a client counts
as the same one that left.

A client has read an answer when it answers a ping that was sent behind it, as messages arrive in
order. :meth:`ServerTransactions.mark` gives the payload of a ping, and
:meth:`ServerTransactions.confirm` takes that of a pong. An answer that no pong has confirmed is
remembered until the peer is offline: a slow client may read it much later, and lose its
connection before. A client without pongs, or with forged ones, harms only itself.

After a return, pings mark nothing while requests may be repeated. An answer to an earlier request
may have been lost with the earlier connection. A pong over the new one does not say that it
was read, until the client has had its time to repeat the request, and got the answer again.

Without pings (``PROTOO_PING_INTERVAL = None``), ``Runtime.answers`` looks from time to time. An
answer given before the last look is forgotten if all bytes have arrived, as far as the kernel
knows.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import Any, Protocol
from zlib import crc32

from ..deadlines import Deadlines
from ..scheduling import one_step
from ..wire.object_size import estimate_size
from .open_requests import (
    ENOUGH_ROOM,
    MAX_OPEN,
    OPEN_SIZE,
    SMALL_COUNT,
    SMALL_TEXT,
    OpenRequests,
)
from .outbound import Outbound
from .shares import PROGRESS

#: The kinds of requests that arrive.
NEW = "new"
DUPLICATE = "duplicate"
REPEATED = "repeated"

#: Bytes of answers remembered for one peer. Beyond it, the oldest answers lose their text. The
#: fact that they were given is remembered longer, so that nothing is done twice.
MAX_REMEMBERED = 256 * 1024

#: Bytes of provisional responses kept for repetitions of the requests of one peer. They come
#: from other peers, too. Beyond it, the latest ones are sent and not kept.
MAX_REPETITIONS = 256 * 1024

#: Answers remembered for one peer. Each takes some 300 bytes besides its text. A request whose
#: answer has been forgotten altogether would be done again; no client leaves nearly as many
#: requests unanswered.
MAX_ANSWERS = 4000

#: Forgotten answers that may be in the order of those with text, besides as many as there are.
SPARE = 50

#: Digits of the largest mark: more answers than a peer gets. A pong has at most 125 bytes.
MARK_LENGTH = 18

#: The reason of the 409 that a repetition gets when the text of its answer is forgotten.
FORGOTTEN = "answered before; the answer is not kept any more"


class Inquiry(Protocol):
    """A request of a peer, as its transaction sees it.

    :ivar id: ``None`` for a notification.
    :ivar origin: tells the connection that it came by from others of the peer.
    :ivar fingerprint: see :data:`fingerprint`.
    :ivar repetition: the responses, written, that a repetition of it gets.
    :ivar is_left_open: whether its handlers have returned without an answer.
    """

    id: int | None
    fingerprint: int
    repetition: tuple[bytes, ...]
    is_left_open: bool

    @property
    def origin(self) -> object: ...


#: ``fingerprint(payload)`` returns a number that tells a message from others with the same id.
#: It is the same in every process, unlike ``hash()``: a client may repeat its request to another
#: worker. A client that forges equal numbers harms only itself.
fingerprint = crc32


class Answer:
    """The final response to a request, serialized, and which request it answers.

    :ivar payload: empty when the text is forgotten.
    :ivar number: how many answers the peer has got, with this one.
    """

    __slots__ = ("fingerprint", "id", "number", "origin", "payload")

    def __init__(self, number: int, request: Inquiry, payload: bytes) -> None:
        assert request.id is not None
        self.number = number
        self.id = request.id
        self.fingerprint = request.fingerprint
        self.origin = request.origin
        self.payload = payload


class ServerTransactions:
    """The requests of one peer, and the way back of their responses.

    :param outbound: the peer's, by which responses are sent.
    """

    __slots__ = (
        "__weakref__",
        "_answers",
        "_completed",
        "_given",
        "_is_looked_at",
        "_is_over",
        "_open",
        "_outbound",
        "_proceeding",
        "_remembers",
        "_repeat_until",
        "_repetitions",
        "_seen",
        "_size",
        "_waiting",
        "_with_text",
    )

    def __init__(self, outbound: Outbound) -> None:
        runtime = outbound.runtime
        self._outbound = outbound
        #: Whether answers are remembered.
        self._remembers = bool(runtime.time_limits.grace_period)
        #: Looks whether answers have arrived; ``None``: pongs tell.
        self._answers: Deadlines[ServerTransactions] | None = runtime.answers
        #: Whether that will look at this, and how many answers had been given at its last look.
        self._is_looked_at = False
        self._seen = 0
        #: How many answers were given in all.
        self._given = 0
        self._proceeding: dict[int, Inquiry] = {}
        #: How many of these wait for their turn.
        self._waiting = 0
        self._open: OpenRequests | None = None
        self._is_over = False
        #: {id: Answer}, oldest first.
        self._completed: dict[int, Answer] = {}
        #: The answers that have not lost their text, oldest first, and some that are forgotten.
        self._with_text: deque[Answer] | None = None
        self._size = 0
        self._repeat_until = 0.0
        #: Bytes of the provisional responses that are kept for repetitions.
        self._repetitions = 0

    def __len__(self) -> int:
        return len(self._proceeding)

    # The requests ----------------------------------------------------------------------

    def begin(self, request: Inquiry) -> str:
        """Take a request; tells whether it is ``NEW`` and to be handled.

        ``DUPLICATE``: its id is that of one in progress on the same connection.
        ``REPEATED``: it is known, and the client is to be sent its ``repetition``.
        """
        assert request.id is not None
        if not self._remembers and self._proceeding.setdefault(request.id, request) is request:
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
        elif self._completed:
            answer = self._completed.get(request.id)
            if answer is not None:
                if self._is_repeated(request, answer):
                    request.repetition = (answer.payload or self._say_forgotten(answer.id),)
                    return REPEATED
                self.forget_answer(answer)
        self._proceeding[request.id] = request
        return NEW

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
            return
        if not is_awaited:
            return
        observer = runtime.observer
        link = outbound.link
        # transmit() tells an observer of the message; without one, most messages need no call.
        if observer is not None or link is None or not link.outbox.send_text(payload):
            outbound.transmit(payload)
        if observer is not None:
            observer.answered(request, status)

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
        if request.repetition:
            self._forget_repetition(request)
        if self._remembers:
            self._given += 1
            self._remember(Answer(self._given, request, payload))
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
        if self._proceeding.get(request.id) is request:
            self._proceeding[request.id] = handled

    def forget(self, request: Inquiry) -> None:
        """Forget a request that has waited, and is not going to be handled."""
        if request.id is None:
            return
        self._waiting -= 1
        if self._proceeding.get(request.id) is request:
            del self._proceeding[request.id]

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
        id = request.id
        if id is None:
            return False
        proceeding = self._proceeding
        if self._is_over or proceeding.get(id) is not request:
            # Nobody waits for its answer: the peer has gone, or has another request of that id.
            self._outbound.runtime.unanswered.remove(request)
            if proceeding.get(id) is request:
                del proceeding[id]
            return False
        request.is_left_open = True
        is_small = len(text) <= SMALL_TEXT
        if is_small and self._open is None and len(proceeding) <= SMALL_COUNT:
            return False  # most requests that are relayed
        size = 0 if is_small else estimate_size(text)
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
            if self._open is not None:
                self._open.remove(request.id)

    def forget_all(self) -> None:
        """Forget everything: the peer has gone.

        Requests that wait, or are being handled, go on. Nobody waits for their answers.
        """
        self._is_over = True
        for id, request in list(self._proceeding.items()):
            if request.is_left_open:
                self._let_go(request)
                del self._proceeding[id]
        self._open = None
        self._forget_answers()

    # Repetitions -------------------------------------------------------------------------

    def let_repeat(self, seconds: float) -> None:
        """Let a client that has come back repeat its earlier requests for this time."""
        self._repeat_until = self._outbound.runtime.scheduler.now() + seconds

    def mark(self) -> bytes:
        """Return the payload of a ping, behind all answers that were given so far.

        Empty when a pong would tell nothing.
        """
        if not self._completed or self._may_repeat():
            return b""
        return str(self._given).encode()

    def confirm(self, mark: bytes) -> None:
        """Forget the answers before a mark: the client has read them.

        :param mark: the payload of a pong, untrusted.
        """
        if self._completed and len(mark) <= MARK_LENGTH and mark.isdigit():
            self._forget_until(int(mark))

    def look(self) -> None:
        """Forget the answers before the last look, if all bytes have arrived; nobody pings."""
        link = self._outbound.link
        self._look(link is not None and not link.outbox.undelivered)

    def forget_answer(self, answer: Answer) -> None:
        """Forget an answer; harmless when it is forgotten already."""
        if self._is_remembered(answer):
            del self._completed[answer.id]
            self._size -= len(answer.payload)
            while self._with_text and not self._is_remembered(self._with_text[0]):
                self._with_text.popleft()
            # A client may use one id again and again: its former answers are in the middle.
            answer.payload = b""
            if self._with_text and len(self._with_text) > 2 * len(self._completed) + SPARE:
                self._with_text = deque(filter(self._is_remembered, self._with_text))

    def _forget_answers(self) -> None:
        """Forget all answers, and remember no more."""
        self._remembers = False
        self._forget_remembered()
        if self._answers is not None:
            self._answers.remove(self)

    def _forget_until(self, number: int) -> None:
        """Forget the first so many answers."""
        if number >= self._given:
            self._forget_remembered()
            return
        given_before = takewhile(lambda answer: answer.number <= number, self._completed.values())
        for answer in list(given_before):
            self.forget_answer(answer)

    def _forget_remembered(self) -> None:
        self._completed.clear()
        self._with_text = None
        self._size = 0

    def _look(self, has_arrived: bool) -> None:
        assert self._answers is not None
        if has_arrived and not self._may_repeat():
            self._forget_until(self._seen)
        self._is_looked_at = False
        if self._completed:
            self._be_looked_at(self._answers)

    def _be_looked_at(self, answers: Deadlines[ServerTransactions]) -> None:
        self._is_looked_at = True
        self._seen = self._given
        answers.add(self)

    def _may_repeat(self) -> bool:
        return self._outbound.runtime.scheduler.now() <= self._repeat_until

    def _is_remembered(self, answer: Answer) -> bool:
        return self._completed.get(answer.id) is answer

    def _is_repeated(self, request: Inquiry, answer: Answer) -> bool:
        return (
            answer.origin is not request.origin
            and answer.fingerprint == request.fingerprint
            and self._may_repeat()
        )

    def _say_forgotten(self, id: int) -> bytes:
        return self._outbound.dialect.serialize_response(409, FORGOTTEN, id, {})

    def _remember(self, answer: Answer) -> None:
        self._completed[answer.id] = answer
        self._size += len(answer.payload)
        if self._answers is not None and not self._is_looked_at:
            self._be_looked_at(self._answers)
        if self._with_text is None:
            self._with_text = deque()
        self._with_text.append(answer)
        while self._size > MAX_REMEMBERED and len(self._with_text) > 1:
            oldest = self._with_text.popleft()
            if self._is_remembered(oldest):
                self._size -= len(oldest.payload)
                oldest.payload = b""
        if len(self._completed) > MAX_ANSWERS:
            self.forget_answer(next(iter(self._completed.values())))


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
    complete = one_step(ServerTransactions.complete)
    confirm = one_step(ServerTransactions.confirm)
    begin_waiting = one_step(ServerTransactions.begin_waiting)
    take_up = one_step(ServerTransactions.take_up)
    forget = one_step(ServerTransactions.forget)
    leave_open = one_step(ServerTransactions.leave_open)
    _close = one_step(ServerTransactions._close)
    forget_all = one_step(ServerTransactions.forget_all)
    forget_answer = one_step(ServerTransactions.forget_answer)
    proceed = one_step(ServerTransactions.proceed)
    _look = one_step(ServerTransactions._look)
