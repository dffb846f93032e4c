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
proceeding   dropped before it was handled          (unknown)    a repetition is news
proceeding   provisional response                   proceeding   sent, and remembered
proceeding   final response                         completed    sent, and remembered
completed    one with its id, same connection       proceeding   handled: the id was free
completed    the same again, newer connection       completed    the answer is sent again
completed    another with its id, newer connection  proceeding   handled
completed    time                                   (unknown)    forgotten
===========  =====================================  ===========  ======================

Two requests are the same when they have the same id and the same text. A client that starts
anew (a page that was reloaded) may count its ids from 1 again. Those are other requests, and
the client would take an answer to an earlier request for the answer to the new one.

Answers are remembered only if there is a grace period, within which a client counts
as the same one that left.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol
from zlib import crc32

from ..deadlines import Deadlines
from ..scheduling import one_step
from .outbound import Outbound

#: The kinds of requests that arrive.
NEW = "new"
DUPLICATE = "duplicate"
REPEATED = "repeated"

#: Bytes of answers remembered for one peer. Beyond it, the oldest answers lose their text. The
#: fact that they were given is remembered longer, so that nothing is done twice.
MAX_REMEMBERED = 256 * 1024

#: Answers remembered for one peer. Each takes some 300 bytes besides its text. A request whose
#: answer has been forgotten altogether would be done again; no client leaves nearly as many
#: requests unanswered.
MAX_ANSWERS = 4000

#: Forgotten answers that may be in the order of those with text, besides as many as there are.
SPARE = 50

#: The reason of the 409 that a repetition gets when the text of its answer is forgotten.
FORGOTTEN = "answered before; the answer is not kept any more"


class Inquiry(Protocol):
    """A request of a peer, as its transaction sees it.

    :ivar id: ``None`` for a notification.
    :ivar origin: tells the connection that it came by from others of the peer.
    :ivar fingerprint: see :data:`fingerprint`.
    :ivar repetition: the responses, written, that a repetition of it gets.
    """

    id: int | None
    origin: object
    fingerprint: int
    repetition: tuple[bytes, ...]


#: ``fingerprint(payload)`` returns a number that tells a message from others with the same id.
#: It is the same in every process, unlike ``hash()``: a client may repeat its request to another
#: worker. A client that forges equal numbers harms only itself.
fingerprint = crc32


class Answer:
    """The final response to a request, serialized, and which request it answers.

    :ivar payload: empty when the text is forgotten.
    """

    __slots__ = ("fingerprint", "id", "origin", "owner", "payload")

    def __init__(self, owner: ServerTransactions, request: Inquiry, payload: bytes) -> None:
        assert request.id is not None
        self.owner = owner
        self.id = request.id
        self.fingerprint = request.fingerprint
        self.origin = request.origin
        self.payload = payload

    def expire(self) -> None:
        """Be forgotten: a client that has not repeated its request by now will not do so."""
        self.owner.forget_answer(self)


class ServerTransactions:
    """The requests of one peer, and the way back of their responses.

    :param outbound: the peer's, by which responses are sent.
    """

    __slots__ = (
        "_completed",
        "_memory",
        "_outbound",
        "_proceeding",
        "_repeat_until",
        "_size",
        "_with_text",
    )

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        #: Forgets answers when their time has come; ``None``: no answer is remembered.
        self._memory: Deadlines[Answer] | None = outbound.runtime.answers
        self._proceeding: dict[int, Inquiry] = {}
        #: {id: Answer}, oldest first.
        self._completed: dict[int, Answer] = {}
        #: The answers that have not lost their text, oldest first, and some that are forgotten.
        self._with_text: deque[Answer] | None = None
        self._size = 0
        self._repeat_until = 0.0

    def __len__(self) -> int:
        return len(self._proceeding)

    # The requests ----------------------------------------------------------------------

    def begin(self, request: Inquiry) -> str:
        """Take a request; tells whether it is ``NEW`` and to be handled.

        ``DUPLICATE``: its id is that of one in progress on the same connection.
        ``REPEATED``: it is known, and the client is to be sent its ``repetition``.
        """
        assert request.id is not None
        if self._memory is None and self._proceeding.setdefault(request.id, request) is request:
            return NEW  # whenever its id is not in use, as no answer is remembered
        other = self._proceeding.get(request.id)
        if other is not None:
            if other.origin is request.origin:
                return DUPLICATE
            if other.fingerprint == request.fingerprint:
                request.repetition = other.repetition
                return REPEATED
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
        else:
            is_awaited = self.proceed(request, payload)
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
        # The latest one tells the progress (RFC 3261 section 17.2.1). The first one may have
        # told something once and for all: the path of a call.
        request.repetition = (*request.repetition[:1], payload)
        return self._proceeding.get(request.id) is request

    def complete(self, request: Inquiry, payload: bytes) -> bool:
        """Take note of the final response; ``False`` when nobody waits for it any more."""
        assert request.id is not None
        if self._proceeding.get(request.id) is not request:
            return False
        del self._proceeding[request.id]
        if self._memory is not None:
            self._remember(self._memory, Answer(self, request, payload))
        return True

    def forget(self, request: Inquiry) -> None:
        """Forget a request that was dropped before it was handled."""
        if request.id is not None and self._proceeding.get(request.id) is request:
            del self._proceeding[request.id]

    # Repetitions -------------------------------------------------------------------------

    def let_repeat(self, seconds: float) -> None:
        """Let a client that has come back repeat its earlier requests for this time."""
        self._repeat_until = self._outbound.runtime.scheduler.now() + seconds

    def forget_answer(self, answer: Answer) -> None:
        """Forget an answer; harmless when it is forgotten already."""
        if self._is_remembered(answer):
            del self._completed[answer.id]
            self._size -= len(answer.payload)
            if self._memory is not None:
                self._memory.remove(answer)
            while self._with_text and not self._is_remembered(self._with_text[0]):
                self._with_text.popleft()
            # A client may use one id again and again: its former answers are in the middle.
            answer.payload = b""
            if self._with_text and len(self._with_text) > 2 * len(self._completed) + SPARE:
                self._with_text = deque(filter(self._is_remembered, self._with_text))

    def forget_answers(self) -> None:
        """Forget all answers, and remember no more: the peer has gone."""
        for answer in list(self._completed.values()):
            self.forget_answer(answer)
        self._with_text = None
        self._memory = None

    def _is_remembered(self, answer: Answer) -> bool:
        return self._completed.get(answer.id) is answer

    def _is_repeated(self, request: Inquiry, answer: Answer) -> bool:
        return (
            answer.origin is not request.origin
            and answer.fingerprint == request.fingerprint
            and self._outbound.runtime.scheduler.now() <= self._repeat_until
        )

    def _say_forgotten(self, id: int) -> bytes:
        return self._outbound.dialect.serialize_response(409, FORGOTTEN, id, {})

    def _remember(self, memory: Deadlines[Answer], answer: Answer) -> None:
        self._completed[answer.id] = answer
        self._size += len(answer.payload)
        memory.add(answer)
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

    __slots__ = ("_lock",)

    def __init__(self, outbound: Outbound) -> None:
        super().__init__(outbound)
        self._lock = outbound.runtime.scheduler.lock()

    begin = one_step(ServerTransactions.begin)
    complete = one_step(ServerTransactions.complete)
    forget = one_step(ServerTransactions.forget)
    forget_answer = one_step(ServerTransactions.forget_answer)
    forget_answers = one_step(ServerTransactions.forget_answers)
