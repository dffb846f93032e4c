"""Client transactions: a request sent to a peer, and the responses that come back.

The states have the names of SIP's client transactions (RFC 3261 section 17.1). As
messages travel over a reliable connection, a request is retransmitted only when that
connection was lost, over the next one.

============  ==========================  =======================================
state         event                       next state, and response told
============  ==========================  =======================================
calling       provisional response        proceeding, the response
calling       final response              terminated, the response
proceeding    provisional response        proceeding, the response
proceeding    final response              terminated, the response
either        timeout                     terminated, a local 408
either        peer offline                terminated, a local 410
either        cancel                      terminated, a local 487
calling       data cannot be sent         terminated, a local 400
calling       too much is unanswered,     terminated, a local 503
              or waits for a slow reader
terminated    anything                    terminated, nothing: it came too late
============  ==========================  =======================================

Every way out is a final response, so the asker always gets an answer.

A peer may send any number of provisional responses, and they may be large. So few are kept, and
as text (:mod:`.provisional`): the first one, which may have told something once and for all, and
the latest one, which tells the progress. Code that iterates gets each response that comes while it
waits. Code that is slow, or comes late, gets those two, and the final one. In the same way,
``on_response`` is told one provisional response at a time: of those that come while it runs,
it is told the latest one afterwards. The final response does not wait for it.

A transaction has two halves. The asker's half, :class:`ClientTransaction`, has everything
that belongs to the code that asks: callbacks, waiting, iteration, the timer. The owner's half
belongs to the process that holds the link: the id on the wire, the text that is sent again
over the next link, the place in the mailbox. The owner's halves of a peer are in
:mod:`.outbound`, and an asker's half knows of its other half only what :class:`Owner` says.
"""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Iterator, Protocol

from ..errors import WaitTimeout
from ..excerpts import excerpt
from ..response import Response
from ..runtime import Runtime
from ..scheduling import Event, Timer
from ..sendable import Sendable
from .provisional import ProvisionalResponses

CALLING = "calling"
PROCEEDING = "proceeding"
TERMINATED = "terminated"

#: (state, event) -> state; the table above, where every event but "provisional" is a final
#: response. A pair that is not here is ignored.
TRANSITIONS = {
    (CALLING, "provisional"): PROCEEDING,
    (CALLING, "final"): TERMINATED,
    (PROCEEDING, "provisional"): PROCEEDING,
    (PROCEEDING, "final"): TERMINATED,
}

OnResponse = Callable[[Response], Any]

#: Kinds of transactions. The ``on_response`` of one of the core is not the site's: it needs no
#: contexts, may be called before the transaction has been returned, and must neither block
#: nor raise. An urgent one is of the core, too. It is small, and is sent however much is
#: unanswered. A relayed one is of the core, and goes to one peer; the request of another peer
#: stays open until it is answered, and is counted there.
OF_SITE, OF_CORE, URGENT, RELAYED = "of the site", "of the core", "urgent", "relayed"


class Owner(Protocol):
    """The owner's half of a transaction, as the asker's half sees it."""

    @property
    def runtime(self) -> Runtime:
        """The runtime of the app."""

    def release(self, transaction: Any) -> bool:
        """Forget a request, as its transaction ends; ``False`` when it has ended already."""

    def keep(self, transaction: Any, response: Response) -> None:
        """Keep a provisional response for a transaction, if there is room."""


