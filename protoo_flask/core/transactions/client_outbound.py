"""The outbound messages of a client: :mod:`.outbound` from the other side.

A server is to its client what a peer is to the server: requests to it are the same client
transactions, and messages wait for the next connection in the same mailbox. Three things differ.
A request has a path. It is sent again only if its sender has said so (``repeat``), as a server
without a grace period would handle it twice. And a message that found no room is refused: the
server is not given up.
"""

from __future__ import annotations

from typing import Callable

from ..errors import Unsendable
from ..runtime import Limits, Runtime, TimeLimits
from ..scheduling import Scheduler
from ..sendable import Sendable
from ..wire.client_messages import serialize_client_request
from ..wire.dialect import PROTOO
from ..wire.messages import MAX_ID
from .client import OnResponse
from .local_transactions import LocalTransaction
from .mailbox import Mailbox
from .outbound import GONE, REFUSED, TAKEN, Endpoint, SharedOutbound
from .unanswered import REQUEST_SIZE


class RequestToServer(LocalTransaction):
    """A request to a server, and its responses.

    :ivar repeat: whether it is sent again when the connection was lost before the answer.
    """

    __slots__ = ("repeat",)

    repeat: bool


class PassingMailbox(Mailbox):
    """A mailbox whose notifications are dropped after a time: they are about the moment.

    :param seconds: that a notification waits at most.
    """

    __slots__ = ("_kept_at", "_now", "_seconds")

    def __init__(self, limit: int, now: Callable[[], float], seconds: float | None) -> None:
        super().__init__(limit)
        self._now = now
        self._seconds = seconds
        self._kept_at: dict[int, float] = {}

    def _keep(self, payload: bytes, id: int | None, size: int, sender: str | None) -> None:
        super()._keep(payload, id, size, sender)
        if id is None:
            self._kept_at[self._unnamed] = self._now()

    def items(self) -> list[tuple[bytes, int | None]]:
        if self._seconds is not None:
            oldest = self._now() - self._seconds
            for id in [id for id, since in self._kept_at.items() if since < oldest]:
                self._kept_at.pop(id)
                self.discard(id)
        return super().items()


class ClientOutbound(SharedOutbound):
    """The messages to a server.

    :param endpoint: runs functions of the application for responses.
    :param seconds: that a request waits for its final response, if it does not say otherwise.
    :param room: bytes of messages that may wait for a connection.
    :param first_id: a random one, as :class:`.outbound.Outbound` tells.
    """

    __slots__ = ()

    def __init__(
        self, endpoint: Endpoint, scheduler: Scheduler, seconds: float, room: int, first_id: int
    ) -> None:
        runtime = Runtime(
            scheduler,
            TimeLimits(seconds),
            Limits(1, room),
            # For peers of a server: this one has none.
            call_back=lambda peer, function, subject: None,
            time_out=lambda request: None,
            first_id=lambda: first_id,
        )
        super().__init__(endpoint, runtime, PROTOO)
        self.may_wait = True

    def request(
        self,
        request: Sendable,
        path: str,
        on_response: OnResponse | None,
        timeout: float | None,
        repeat: bool,
    ) -> RequestToServer:
        """Send a request; never blocks. Failures come as local responses."""
        endpoint = self._peer()
        id = next(self._ids) % MAX_ID + 1
        transaction = RequestToServer(request, endpoint, self, id, on_response)
        transaction.repeat = repeat
        transaction.sender = transaction.account = None
        try:
            transaction.payload = serialize_client_request(request.method, path, id, request.data)
        except Unsendable as error:
            transaction.fail(400, str(error))
            return transaction
        transaction.size = len(transaction.payload) + REQUEST_SIZE
        fate, _ = self._take(transaction, timeout)
        if fate is REFUSED:
            transaction.finish(503, "too many messages wait for a connection")
        elif fate is not TAKEN:
            transaction.finish(410, "client closed")
            self.runtime.transactions.rest()
        return transaction

    def notify(self, request: Sendable, path: str) -> str:
        """Send a notification, or keep it; returns its fate.

        :raises Unsendable: when its data is not JSON.
        """
        payload = serialize_client_request(request.method, path, None, request.data)
        with self.lock:
            return self._place(payload, None, None)[0]

    def reply(self, payload: bytes) -> None:
        """Send a response, if there is a connection. Else, the server repeats its request."""
        with self.lock:
            if self.link is not None:
                self.link.outbox.send_text(payload)

    def _place(
        self, payload: bytes, id: int | None, sender: dict[str, str] | None
    ) -> tuple[str, Mailbox | None]:
        if self.link is not None and self.link.outbox.send_text(payload, id):
            return TAKEN, None
        if not self.may_wait:
            return GONE, None
        if self.mailbox is None:
            self.mailbox = self._make_mailbox()
        return (TAKEN if self.mailbox.put(payload, id) else REFUSED), None

    def lose(self, may_repeat: bool, reason: str) -> None:
        """Give up the link, and the requests that it sent and that are not to be repeated.

        :param may_repeat: whether any request is sent again.
        :param reason: of the local 410 for the others.
        """
        with self.lock:
            sent, later = self._undelivered()
            unanswered = self.unanswered.by_id
            lost = [
                transaction
                for _, id in sent
                for transaction in [unanswered[id or 0]]
                if not (may_repeat and getattr(transaction, "repeat", False))
            ]
            given_up = {transaction.id for transaction in lost}
            sent = [(payload, id) for payload, id in sent if id not in given_up]
            self.link, self.mailbox = None, self._keep(sent, later)
        for transaction in lost:
            transaction.finish(410, reason)

    def _make_mailbox(self) -> Mailbox:
        runtime = self.runtime
        return PassingMailbox(
            runtime.limits.waiting, runtime.scheduler.now, runtime.time_limits.request
        )
