"""Remembered answers: those that a client may not have read.

A client that has come back repeats requests, and gets the same answers (:mod:`.server`). Answers
are remembered only if there is a grace period, within which a client counts as the same one that
left.

============  =======================================  ============  =======================
state         event                                    next state    action
============  =======================================  ============  =======================
(unknown)     a final response                         with text     remembered
with text     its request again, newer connection      with text     it is sent again
with text     all texts together are too long          with text     first responses, oldest first
with text     the final ones alone are too long        without text  the oldest ones first
without text  its request again, newer connection      without text  409: it is not done twice
either        another request with its id              (unknown)     forgotten
either        its request again, same connection       (unknown)     the same: the id was free
either        its request again, much later            (unknown)     the same
either        too many answers                         (unknown)     the oldest is forgotten
either        the client has read it                   (unknown)     forgotten
either        the peer is offline                      (unknown)     all are forgotten
either        the peer moves to another process        (unknown)     remembered over there
============  =======================================  ============  =======================

With an answer, the first provisional response to the request is remembered. It may have told
something once and for all, such as the path of a call, and may be lost as well as the answer. It
never costs an answer its text.

A client has read an answer when it answers a ping that was sent behind it, as messages arrive in
order. :meth:`RememberedAnswers.mark` gives the payload of a ping, and
:meth:`RememberedAnswers.confirm` takes that of a pong. An answer that no pong has confirmed is
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
from typing import Callable, Iterator

from .inquiry import Inquiry, fingerprint

#: Bytes of answers remembered for one peer, with the first provisional responses. Beyond it, these
#: are forgotten, the oldest ones first, and then the oldest answers lose their text. The fact that
#: they were given is remembered longer, so that nothing is done twice.
MAX_REMEMBERED = 256 * 1024

#: Answers remembered for one peer. Each takes some 300 bytes besides its text. A request whose
#: answer has been forgotten altogether would be done again; no client leaves nearly as many
#: requests unanswered.
MAX_ANSWERS = 4000

#: Forgotten answers that may be in the order of those with text, besides as many as there are.
SPARE = 50

#: Digits of the largest mark: more answers than a peer gets. A pong has at most 125 bytes.
MARK_LENGTH = 18


class Answer:
    """The final response to a request, serialized, and which request it answers.

    :ivar payload: empty when the text is forgotten.
    :ivar first: the first provisional response to the request; empty when there was none, or it
        is forgotten.
    :ivar number: how many answers the peer has got, with this one.
    """

    __slots__ = ("fingerprint", "first", "id", "number", "origin", "payload")

    def __init__(self, number: int, request: Inquiry, payload: bytes, first: bytes) -> None:
        assert request.id is not None
        self.number = number
        self.id = request.id
        self.fingerprint = request.fingerprint
        self.origin = request.origin
        self.payload = payload
        self.first = first


class RememberedAnswers:
    """The answers to one peer that it may not have read, oldest first.

    Among threads, :class:`.server.SharedServerTransactions` uses it while holding its lock.

    :param now: the clock, in seconds.
    :ivar size: bytes of the texts.
    """

    __slots__ = (
        "_answers",
        "_given",
        "_now",
        "_repeat_until",
        "_seen",
        "_with_first",
        "_with_text",
        "size",
    )

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        #: {id: Answer}, oldest first.
        self._answers: dict[int, Answer] = {}
        #: The answers that have not lost their text, oldest first, and some that are forgotten.
        self._with_text: deque[Answer] | None = None
        #: {id: Answer} of those with a first provisional response, oldest first.
        self._with_first: dict[int, Answer] | None = None
        self.size = 0
        #: How many answers were given in all; and when the last look began, if one goes on.
        self._given = 0
        self._seen: int | None = None
        self._repeat_until = 0.0

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._answers.values())

    # Repetitions -------------------------------------------------------------------------

    def let_repeat(self, seconds: float) -> None:
        """Let a client that has come back repeat its earlier requests for this time."""
        self._repeat_until = self._now() + seconds

    def add(self, request: Inquiry, payload: bytes, first: bytes = b"") -> None:
        """Remember the answer to a request.

        :param payload: empty when another process has forgotten the text already.
        :param first: the first provisional response, if there was one.
        """
        self._given += 1
        answer = Answer(self._given, request, payload, first)
        self._answers[answer.id] = answer
        self.size += len(payload)
        if self._with_text is None:
            self._with_text = deque()
        self._with_text.append(answer)
        if first:
            self._keep_first(answer)
        if self.size > MAX_REMEMBERED:
            self._shorten(self._with_text)
        if len(self._answers) > MAX_ANSWERS:
            self.forget(next(iter(self._answers.values())))

    def _keep_first(self, answer: Answer) -> None:
        if self._with_first is None:
            self._with_first = {}
        former = self._with_first.pop(answer.id, None)
        if former is not None:
            self.size -= len(former.first)
        self._with_first[answer.id] = answer
        self.size += len(answer.first)

    def _forget_first(self, answer: Answer) -> None:
        if self._with_first is not None and self._with_first.get(answer.id) is answer:
            del self._with_first[answer.id]
            self.size -= len(answer.first)
        answer.first = b""

    def _shorten(self, with_text: deque[Answer]) -> None:
        """Forget texts until the others are short enough, except for the latest answer."""
        while self.size > MAX_REMEMBERED and self._with_first:
            self._forget_first(next(iter(self._with_first.values())))
        while self.size > MAX_REMEMBERED and len(with_text) > 1:
            oldest = with_text.popleft()
            if self._is_remembered(oldest):
                self.size -= len(oldest.payload)
                oldest.payload = b""

    def find(self, request: Inquiry) -> Answer | None:
        """Return the answer that a request gets again; an answer to another one is forgotten."""
        assert request.id is not None
        answer = self._answers.get(request.id)
        if answer is None or self._is_repeated(request, answer):
            return answer
        self.forget(answer)
        return None

    def has(self, id: int, origin: object, text: bytes) -> bool:
        """Whether :meth:`find` would find an answer; forgets nothing."""
        answer = self._answers.get(id)
        if answer is None or answer.origin is origin:
            return False
        return answer.fingerprint == fingerprint(text) and self._may_repeat()

    def _is_repeated(self, request: Inquiry, answer: Answer) -> bool:
        return (
            answer.origin is not request.origin
            and answer.fingerprint == request.fingerprint
            and self._may_repeat()
        )

    def _may_repeat(self) -> bool:
        return self._now() <= self._repeat_until

    # Answers that were read ------------------------------------------------------------------

    def mark(self) -> bytes:
        """Return the payload of a ping, behind all answers that were given so far.

        Empty when a pong would tell nothing.
        """
        if not self._answers or self._may_repeat():
            return b""
        return str(self._given).encode()

    def confirm(self, mark: bytes) -> None:
        """Forget the answers before a mark: the client has read them.

        :param mark: the payload of a pong, untrusted.
        """
        if self._answers and len(mark) <= MARK_LENGTH and mark.isdigit():
            self._forget_until(int(mark))

    def begin_look(self) -> bool:
        """Begin a look at the answers given so far; ``False`` if none is needed, or one goes on."""
        if self._seen is not None or not self._answers:
            return False
        self._seen = self._given
        return True

    def end_look(self, has_arrived: bool) -> None:
        """Forget the answers given before the look began, if they have arrived."""
        seen, self._seen = self._seen, None
        if has_arrived and seen is not None and not self._may_repeat():
            self._forget_until(seen)

    def _forget_until(self, number: int) -> None:
        """Forget the first so many answers."""
        if number >= self._given:
            self.forget_all()
            return
        given_before = takewhile(lambda answer: answer.number <= number, self)
        for answer in list(given_before):
            self.forget(answer)

    # Forgetting --------------------------------------------------------------------------

    def forget(self, answer: Answer) -> None:
        """Forget an answer; harmless when it is forgotten already."""
        if self._is_remembered(answer):
            del self._answers[answer.id]
            self.size -= len(answer.payload)
            if self._with_first:
                self._forget_first(answer)
            while self._with_text and not self._is_remembered(self._with_text[0]):
                self._with_text.popleft()
            # A client may use one id again and again: its former answers are in the middle.
            answer.payload = b""
            if self._with_text and len(self._with_text) > 2 * len(self._answers) + SPARE:
                self._with_text = deque(filter(self._is_remembered, self._with_text))

    def take_all(self) -> list[Answer]:
        """Return all answers, oldest first, and forget them: another process remembers them."""
        answers = list(self)
        self.forget_all()
        return answers

    def forget_all(self) -> None:
        """Forget all answers."""
        self._answers.clear()
        self._with_text = self._with_first = None
        self.size = 0

    def _is_remembered(self, answer: Answer) -> bool:
        return self._answers.get(answer.id) is answer
