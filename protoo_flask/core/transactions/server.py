"""Server transactions: a peer's requests, until they are answered and a while longer.

The term is SIP's (RFC 3261 section 17.2), and so is what they are for: a client that
lost its connection cannot know whether a request arrived. So it sends it again, with
the same id, and must be answered without anything being done twice.

===========  =====================================  ===========  ======================
state        event                                  next state   what is done
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

The same is what has the same id and the same text. A client that starts anew, a page
that was reloaded, may count its ids from 1 again; those are other requests, and an
answer to one that they have replaced would be taken for theirs.

Answers are remembered only if there is a grace period, within which a client counts
as the same one that left.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ContextManager

from ..scheduling import one_step
from ..wire.messages import serialize_response

if TYPE_CHECKING:
    from ..deadlines import Deadlines
    from ..request import Request
    from ..scheduling import Scheduler

#: What a request turns out to be.
NEW = "new"
DUPLICATE = "duplicate"
REPEATED = "repeated"

#: Bytes of answers remembered for one peer. Of more, the oldest lose their text: that they
#: were given is remembered longer, so that nothing is done twice.
MAX_REMEMBERED = 256 * 1024

#: And how many. Each takes some 300 bytes besides its text, also without it. What has been
#: forgotten altogether would be done again: no client leaves so many unanswered by far.
MAX_ANSWERS = 4000

#: The reason of the 409 that a repetition gets when what was answered is forgotten.
FORGOTTEN = "answered before; the answer is not kept any more"


class Answer:
    """The final response to a request, serialized, and what it was the answer to.

    :ivar payload: empty when the text is forgotten.
    """

    __slots__ = ("fingerprint", "id", "origin", "owner", "payload")

    def __init__(self, owner: ServerTransactions, request: Request, payload: bytes) -> None:
        assert request.id is not None
        self.owner = owner
        self.id = request.id
        self.fingerprint = request.fingerprint
        self.origin = request.origin
        self.payload = payload

    def expire(self) -> None:
        """Be forgotten: whoever might have asked again would have done so by now."""
        self.owner.forget_answer(self)


class ServerTransactions:
    """The requests of one peer.

    :param memory: forgets answers when their time has come; ``None``: none is remembered.
    """

    __slots__ = (
        "_completed",
        "_memory",
        "_proceeding",
        "_repeat_until",
        "_size",
        "_with_text",
    )

    def __init__(self, memory: Deadlines[Answer] | None) -> None:
        self._memory = memory
        self._proceeding: dict[int, Request] = {}
        #: {id: Answer}, oldest first.
        self._completed: dict[int, Answer] = {}
        #: Those that have not lost their text, oldest first; some may be forgotten altogether.
        self._with_text: deque[Answer] | None = None
        self._size = 0
        self._repeat_until = 0.0

    def __len__(self) -> int:
        return len(self._proceeding)

    def begin(self, request: Request, scheduler: Scheduler) -> str:
        """Take a request; says whether it is ``NEW`` and to be handled.

        ``DUPLICATE``: its id is that of one in progress on the same connection.
        ``REPEATED``: it is known, and its ``repetition`` is what to say again.
        """
        assert request.id is not None
        if self._memory is None and self._proceeding.setdefault(request.id, request) is request:
            return NEW  # if its id is, as no answer is remembered
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
                if self._is_repeated(request, answer, scheduler.now()):
                    request.repetition = (answer.payload or _say_forgotten(answer.id),)
                    return REPEATED
                self.forget_answer(answer)
        self._proceeding[request.id] = request
        return NEW

    def proceed(self, request: Request, payload: bytes) -> bool:
        """Take note of a provisional response; ``False`` when nobody waits for it any more."""
        assert request.id is not None
        # The latest says how far it is (RFC 3261 section 17.2.1); the first may have said
        # something once and for all: where a call is.
        request.repetition = (*request.repetition[:1], payload)
        return self._proceeding.get(request.id) is request

    def complete(self, request: Request, payload: bytes) -> bool:
        """Take note of the final response; ``False`` when nobody waits for it any more."""
        assert request.id is not None
        if self._proceeding.get(request.id) is not request:
            return False
        del self._proceeding[request.id]
        if self._memory is not None:
            self._remember(self._memory, Answer(self, request, payload))
        return True

    def forget(self, request: Request) -> None:
        """Forget a request that was dropped before it was handled."""
        if request.id is not None and self._proceeding.get(request.id) is request:
            del self._proceeding[request.id]

    def let_repeat(self, until: float) -> None:
        """Let a client that has come back repeat what it asked before, for a while."""
        self._repeat_until = until

    def forget_answer(self, answer: Answer) -> None:
        """Forget an answer; harmless when it is forgotten already."""
        if self._is_remembered(answer):
            del self._completed[answer.id]
            self._size -= len(answer.payload)
            if self._memory is not None:
                self._memory.remove(answer)
            while self._with_text and not self._is_remembered(self._with_text[0]):
                self._with_text.popleft()

    def forget_answers(self) -> None:
        """Forget all answers, and remember none that are still to come: the peer has gone."""
        for answer in list(self._completed.values()):
            self.forget_answer(answer)
        self._with_text = None
        self._memory = None

    def _is_remembered(self, answer: Answer) -> bool:
        return self._completed.get(answer.id) is answer

    def _is_repeated(self, request: Request, answer: Answer, now: float) -> bool:
        return (
            answer.origin is not request.origin
            and answer.fingerprint == request.fingerprint
            and now <= self._repeat_until
        )

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


def _say_forgotten(id: int) -> bytes:
    return serialize_response(409, FORGOTTEN, id, {})


class SharedServerTransactions(ServerTransactions):
    """Those of a peer whose requests are handled in threads.

    :param lock: one of its own, inside of which nobody else's is taken: a connection that
        drops its backlog holds its lock, and whoever sends to the peer holds the peer's.
    """

    __slots__ = ("_lock",)

    def __init__(self, memory: Deadlines[Answer] | None, lock: ContextManager[Any]) -> None:
        super().__init__(memory)
        self._lock = lock

    begin = one_step(ServerTransactions.begin)
    complete = one_step(ServerTransactions.complete)
    forget = one_step(ServerTransactions.forget)
    forget_answer = one_step(ServerTransactions.forget_answer)
    forget_answers = one_step(ServerTransactions.forget_answers)
