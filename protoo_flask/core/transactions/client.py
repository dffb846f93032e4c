"""Client transactions: a request sent to a peer, and the responses that come back.

The states have the names of SIP's client transactions (RFC 3261 section 17.1). As
messages travel over a reliable connection, a request is retransmitted only when that
connection was lost, over the next one.

============  ==========================  =======================================
state         event                       next state, and what is told
============  ==========================  =======================================
calling       provisional response        proceeding, the response
calling       final response              terminated, the response
proceeding    provisional response        proceeding, the response
proceeding    final response              terminated, the response
either        timeout                     terminated, a local 408
either        peer offline                terminated, a local 410
either        cancel                      terminated, a local 487
calling       data cannot be sent         terminated, a local 400
calling       too much is unanswered      terminated, a local 503
terminated    anything                    terminated, nothing: it came too late
============  ==========================  =======================================

Every way out is a final response, so whoever waits is always told.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterator

from ..errors import Unsendable, WaitTimeout
from ..request import Request
from ..response import Response
from ..scheduling import one_step
from ..wire.messages import MAX_ID, serialize_request

if TYPE_CHECKING:
    from ..peers.peer import Peer
    from ..scheduling import Event, Timer
    from .mailbox import Mailbox

CALLING = "calling"
PROCEEDING = "proceeding"
TERMINATED = "terminated"

#: (state, event) -> state; the table above. What is not here is ignored.
TRANSITIONS = {
    (CALLING, "provisional"): PROCEEDING,
    (CALLING, "final"): TERMINATED,
    (PROCEEDING, "provisional"): PROCEEDING,
    (PROCEEDING, "final"): TERMINATED,
}

#: Bytes of requests that one peer may leave unanswered. What is sent to it is kept until it
#: answers or the time is up, so somebody who reads and never answers could make the
#: server keep whatever another sends.
MAX_UNANSWERED = 8 * 1024 * 1024

OnResponse = Callable[[Response], Any]

#: Kinds of transactions. One of the core has an ``on_response`` that is not the application's:
#: it needs no contexts, may be called before :meth:`ClientTransactions.start` returns, and
#: must neither block nor raise. One that is urgent, too, and it is small, and sent however
#: much is unanswered.
OF_SITE, OF_CORE, URGENT = "of the site", "of the core", "urgent"


class ClientTransaction:
    """A request in flight; made by ``peer.send(request)``.

    ::

        for response in peer.send(Request("session", offer)):
            ...                       # 100, 180, and last the final one
        response = peer.send(Request("get")).wait()

    :ivar request: the :class:`~protoo_flask.Request` that was sent.
    :ivar peer: to whom.
    :ivar id: the id on the wire, unique for that peer.
    :ivar response: the final response, ``None`` until it came.
    """

    __slots__ = (
        "__weakref__",
        "_of_core",
        "_on_response",
        "_responses",
        "_timer",
        "_waiting",
        "id",
        "payload",
        "peer",
        "request",
        "response",
        "state",
    )

    # No __init__, for the reason that a ReceivedRequest gives.
    def begin(
        self,
        request: Request,
        peer: Peer,
        id: int,
        on_response: OnResponse | None,
        of_core: bool,
    ) -> ClientTransaction:
        """Fill it in; for :meth:`ClientTransactions.start`. Returns itself."""
        self.request = request
        self.peer = peer
        self.id = id
        self.state = CALLING
        self.response: Response | None = None
        #: What was written to the peer; sent again when another link takes over.
        self.payload = b""
        self._responses: list[Response] = []
        self._on_response = on_response
        self._of_core = of_core
        self._timer: Timer | None = None
        self._waiting: list[Event] = []
        return self

    def wait(self, timeout: float | None = None) -> Response:
        """Block this greenlet until the final response is there, and return it.

        :param timeout: seconds; ``None`` leaves it to ``PROTOO_REQUEST_TIMEOUT``, which
            ends the transaction itself with a local 408.
        :raises WaitTimeout: when ``timeout`` passed first; the transaction goes on.
        """
        now = self.peer.registry.scheduler.now
        deadline = None if timeout is None else now() + timeout
        while True:
            # Counted first: a response that comes from now on is news.
            seen = len(self._responses)
            if self.response is not None:
                return self.response
            left = None if deadline is None else max(0.0, deadline - now())
            if not self._wait_for_news(seen, left):
                raise WaitTimeout(f"no final response within {timeout} s to {self.request!r}")

    def __iter__(self) -> Iterator[Response]:
        """Iterate over the responses as they come; the last one is final."""
        seen = 0
        while True:
            while seen < len(self._responses):
                response = self._responses[seen]
                seen += 1
                yield response
                if response.is_final:
                    return
            self._wait_for_news(seen)

    def cancel(self) -> None:
        """End it with a local 487; nothing happens when it has ended."""
        self.finish(487, "canceled")

    def finish(self, status: int, reason: str) -> None:
        """End it with a final response made here."""
        self.receive(
            Response(status, reason, id=self.id, peer=self.peer, is_local=True),
        )

    def receive(self, response: Response) -> None:
        """Take the next response; ignored when the transaction has ended."""
        if not self.peer.transactions.advance(self, response):
            return
        # Who comes too late to be among these has seen the response.
        if self._waiting:
            for waiting in tuple(self._waiting):
                waiting.set()
        on_response = self._on_response
        if on_response is None:
            return
        if self._of_core:
            on_response(response)
        else:
            self.peer.call_back(on_response, response)

    def enter(self, state: str, response: Response) -> None:
        """Be in the state that a response leads to; for :meth:`ClientTransactions.advance`."""
        self.state = state
        if state is TERMINATED:
            self.response = response
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        # A peer may send provisional responses for as long as a call rings, and nobody
        # waits for these, or iterates over them.
        if not self._of_core:
            self._responses.append(response)

    def start_timer(self, seconds: float) -> None:
        """Give it a timer of its own."""
        scheduler = self.peer.registry.scheduler
        self._timer = scheduler.call_later(seconds, self.time_out)

    def time_out(self) -> None:
        """End it with a local 408; that is what SIP calls it (RFC 3261 section 21.4.9)."""
        self.finish(408, "request timeout")

    def _wait_for_news(self, seen: int, timeout: float | None = None) -> bool:
        """Block until there are more than ``seen`` responses; ``False`` after ``timeout``."""
        event = self.peer.registry.scheduler.event()
        self._waiting.append(event)
        try:
            # What came between looking and watching must not be slept through.
            if seen == len(self._responses):
                event.wait(timeout)
        finally:
            self._waiting.remove(event)
        return seen < len(self._responses)

    def __repr__(self) -> str:
        return f"<ClientTransaction {self.id} {self.request.method} {self.state}>"


class ClientTransactions:
    """The client transactions of one peer that have not ended, by id.

    :param first_id: the ids start here. Random, so that a client which remembers the
        ids it has seen is not confused by a server that was restarted.
    :ivar late: how many responses came for no transaction: late, or made up.
    """

    __slots__ = ("_ids", "_peer", "_pending", "_size", "late")

    def __init__(self, peer: Peer, first_id: int) -> None:
        # The peer has this; were it the other way round as well, both would be left to the
        # garbage collector when the peer has gone.
        self._peer = weakref.ref(peer)
        #: Counted from 0, and taken without the lock: next() is one step, also to other threads.
        self._ids = itertools.count(first_id - 1)
        self.late = 0
        self._pending: dict[int, ClientTransaction] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._pending)

    def start(
        self,
        request: Request,
        on_response: OnResponse | None,
        timeout: float | None,
        kind: str = OF_SITE,
    ) -> ClientTransaction:
        """Send ``request``; never blocks. Failures come as local responses.

        :param timeout: seconds until it ends with a local 408; ``None``: never by itself.
        :param kind: ``OF_SITE``, ``OF_CORE`` or ``URGENT``.
        """
        # Called as self._peer(), it would be looked for in the class first.
        get_peer = self._peer
        peer = get_peer()
        assert peer is not None
        id = next(self._ids) % MAX_ID + 1
        transaction = ClientTransaction().begin(request, peer, id, on_response, kind is not OF_SITE)
        try:
            payload = serialize_request(request.method, id, request.data, request.sender)
        except Unsendable as error:
            transaction.finish(400, str(error))
            return transaction
        transaction.payload = payload
        taken = self._take(transaction, timeout, kind)
        # What follows runs code of others, which may take locks of their own.
        if taken is None:
            transaction.finish(503, "too much is unanswered")
            return transaction
        is_taken, full = taken
        if full is not None:
            peer.registry.give_up(peer, full)
        if not is_taken:
            transaction.finish(410, "peer offline")
        return transaction

    def _take(
        self, transaction: ClientTransaction, timeout: float | None, kind: str
    ) -> tuple[bool, Mailbox | None] | None:
        """Take a transaction, and send its request: see :meth:`Peer.place`.

        ``None`` when too much is unanswered. In one step, or a peer that goes offline just
        now would leave the timer behind, and a link that takes over just now would send it
        as unanswered, and then as new.
        """
        peer, payload = transaction.peer, transaction.payload
        if kind is not URGENT and self._size + len(payload) > MAX_UNANSWERED:
            return None
        self._pending[transaction.id] = transaction
        self._size += len(payload)
        # A timer of one's own costs more than all the rest; most have the same time.
        timeouts = peer.registry.timeouts
        if timeout == timeouts.seconds:
            timeouts.add(transaction)
        elif timeout is not None:
            transaction.start_timer(timeout)
        return peer.place(payload, transaction.id)

    def advance(self, transaction: ClientTransaction, response: Response) -> bool:
        """Follow the table, in one step; ``False`` when the response came too late."""
        event = "final" if response.status >= 200 else "provisional"
        state = TRANSITIONS.get((transaction.state, event))
        if state is None:
            return False
        transaction.enter(state, response)
        if state is TERMINATED:
            self.forget(transaction)
        return True

    def receive(self, id: int, response: Response) -> bool:
        """Hand a response to its transaction; ``False`` when it is late or unknown."""
        transaction = self._pending.get(id)
        if transaction is None:
            self.late += 1
            return False
        transaction.receive(response)
        return True

    def find(self, request: Request) -> ClientTransaction | None:
        """Return the transaction of a request in flight."""
        for transaction in self._pending.values():
            if transaction.request is request:
                return transaction
        return None

    def forget(self, transaction: ClientTransaction) -> None:
        """Drop a transaction that has ended."""
        if self._pending.pop(transaction.id, None) is not None:
            self._size -= len(transaction.payload)
        peer = transaction.peer
        peer.registry.timeouts.remove(transaction)
        if peer.mailbox is not None:
            peer.mailbox.discard(transaction.id)

    def unanswered(self) -> dict[int, bytes]:
        """Return what was sent and not answered finally, in order: {id: payload}."""
        return {id: transaction.payload for id, transaction in self._pending.items()}

    def finish_all(self, status: int, reason: str) -> None:
        """End all of them with a local response."""
        for transaction in list(self._pending.values()):
            transaction.finish(status, reason)


class SharedClientTransactions(ClientTransactions):
    """Those of a peer that requests, their responses and timeouts reach in several threads."""

    __slots__ = ("_lock",)

    def __init__(self, peer: Peer, first_id: int) -> None:
        super().__init__(peer, first_id)
        self._lock = peer.lock

    _take = one_step(ClientTransactions._take)
    advance = one_step(ClientTransactions.advance)
