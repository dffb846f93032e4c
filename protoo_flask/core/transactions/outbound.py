"""Outbound: the messages of the server on their way to one device.

Here are the owner's halves of the client transactions (:mod:`.client`): the id that each has
on the wire, and its text, which is sent again when another link takes over. Here are also
the link that the device has now, and the mailbox, in which messages wait while it has none.

With every new link, messages are sent in this order, which is that of sending: requests that
were sent and not answered; messages that the old link took and could not send; messages that
came since. A request of the latter two groups is not answered either, but has its place there.

The next link may be one of another process of a cluster. Then :meth:`Outbound.leave` gives up
everything, and :meth:`Outbound.inherit` takes it in over there: that link sends the same messages,
in the same order, under the same ids. The asker's halves stay where they are.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Callable, NamedTuple, Protocol, Sequence

from ..errors import Unsendable
from ..link import Link, Outbox, Unsent
from ..response import Response
from ..runtime import Runtime
from ..scheduling import one_step
from ..sendable import Sendable
from ..wire.dialect import Dialect
from ..wire.messages import MAX_ID
from .client import (
    OF_SITE,
    RELAYED,
    URGENT,
    ClientTransaction,
    OnResponse,
    Owner,
)
from .local_transactions import CoreTransaction, LocalTransaction
from .mailbox import Mailbox
from .provisional import ProvisionalResponses
from .shares import RETRY_AFTER
from .unanswered import (
    MAX_UNANSWERED,
    MAX_UNANSWERED_OF_EACH,
    REQUEST_SIZE,
    OwnersHalf,
    Unanswered,
)

#: Transactions that end at a time when the peer has gone: a millisecond.
AT_ONCE = 100

#: The reasons of the 503 to a request that is not sent.
TOO_MUCH = "too much is unanswered"
TOO_SLOW = "reads too slowly"

#: The fates of a message.
TAKEN = "taken"
GONE = "gone"
REFUSED = "refused"


class Successor(Protocol):
    """The way to a device that another process has a link to, in place of an :class:`Outbound`."""

    def take_over(self, transaction: ClientTransaction) -> Owner:
        """Await the responses to a request that the other process is given.

        :returns: the owner's half of it, from now on.
        """

    def pass_on(self, transaction: ClientTransaction, payload: bytes, kind: str) -> None:
        """Have the other process send a request: it came just after everything was given up.

        :param payload: its text, with an id.
        """

    def release(self, transaction: Any) -> bool:
        """Forget a request that ends just now; as :meth:`Outbound.release`."""

    def transmit(self, payload: bytes, sender: dict[str, str] | None = None) -> bool:
        """Have the other process send a notification; as :meth:`Outbound.transmit`."""


class Endpoint(Protocol):
    """The peer, as its outbound messages see it."""

    def call_back(self, function: OnResponse, response: Response) -> None:
        """Run a function of the site for a response of this peer."""

    def give_up(self, mailbox: Mailbox) -> None:
        """Wait no longer for the device: this mailbox of it is full."""

    def go_on(self) -> None:
        """Handle its next requests: not too many are without an answer any more."""


class Bequest(NamedTuple):
    """Everything that an :class:`Outbound` has given up.

    :ivar halves: the unanswered requests, in the order of sending.
    :ivar waiting: the messages that no link has sent, in that order; requests among them.
    :ivar size: bytes of their texts.
    :ivar kinds: ``{id: kind}`` of the halves.
    """

    halves: list[OwnersHalf]
    waiting: Unsent
    size: int
    kinds: dict[int, str]


class Outbound:
    """The messages to one device, and the way that they take.

    :param peer: the peer that the device belongs to.
    :ivar link: the connection that it has now.
    :ivar mailbox: keeps messages for its next link.
    :ivar may_wait: whether messages may wait for a link: there is a grace period, and the
        peer is not offline.
    :ivar unanswered: the requests that the device has not answered.
    :ivar successor: has been given everything; ``None``: this is the way to the device.
    :ivar lock: for changes that belong together: link, mailbox, pending requests.
    :ivar late: how many responses came for no transaction: late, or made up.
    :ivar node: the node of a cluster that holds the link; ``None``: this process.
    """

    node: str | None = None

    __slots__ = (
        "_ids",
        "_peer",
        "dialect",
        "late",
        "link",
        "lock",
        "mailbox",
        "may_wait",
        "runtime",
        "successor",
        "unanswered",
    )

    def __init__(self, peer: Endpoint, runtime: Runtime, dialect: Dialect) -> None:
        # The peer refers to this. A strong reference back would leave both to the garbage
        # collector when the peer has gone.
        self._peer = weakref.ref(peer)
        self.runtime = runtime
        self.dialect = dialect
        self.lock = runtime.scheduler.lock()
        self.link: Link | None = None
        self.mailbox: Mailbox | None = None
        self.may_wait = False
        self.late = 0
        # The first id is random, so that a client which remembers the ids that it has seen is
        # not confused by a server that was restarted. next() is one step, also for threads.
        ids = runtime.ids
        self._ids = itertools.count(runtime.first_id() - 1) if ids is None else ids
        self.unanswered = Unanswered(runtime.sent)
        self.successor: Successor | None = None

    def __len__(self) -> int:
        return len(self.unanswered.by_id)

    # Requests ------------------------------------------------------------------------

    def start(
        self,
        request: Sendable,
        on_response: OnResponse | None,
        timeout: float | None,
        kind: str = OF_SITE,
        engagement: Any = None,
    ) -> ClientTransaction:
        """Send ``request``; never blocks. Failures come as local responses.

        A foreign thread may send a request of the site. It does not wait for the owner.

        :param timeout: seconds until it ends with a local 408; ``None``: never by itself.
        :param kind: ``OF_SITE``, ``OF_CORE`` or ``URGENT``.
        :param engagement: the call or room that it belongs to, for a peer elsewhere; see
            :class:`~protoo_flask.core.cluster.items.Engagement`.
        """
        peer = self._peer()
        assert peer is not None
        id = next(self._ids) % MAX_ID + 1
        kind_of = LocalTransaction if kind is OF_SITE else CoreTransaction
        transaction = kind_of(request, peer, self, id, on_response)
        sender = request.sender
        try:
            transaction.payload = payload = self.dialect.serialize_request(
                request.method, id, request.data, sender
            )
        except Unsendable as error:
            transaction.fail(400, str(error))
            return transaction
        transaction.size = len(payload) + REQUEST_SIZE
        transaction.sender = sender
        if engagement is not None:
            transaction.engagement = engagement
        # Code of the core runs in the owner's thread anyway.
        if kind is OF_SITE and self.runtime.scheduler.is_foreign():
            self.runtime.scheduler.hand_over(self._begin, transaction, timeout, kind)
        else:
            self._begin(transaction, timeout, kind)
        return transaction

    def _begin(self, transaction: LocalTransaction, timeout: float | None, kind: str) -> None:
        """Send the request of a transaction; failures come as local responses."""
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
        fate, full = self._take(transaction, timeout)
        if fate is TAKEN:
            return
        # These run code of others, which may take locks of their own.
        if full is not None:
            transaction.peer.give_up(full)
        if fate is REFUSED:
            self._note_refusal()
            transaction.finish(503, TOO_SLOW, {"retryAfter": RETRY_AFTER})
        elif self.successor is not None and self._withdraw(transaction):
            # A thread has read ``peer.outbound`` just before the device moved.
            self.successor.pass_on(transaction, transaction.payload, kind)
        else:
            transaction.finish(410, "peer offline")

    def _take(
        self, transaction: LocalTransaction, timeout: float | None
    ) -> tuple[str, Mailbox | None]:
        """Take a transaction, and send its request; see :meth:`_place`.

        In one step. Otherwise a peer that goes offline just now would leave the timer behind,
        and a link that takes over just now would send the request twice: as unanswered, and as
        new.
        """
        # Without a call: two calls more would be 1 % of a relayed message.
        unanswered = self.unanswered
        unanswered.by_id[transaction.id] = transaction
        unanswered.size += transaction.size
        if transaction.account is not None:
            unanswered.count(transaction.account, transaction.size)
        # A timer of its own costs more than all the rest; most transactions have the same time.
        usual = self.runtime.transactions
        if timeout == usual.seconds:
            usual.add(transaction)
        elif timeout is not None:
            transaction.start_timer(timeout)
        return self._place(transaction.payload, transaction.id, transaction.sender)

    def forward(self, half: Any, kind: str) -> None:
        """Send a request of an asker elsewhere; failures come as its responses.

        :param half: its owner's half, whose asker has the timer.
        """
        self._begin(half, None, kind)

    def receive(self, id: int, response: Response) -> bool:
        """Hand a response to its transaction; ``False`` when it is late or unknown."""
        transaction = self.unanswered.by_id.get(id)
        if transaction is None or (response.status >= 200 and not self.release(transaction)):
            self.late += 1
            return False
        transaction.receive(response)
        return True

    def release(self, transaction: OwnersHalf) -> bool:
        """Forget a request, as its transaction ends; ``False`` when it has ended already.

        Of a response, a timeout and a departure that come at the same moment, the first one
        to be here ends the transaction.
        """
        unanswered = self.unanswered
        if unanswered.by_id.pop(transaction.id, None) is None:
            successor = self.successor
            return successor is not None and successor.release(transaction)
        # As _uncount() does, without the call.
        unanswered.size -= transaction.size
        if transaction.account is not None:
            unanswered.discount(transaction.account, transaction.size)
        self.runtime.transactions.remove(transaction)
        if self.mailbox is not None:
            self.mailbox.discard(transaction.id)
        return True

    def keep(self, transaction: LocalTransaction, response: Response) -> None:
        """Keep a provisional response for a transaction, if there is room."""
        if self.unanswered.by_id.get(transaction.id) is not transaction:
            return  # it has ended meanwhile
        if transaction.provisional is None:
            transaction.provisional = ProvisionalResponses(transaction.peer, transaction.id)
        growth = transaction.provisional.put(response, MAX_UNANSWERED - self.unanswered.size)
        self.unanswered.grow(transaction, growth)

    def find(self, request: Sendable) -> ClientTransaction | None:
        """Return the transaction of a request in flight."""
        for half in self.unanswered:
            # Of a peer that has moved here, the asker's half may be another object.
            transaction = getattr(half, "transaction", half)
            if isinstance(transaction, ClientTransaction) and transaction.request is request:
                return transaction
        return None

    def finish_all(self, status: int, reason: str) -> None:
        """End all transactions with a local response.

        May block: other greenlets have their turn after each :data:`AT_ONCE`.
        """
        scheduler = self.runtime.scheduler
        for number, transaction in enumerate(list(self.unanswered), 1):
            transaction.finish(status, reason)
            if number % AT_ONCE == 0 and not scheduler.preempts:
                scheduler.event().wait(0)

    def tell_room(self) -> None:
        """Tell the peer that not too many requests of it are without an answer any more."""
        peer = self._peer()
        if peer is not None:
            peer.go_on()

    # Any message ---------------------------------------------------------------------

    def transmit(self, payload: bytes, sender: dict[str, str] | None = None) -> bool:
        """Send a notification or response, or keep it until the peer is back.

        :param sender: the peer that it comes from, if it is not the site's: then it is refused
            when the peer reads too slowly, and the peer is not given up.
        :returns: ``False`` when the peer is not there, or the message was refused.
        """
        # This needs no lock: a link that another one is about to replace takes nothing, or
        # gives it back; and the other one is put here only after it has sent what waited.
        link = self.link
        if link is not None:
            outbox = link.outbox
            if outbox.is_blocked and not _admits(outbox, sender, payload):
                self._note_refusal()
                return False
            if outbox.send_text(payload):
                if self.runtime.observer is not None:
                    self.observe(payload)
                return True
        with self.lock:
            fate, full = self._place(payload, None, sender)
        if full is not None:
            # Not while holding this lock: the directory takes its own one before it.
            peer = self._peer()
            if peer is not None:
                peer.give_up(full)
        if fate is GONE and self.successor is not None:
            return self.successor.transmit(payload, sender)  # as in _begin()
        if fate is REFUSED:
            self._note_refusal()
        return fate is TAKEN

    def _place(
        self, payload: bytes, id: int | None, sender: dict[str, str] | None
    ) -> tuple[str, Mailbox | None]:
        """Give a message, holding the lock, to the link or else to the mailbox.

        :returns: its fate; and the mailbox, if that is full: then the peer is to be given up.
        """
        link = self.link
        if link is not None:
            outbox = link.outbox
            if outbox.is_blocked and not _admits(outbox, sender, payload):
                return REFUSED, None
            if outbox.send_text(payload, id):
                if self.runtime.observer is not None:
                    self.observe(payload)
                return TAKEN, None
        # A link may be closing before the directory knows.
        if not self.may_wait:
            return GONE, None
        if self.mailbox is None:
            self.mailbox = self._make_mailbox()
        username = None if sender is None else sender["username"]
        if username is not None and not self.mailbox.admits(username, payload):
            return REFUSED, None
        if not self.mailbox.put(payload, id, username):
            return GONE, self.mailbox
        return TAKEN, None  # an observer is told when a link has it

    def _note_refusal(self) -> None:
        """Take note that a message of another user has found no room."""
        peer = self._peer()
        if peer is not None:
            self.runtime.limited("outbox", peer, TOO_SLOW)

    def observe(self, payload: bytes) -> None:
        """Count a message that a link has taken, and tell an observer; there is one."""
        size, runtime = len(payload), self.runtime
        observer, meter = runtime.observer, runtime.meter
        meter.sent += 1
        meter.sent_bytes += size
        if observer is not None and observer.sent is not None:
            observer.sent(self._peer(), size)

    def _make_mailbox(self) -> Mailbox:
        return Mailbox(self.runtime.limits.waiting)

    # Links, one after the other ----------------------------------------------------------

    def attach(self, link: Link, when_reachable: Callable[[], None] | None = None) -> None:
        """Make a link the way to the device; it first sends the undelivered messages.

        Holding the lock, or a message that is sent now would overtake those that have waited.

        :param when_reachable: called before anything is sent; must not block.
        """
        sent, later = self._undelivered()
        undelivered = [*sent, *later]
        self.mailbox = None
        if when_reachable is not None:
            when_reachable()
        for index, (payload, id) in enumerate(undelivered):
            if not link.outbox.send_text(payload, id):
                # Too slow even for this. Its end comes next, and finds the rest.
                self.mailbox = self._keep(sent[index:], later[max(0, index - len(sent)) :])
                break
            if self.runtime.observer is not None:
                self.observe(payload)
        # Last: transmit() uses the link without the lock.
        self.link = link

    def detach(self) -> Mailbox | None:
        """Put the undelivered messages into a mailbox; ``None`` if they are too many for one."""
        with self.lock:
            mailbox = self._keep(*self._undelivered())
            if mailbox.is_too_full:
                return None
            self.link, self.mailbox = None, mailbox
            return mailbox

    def close(self) -> None:
        """Take no more messages: the peer is offline."""
        with self.lock:
            self.may_wait = False
            self.link = self.mailbox = None

    # From one process to another ---------------------------------------------------------

    def leave(self, successor: Successor, room: int) -> Bequest | None:
        """Give up everything; ``None`` when that is too much: then nothing has changed.

        The link, if there is one, has been retired.

        :param successor: sees to the messages from now on.
        :param room: bytes of texts that may be given up.
        """
        with self.lock:
            sent, waiting = self._undelivered()
            halves = list(self.unanswered)
            size = sum(len(half.payload) for half in halves)
            size += sum(len(payload) for payload, id in waiting if id is None)
            if size > room:
                # The link has given its messages up for good.
                self.mailbox = self._keep(sent, waiting)
                return None
            self.may_wait = False
            self.link = self.mailbox = None
            bequest = Bequest(halves, waiting, size, {half.id: _kind_of(half) for half in halves})
            self.unanswered.by_id.clear()
            for half in halves:
                self._uncount(half)
                if isinstance(half, ClientTransaction):
                    # In one step with the rest: it may time out just now.
                    half.change_owner(successor.take_over(half))
            # Last: whoever finds no place here goes on there.
            self.successor = successor
        return bequest

    def inherit(self, halves: Sequence[OwnersHalf], waiting: Unsent) -> None:
        """Take in what another process has given up. It is older than all that is here.

        Also what is too much here: it was not, there.

        :param halves: in the order of sending.
        :param waiting: the messages that no link has sent, in that order.
        """
        with self.lock:
            unanswered = self.unanswered
            newer, newer_messages = unanswered.by_id, self.mailbox
            unanswered.by_id = {half.id: half for half in halves}
            for half in halves:
                unanswered.size += half.size
                if half.account is not None:
                    unanswered.count(half.account, half.size)
            unanswered.by_id.update(newer)
            mailbox = self._make_mailbox()
            self._fill(mailbox, waiting, are_shared=True)
            if newer_messages is not None:
                self._fill(mailbox, newer_messages.items())
            self.mailbox = mailbox

    def _withdraw(self, transaction: LocalTransaction) -> bool:
        """Take a request back that is not on its way; ``False`` when it has ended."""
        with self.lock:
            is_mine = self.unanswered.by_id.pop(transaction.id, None) is not None
            if is_mine:
                self._uncount(transaction)
        return is_mine

    def _uncount(self, half: OwnersHalf) -> None:
        """Count a request no more that has been taken out of the unanswered ones."""
        self.unanswered.size -= half.size
        if half.account is not None:
            self.unanswered.discount(half.account, half.size)

    def _undelivered(self) -> tuple[Unsent, Unsent]:
        """Return the messages that the next link has to send, in order.

        First, the requests that an earlier link has sent.
        """
        later = [] if self.link is None else self.link.take_unsent()
        if self.mailbox is not None:
            later += self.mailbox.items()
        # Without requests of transactions that have ended meanwhile.
        unanswered = self.unanswered.by_id
        later = [(payload, id) for payload, id in later if id is None or id in unanswered]
        have_a_place = {id for _, id in later}
        sent: Unsent = [
            (transaction.payload, id)
            for id, transaction in unanswered.items()
            if id not in have_a_place
        ]
        return sent, later

    def _keep(self, sent: Unsent, later: Unsent) -> Mailbox:
        mailbox = self._make_mailbox()
        self._fill(mailbox, sent, are_shared=True)
        self._fill(mailbox, later)
        return mailbox

    def _fill(self, mailbox: Mailbox, messages: Unsent, are_shared: bool = False) -> None:
        """Put messages into a mailbox, whatever its limit.

        :param are_shared: whether requests of other users do not count: they must not lead to the
            end of the peer.
        """
        for payload, id in messages:
            half = None if id is None or not are_shared else self.unanswered.by_id.get(id)
            mailbox.add(payload, id, is_counted=half is None or half.sender is None)


def _kind_of(half: OwnersHalf) -> str:
    """Return a kind of which a request is counted in the same places."""
    is_relayed = half.sender is not None and (half.account is None or not half.account.among_all)
    return RELAYED if is_relayed else OF_SITE


def _admits(outbox: Outbox, sender: dict[str, str] | None, payload: bytes) -> bool:
    return sender is None or outbox.admits(sender["username"], len(payload))


class SharedOutbound(Outbound):
    """The messages to a device among threads: several may send, and read its answers."""

    __slots__ = ("_lock",)

    def __init__(self, peer: Endpoint, runtime: Runtime, dialect: Dialect) -> None:
        super().__init__(peer, runtime, dialect)
        self._lock = self.lock

    _take = one_step(Outbound._take)
    release = one_step(Outbound.release)
    keep = one_step(Outbound.keep)