class ClientTransaction:
    """A request in flight; made by ``peer.send(request)``.

    ::

        for response in peer.send(Request("session", offer)):
            ...                       # 100, 180, and last the final one
        response = peer.send(Request("get")).wait()

    :ivar request: the :class:`~protoo_flask.Request` that was sent.
    :ivar peer: the :class:`~protoo_flask.Peer` that it was sent to.
    :ivar id: the id on the wire, unique for that peer.
    :ivar response: the final response, ``None`` until it came.
    :ivar state: calling, proceeding or terminated.
    :ivar provisional: the provisional responses that are kept; iterate over the transaction.
    """

    __slots__ = (
        "__weakref__",
        "_on_response",
        "_owner",
        "_telling",
        "_timer",
        "_waiting",
        "id",
        "peer",
        "provisional",
        "request",
        "response",
        "state",
    )

    def __init__(
        self,
        request: Sendable,
        peer: Any,
        owner: Owner,
        id: int,
        on_response: OnResponse | None,
    ) -> None:
        self.request = request
        self.peer = peer
        self.id = id
        self.state = CALLING
        self.response: Response | None = None
        self._owner = owner
        self._on_response = on_response
        #: Made with the first provisional response that is kept.
        self.provisional: ProvisionalResponses | None = None
        #: Tells ``on_response`` the provisional responses; made with the first of them.
        self._telling: Telling | None = None
        self._timer: Timer | None = None
        self._waiting: list[Event] = []

    def wait(self, timeout: float | None = None) -> Response:
        """Block this greenlet or thread until the final response is there, and return it.

        :param timeout: seconds; ``None`` leaves it to ``PROTOO_REQUEST_TIMEOUT``, which
            ends the transaction itself with a local 408.
        :raises WaitTimeout: when ``timeout`` passed first; the transaction goes on.
        :raises ServerStopped: in another thread than the server's, which has ended.
        """
        now = self._owner.runtime.scheduler.now
        deadline = None if timeout is None else now() + timeout
        while self.response is None:
            left = None if deadline is None else max(0.0, deadline - now())
            # A provisional response wakes it, too. One that comes from now on is news.
            seen = 0 if self.provisional is None else self.provisional.last
            if not self._wait_for_news(seen, left):
                raise WaitTimeout(f"no final response within {timeout} s to {self.request!r}")
        return self.response

    def __iter__(self) -> Iterator[Response]:
        """Iterate over the responses as they come; the last one is final.

        Of the provisional ones that have come meanwhile, or before, there are the first and the
        latest.
        """
        seen = 0
        while True:
            # The final one first: it may come while a provisional one is being read.
            final = self.response
            found = None if self.provisional is None else self.provisional.after(seen)
            if found is not None:
                seen, response = found
                yield response
            elif final is not None:
                yield final
                return
            else:
                self._wait_for_news(seen)

    def cancel(self) -> None:
        """End it with a local 487; nothing happens when it has ended."""
        self._owner.runtime.scheduler.call(self.finish, 487, "canceled")

    def time_out(self) -> None:
        """End it with a local 408, as SIP does (RFC 3261 section 21.4.9)."""
        self.finish(408, "request timeout")

    def finish(self, status: int, reason: str, data: dict[str, Any] | None = None) -> None:
        """End it with a response made here; nothing happens when it has ended."""
        if self._owner.release(self):
            self.fail(status, reason, data)

    def fail(self, status: int, reason: str, data: dict[str, Any] | None = None) -> None:
        """End it as :meth:`finish` does, when its owner has not taken it."""
        self.receive(Response(status, reason, data, id=self.id, peer=self.peer, is_local=True))

    def receive(self, response: Response) -> None:
        """Take the next response. Of a final one, its owner has released the request."""
        if not self._enter(response):
            return
        is_final = response.status >= 200
        if not is_final:
            self._owner.keep(self, response)
        # A thread that waits only from now on has seen the response.
        for waiting in tuple(self._waiting):
            waiting.set()
        if self._on_response is None:
            return
        if is_final:
            self.peer.call_back(self._on_response, response)
            return
        if self._telling is None:
            self._telling = Telling(self._owner.runtime.scheduler.lock())
        self._telling.tell(self, self._on_response, response)

    def _enter(self, response: Response) -> bool:
        """Follow the table; ``False`` when the response means nothing any more."""
        event = "final" if response.status >= 200 else "provisional"
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        if state is TERMINATED:
            self.response = response
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            observer = self._owner.runtime.observer
            if observer is not None:
                observer.concluded(self)
        return True

    def change_owner(self, owner: Owner) -> None:
        """Take another owner's half: the device is at another process now, or here again."""
        self._owner = owner

    def start_timer(self, seconds: float) -> None:
        """Give it a timer of its own."""
        self._timer = self._owner.runtime.scheduler.call_later(seconds, self.time_out)

    def _wait_for_news(self, seen: int, timeout: float | None = None) -> bool:
        """Block until there is a response; ``False`` after ``timeout``.

        :param seen: the number of the last provisional response that was seen.
        """
        event = self._owner.runtime.scheduler.event()
        self._waiting.append(event)
        try:
            # A response that came between looking and waiting must not be missed.
            return self._has_news(seen) or event.wait(timeout) or self._has_news(seen)
        finally:
            self._waiting.remove(event)

    def _has_news(self, seen: int) -> bool:
        provisional = self.provisional
        return self.response is not None or (provisional is not None and provisional.last > seen)

    def __repr__(self) -> str:
        return f"<ClientTransaction {self.id} {excerpt(self.request.method)} {self.state}>"


class Telling:
    """Tells ``on_response`` the provisional responses of a transaction, one at a time.

    ==========  =====================  =========================================
    state       event                  next state, and action
    ==========  =====================  =========================================
    idle        a response             telling; the function is called
    telling     a response             telling; it waits, in place of an earlier one
    telling     the function returns,  telling; the function is called with the one
                and one waits          that waits, unless the transaction has ended
    telling     the function returns   idle
    ==========  =====================  =========================================

    Without this, each response to a function that blocks would have a greenlet of its own.
    """

    __slots__ = ("_is_telling", "_lock", "_next")

    def __init__(self, lock: ContextManager[Any]) -> None:
        self._lock = lock
        self._is_telling = False
        self._next: Response | None = None

    def tell(
        self, transaction: ClientTransaction, on_response: OnResponse, response: Response
    ) -> None:
        """Tell a response, now or when the function has returned."""
        with self._lock:
            if self._is_telling:
                self._next = response
                return
            self._is_telling = True
        peer = transaction.peer
        if peer.may_run_here(on_response):
            self._go_on(transaction, peer.call_back, on_response, response)
        else:
            # What tells the responses of a peer elsewhere must not block.
            peer.run_errand(self._go_on, transaction, peer.call_here, on_response, response)

    def _go_on(
        self,
        transaction: ClientTransaction,
        call: Callable[[OnResponse, Response], None],
        on_response: OnResponse,
        following: Response | None,
    ) -> None:
        while following is not None:
            try:
                call(on_response, following)
            except BaseException:
                self._take_next(is_over=True)
                raise
            following = self._take_next(transaction.state is TERMINATED)

    def _take_next(self, is_over: bool) -> Response | None:
        with self._lock:
            following, self._next = self._next, None
            if is_over:
                following = None
            self._is_telling = following is not None
            return following
