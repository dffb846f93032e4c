"""The messages to a device of another node: the asker's halves, and the way to the owner.

It has the methods of :class:`~..transactions.outbound.Outbound`, and counts requests in the same
way, so that the requests of one node to one peer have the limits that they have in one process. The
owner counts those of all nodes once more.
"""

from __future__ import annotations

from typing import Any, Iterable, Protocol, Sequence

from ..cluster.items import Engagement
from ..cluster.places import Place
from ..errors import Unsendable
from ..response import Response
from ..runtime import Runtime
from ..scheduling import one_step
from ..sendable import Sendable
from ..transactions.client import OF_SITE, RELAYED, URGENT, ClientTransaction, OnResponse
from ..transactions.local_transactions import CoreTransaction, LocalTransaction
from ..transactions.outbound import TOO_MUCH, Outbound
from ..transactions.shares import RETRY_AFTER
from ..transactions.unanswered import MAX_UNANSWERED_OF_EACH, REQUEST_SIZE
from ..wire.dialect import PROTOO
from ..wire.messages import MAX_ID


class Carrier(Protocol):
    """The way to other nodes; see :class:`.exchange.Exchange`."""

    def find_hindrance(self, peer: Any) -> tuple[int, str] | None:
        """Return status and reason of a response that says why a peer cannot be reached."""

    def ask(self, transaction: Any, node: str, kind: str, engagement: Engagement | None) -> None:
        """Send the request of a transaction."""

    def expect(self, transaction: Any, node: str) -> None:
        """Wait for the answers to a request that is in an estate."""

    def cancel(self, number: int) -> None:
        """Say that nobody waits for the answer any more."""

    def tell(
        self,
        node: str,
        peers: Sequence[Any],
        payload: bytes,
        sender: str | None,
        news: tuple[str, str] | None,
    ) -> None:
        """Send a notification to peers of a node."""


