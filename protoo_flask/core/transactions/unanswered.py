"""Unanswered requests: those that were sent to one device, and that it has not answered.

The server keeps each until it is answered or its time is up. So a peer that reads and never
answers could make the server keep everything that another peer sends:

======================================  ============================================
requests                                limit in bytes
======================================  ============================================
all to one peer                         :data:`MAX_UNANSWERED`
of other users, to one peer             :data:`MAX_UNANSWERED_OF_PEERS`
of each of these users, to one peer     :data:`MAX_UNANSWERED_OF_EACH`
of one user, to peers that it has not   :data:`MAX_SENT`
chosen one by one (not relayed)
======================================  ============================================

A request beyond it is not sent; its sender is told 503. One that is urgent counts, and always
has room.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Protocol

from ..response import Response
from .client import RELAYED
from .shares import Shares

#: Bytes of requests that one peer may leave unanswered.
MAX_UNANSWERED = 8 * 1024 * 1024

#: Bytes of requests of other users among them, and of those the part of each user. The rest
#: is for the site. Below the second number, nobody counts who has sent what. That number is more
#: than the 4 MiB of requests that a device may leave open (``open_requests.MAX_OPEN``): a client
#: that writes fast to one peer is slowed down, and not refused.
MAX_UNANSWERED_OF_PEERS = MAX_UNANSWERED * 3 // 4
MAX_UNANSWERED_OF_EACH = 5 * 1024 * 1024

#: Bytes of requests that one user may have sent to others, and that are not answered: a request
#: may have gone to many devices.
MAX_SENT = 8 * 1024 * 1024

#: Bytes that an unanswered request takes besides its text. Measured: 800 to 1000.
REQUEST_SIZE = 1000


class Account(NamedTuple):
    """Where a request of another peer is counted.

    :ivar username: the user that has sent it.
    :ivar among_all: whether it is counted among the requests of the user to all peers.
    :ivar in_share: whether it is counted in the share of the user, among those to this peer.
    """

    username: str
    among_all: bool
    in_share: bool


class OwnersHalf(Protocol):
    """A request that was sent and is not answered, wherever its asker is.

    :ivar id: the id on the wire.
    :ivar payload: its text.
    :ivar size: bytes that are kept for it.
    :ivar sender: the peer that it comes from; ``None``: the site.
    :ivar account: where it is counted for a user, if anywhere.
    """

    id: int
    payload: bytes
    size: int
    sender: dict[str, str] | None
    account: Account | None

    def receive(self, response: Response) -> None:
        """Take a response of the peer."""

    def finish(self, status: int, reason: str) -> None:
        """End it with a response made here."""


class Unanswered:
    """The unanswered requests to one device, in the order of sending.

    :class:`.outbound.Outbound` adds and removes them; among threads, while holding its lock.

    :param sent: the bytes of each user's requests to all peers.
    :ivar by_id: ``{id on the wire: request}``.
    :ivar size: bytes that are kept for them.
    """

    __slots__ = ("_sent", "_shares", "by_id", "size")

    def __init__(self, sent: Shares) -> None:
        self.by_id: dict[int, OwnersHalf] = {}
        self.size = 0
        self._sent = sent
        #: The shares of users in it. Made when it is large.
        self._shares: Shares | None = None

    def __iter__(self) -> Iterator[OwnersHalf]:
        """Iterate over those of this moment; they may end meanwhile."""
        return iter(list(self.by_id.values()))

    def admits(self, transaction: OwnersHalf, kind: str) -> bool:
        """Whether one more request may be unanswered; sets its account."""
        size, total = transaction.size, self.size + transaction.size
        if transaction.sender is None:
            # Of a single one, the text alone counts.
            return total <= MAX_UNANSWERED or (
                not self.size and len(transaction.payload) <= MAX_UNANSWERED
            )
        username = transaction.sender["username"]
        is_spread, is_much = kind is not RELAYED, total > MAX_UNANSWERED_OF_EACH
        if is_spread:
            sent = self._sent.of(username)
            if sent and sent + size > MAX_SENT:
                return False
        if is_much:
            share = 0 if self._shares is None else self._shares.of(username)
            if total > MAX_UNANSWERED_OF_PEERS or (share and share + size > MAX_UNANSWERED_OF_EACH):
                return False
        transaction.account = Account(username, is_spread, is_much)
        return True

    def grow(self, transaction: OwnersHalf, growth: int) -> None:
        """Count more bytes, or less, for a request."""
        self.size += growth
        transaction.size += growth
        if transaction.account is not None:
            self.count(transaction.account, growth)

    def count(self, account: Account, size: int) -> None:
        """Count the bytes of a request for its user."""
        if account.among_all:
            self._sent.add(account.username, size)
        if account.in_share:
            if self._shares is None:
                self._shares = Shares()
            self._shares.add(account.username, size)

    def discount(self, account: Account, size: int) -> None:
        """Count them no more."""
        if account.among_all:
            self._sent.remove(account.username, size)
        if account.in_share and self._shares is not None:
            self._shares.remove(account.username, size)