class RemoteOutbound(Outbound):
    """The messages of this node to one device of another node.

    :param carrier: brings them there.
    :param place: of the device, as the directory of the cluster says.
    :ivar node: the node that holds the link.
    """

    __slots__ = ("carrier", "node", "place")

    def __init__(self, peer: Any, runtime: Runtime, carrier: Carrier, place: Place) -> None:
        super().__init__(peer, runtime, PROTOO)
        self.carrier = carrier
        self.place = place
        self.node: str = place.node

    def start(
        self,
        request: Sendable,
        on_response: OnResponse | None,
        timeout: float | None,
        kind: str = OF_SITE,
        engagement: Engagement | None = None,
    ) -> ClientTransaction:
        peer = self._peer()
        assert peer is not None
        id = next(self._ids) % MAX_ID + 1
        kind_of = LocalTransaction if kind is OF_SITE else CoreTransaction
        transaction = kind_of(request, peer, self, id, on_response)
        sender = request.sender
        try:
            # Without an id: the owner puts one in.
            transaction.payload = payload = self.dialect.serialize_notification(
                request.method, request.data, sender
            )
        except Unsendable as error:
            transaction.fail(400, str(error))
            return transaction
        transaction.size = len(payload) + REQUEST_SIZE
        transaction.sender = sender
        if kind is OF_SITE and self.runtime.scheduler.is_foreign():
            self.runtime.scheduler.hand_over(self.ask, transaction, timeout, kind, engagement)
        else:
            self.ask(transaction, timeout, kind, engagement)
        return transaction

    def ask(
        self,
        transaction: LocalTransaction,
        timeout: float | None,
        kind: str,
        engagement: Engagement | None,
    ) -> None:
        """Send the request of a transaction; failures come as local responses.

        :param timeout: ``None``: it has a timer already, or none.
        """
        transaction.account = None
        unanswered = self.unanswered
        if (
            (kind is not RELAYED or unanswered.size + transaction.size > MAX_UNANSWERED_OF_EACH)
            and kind is not URGENT
            and not unanswered.admits(transaction, kind)
        ):
            self.runtime.limited("unanswered", transaction.peer, TOO_MUCH)
            transaction.fail(503, TOO_MUCH, {"retryAfter": RETRY_AFTER})
            return
        hindrance = self.carrier.find_hindrance(transaction.peer)
        if hindrance is not None:
            transaction.fail(*hindrance)
            return
        self._await(transaction, timeout)
        self.carrier.ask(transaction, self.node, kind, engagement)

    def _await(self, transaction: LocalTransaction, timeout: float | None) -> None:
        # The same is in Outbound._take(), on purpose: there, a call would be 1 % of a message.
        unanswered = self.unanswered
        unanswered.by_id[transaction.id] = transaction
        unanswered.size += transaction.size
        if transaction.account is not None:
            unanswered.count(transaction.account, transaction.size)
        usual = self.runtime.transactions
        if timeout == usual.seconds:
            usual.add(transaction)
        elif timeout is not None:
            transaction.start_timer(timeout)

    def receive(self, id: int, response: Response) -> bool:
        transaction = self.unanswered.by_id.get(id)
        if transaction is None or (response.status >= 200 and not self._drop(transaction)):
            self.late += 1
            return False
        transaction.receive(response)
        return True

    def release(self, transaction: Any) -> bool:
        """Forget a request that ends here, and tell the owner."""
        if not self._drop(transaction):
            return False
        self.carrier.cancel(transaction.id)
        return True

    #: Forget a request, without a word.
    _drop = Outbound.release

    def hand_on(self, transaction: Any) -> None:
        """Leave a transaction that goes on to another outbound; its timer runs on."""
        unanswered = self.unanswered
        if unanswered.by_id.pop(transaction.id, None) is not None:
            unanswered.size -= transaction.size
            if transaction.account is not None:
                unanswered.discount(transaction.account, transaction.size)

    # A peer that was here -----------------------------------------------------------------

    def take_over(self, transaction: Any) -> RemoteOutbound:
        """Await the answers to a request that is in the estate of the peer."""
        self._await(transaction, None)
        self.carrier.expect(transaction, self.node)
        return self

    def pass_on(self, transaction: Any, payload: bytes, kind: str) -> None:
        """Ask the owner a request that has come too late for the estate."""
        request = transaction.request
        transaction.payload = self.dialect.serialize_notification(
            request.method, request.data, transaction.sender
        )
        transaction.change_owner(self)
        self.ask(transaction, None, kind, None)

    # Notifications -----------------------------------------------------------------------

    def transmit(self, payload: bytes, sender: dict[str, str] | None = None) -> bool:
        return not self.transmit_to_all([self], payload, sender)

    def transmit_to_all(
        self,
        outbounds: Iterable[RemoteOutbound],
        payload: bytes,
        sender: dict[str, str] | None,
        news: tuple[str, str] | None = None,
    ) -> list[Any]:
        """Send a notification to peers of other nodes: one item for each node.

        :returns: the peers that are not there, as far as is known here.
        """
        without = []
        groups: dict[tuple[Carrier, str], list[Any]] = {}
        for outbound in outbounds:
            peer = outbound._peer()
            if peer is None:
                continue
            if outbound.carrier.find_hindrance(peer) is None:
                groups.setdefault((outbound.carrier, outbound.node), []).append(peer)
            else:
                without.append(peer)
        username = None if sender is None else sender["username"]
        for (carrier, node), peers in groups.items():
            carrier.tell(node, peers, payload, username, news)
        return without


class SharedRemoteOutbound(RemoteOutbound):
    """The messages to a device of another node, among threads."""

    __slots__ = ("_lock",)

    def __init__(self, peer: Any, runtime: Runtime, carrier: Carrier, place: Place) -> None:
        super().__init__(peer, runtime, carrier, place)
        self._lock = self.lock

    _await = one_step(RemoteOutbound._await)
    _drop = one_step(RemoteOutbound._drop)
    keep = one_step(RemoteOutbound.keep)
    hand_on = one_step(RemoteOutbound.hand_on)
