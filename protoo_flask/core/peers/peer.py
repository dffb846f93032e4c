"""A peer: a connected client, as the site sees it.

A peer is a user (``username``, the site's account) at a device (``uuid``). It talks
through a link, one WebSocket connection, and outlives it: when the same device
connects again, the new link takes over, and everything under way goes on through it.
While there is no link and the device may still come back (its grace period), messages to the
peer wait in a mailbox.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, overload

from ..close_codes import AUTHORIZATION_REVOKED, NORMAL_CLOSURE
from ..errands import Errands
from ..errors import UsageError
from ..excerpts import excerpt, excerpt_of
from ..functions import Decorator, F, check_function, show
from ..link import Context, Link
from ..names import to_address
from ..response import Response
from ..runtime import Runtime
from ..scheduling import Scheduler
from ..sendable import Sendable
from ..suggestions import hint
from ..transactions.client import ClientTransaction, OnResponse
from ..transactions.mailbox import Mailbox
from ..transactions.outbound import Outbound, SharedOutbound
from ..transactions.server import ServerTransactions, SharedServerTransactions
from ..wire.dialect import PROTOO, Dialect
from ..workload import SharedWorkload, Workload
from .directory import Directory, Identity

#: States of a peer; local_directory.py has the table.
CONNECTED = "connected"
DISCONNECTED = "disconnected"
OFFLINE = "offline"

#: The names that ``peer.on()`` knows, and the signal that each stands for.
PEER_EVENTS = {
    "offline": "peer_offline",
    "disconnect": "peer_disconnect",
    "reconnect": "peer_reconnect",
}

#: What others call these events: ``{name: ours}``.
FOREIGN_EVENTS = {
    **dict.fromkeys(["close", "closed", "leave", "left", "disconnected", "gone"], "offline"),
    **dict.fromkeys(["drop", "dropped", "lost"], "disconnect"),
    **dict.fromkeys(["connect", "online", "resume", "back"], "reconnect"),
}


_EXPECTED_PEERS = 'broadcast(peers, ...) takes peers, like protoo.peers("bob"), not {}'


class Peer:
    """A connected client.

    :ivar username: the site's account.
    :ivar uuid: the device.
    :ivar data: the third value that the authorizer returned, at the last handshake or when it
        was asked again (``PROTOO_REAUTHORIZE_INTERVAL``).
    :ivar state: connected; disconnected: its connection has dropped, and it may come
        back within the grace period; offline: it has gone for good.
    :ivar runtime: clock, timers and limits of the app.
    :ivar directory: the peers among which it is.
    :ivar outbound: the messages on their way to it.
    :ivar requests: its own requests that are not answered, or were a short time ago.
    :ivar workload: those that are being handled, or wait for their turn; with those of the peer
        that this device was before.
    """

    _errands: Errands | None = None

    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        directory: Directory[Peer],
        dialect: Dialect,
        workload: Workload | None = None,
    ) -> None:
        self.username = identity.username
        self.uuid = identity.uuid
        self.data = identity.data
        self.state = OFFLINE
        #: Whether the site has closed it. Requests that it sent before are not handled any more.
        self.was_removed = False
        #: Of its latest link.
        self.context: Context
        self.runtime = runtime
        self.directory = directory
        self.outbound: Outbound
        self.requests: ServerTransactions
        self.workload: Workload
        self.become_local(dialect, workload)
        self._listeners: dict[str, list[Callable[[Peer], Any]]] | None = None

    def become_local(self, dialect: Dialect, workload: Workload | None = None) -> None:
        """Belong to this process, without a link so far.

        Handlers of requests that came here before the peer was elsewhere go on: their
        transactions are kept.
        """
        runtime = self.runtime
        kept: ServerTransactions | None = getattr(self, "requests", None)
        if workload is None:
            kind = SharedWorkload if runtime.scheduler.preempts else Workload
            workload = kind(self.username, runtime)
        self.workload = workload
        if runtime.scheduler.preempts:
            self.outbound = SharedOutbound(self, runtime, dialect)
            self.requests = SharedServerTransactions(self.outbound)
        else:
            self.outbound = Outbound(self, runtime, dialect)
            self.requests = ServerTransactions(self.outbound)
        if kept is not None and not kept.is_over:
            kept.change_outbound(self.outbound)
            self.requests = kept

    def become_remote(self, outbound: Outbound, context: Context) -> None:
        """Belong to another node of the cluster.

        :param outbound: by which messages get there.
        :param context: for code of the site that runs for it here.
        """
        self.context = context
        self.outbound = outbound

    @property
    def is_local(self) -> bool:
        """Whether this process holds its connection, or waits for the next one."""
        return self.outbound.node is None

    @property
    def online(self) -> bool:
        """Whether it has a connection now; of a peer elsewhere, as far as is known here."""
        if self.outbound.node is not None:
            self.directory.refresh(self)
        return self.state is CONNECTED

    @property
    def address(self) -> dict[str, str]:
        """Its name on the wire: ``{"username": ..., "uuid": ...}``."""
        return {"username": self.username, "uuid": self.uuid}

    @property
    def link(self) -> Link | None:
        """The connection that it has now."""
        return self.outbound.link

    @property
    def is_listed(self) -> bool:
        """Whether the directory still knows it: its "offline" is still to be told."""
        return self.directory.lists(self)

    def send(
        self,
        request: Sendable,
        on_response: OnResponse | None = None,
        timeout: float | None = None,
    ) -> ClientTransaction:
        """Send a request; never blocks.

        When the peer's connection has dropped, the request is sent as soon as the peer comes
        back within the grace period. A request that was sent and not answered is sent again
        then.

        Forwarding is ``peer.send(req, on_response=req.reply)``: method, data and
        sender go along, the id is a new one.

        :param request: a :class:`~protoo_flask.Request`.
        :param on_response: called with each :class:`~protoo_flask.Response`, last the
            final one, which may be local: 408 timeout, 410 offline, 487 canceled,
            400 when the data is not JSON, 503 when too much is unanswered, or when the request
            has a sender and the peer reads too slowly.
        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``.
        """
        if not isinstance(request, Sendable):
            raise UsageError(f"peer.send(request) takes a Request, not {excerpt_of(request)}")
        if timeout is None:
            timeout = self.runtime.time_limits.request
        return self.outbound.start(request, on_response, timeout)

    def request(
        self, method: str, data: dict[str, Any] | None = None, timeout: float | None = None
    ) -> Response:
        """Send a request and block this greenlet or thread until its final response.

        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``; then a local 408.
        """
        return self.send(Sendable(method, data), timeout=timeout).wait()

    def notify(
        self,
        method: str,
        data: dict[str, Any] | None = None,
        sender: dict[str, str] | None = None,
    ) -> bool:
        """Send a notification; never blocks.

        :param sender: the :attr:`address` of the peer it comes from, if it does.
        :returns: ``False`` when the peer is not there; with a sender, also when the peer reads too
            slowly (see :mod:`..transactions.shares`). While it may come back (its grace
            period), the notification waits for it.
        :raises Unsendable: when the data is not JSON.
        """
        return broadcast((self,), method, data, sender) > 0

    def cancel(self, request: Sendable) -> bool:
        """End the transaction of ``request`` with a local 487; ``False`` if it has ended."""
        return self.runtime.scheduler.call(self._cancel, request)

    def _cancel(self, request: Sendable) -> bool:
        transaction = self.outbound.find(request)
        if transaction is None:
            return False
        transaction.cancel()
        return True

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "normal closure") -> None:
        """Close its connection; it counts as offline at once.

        With 3001, a handshake of the device that is in progress is turned away, too. A device
        without permission must not be back at once.
        """
        if code == AUTHORIZATION_REVOKED:
            self.directory.turn_away(self.username, self.uuid, code, reason)
        self.runtime.scheduler.call(self.directory.remove, self, code, reason)

    @overload
    def on(self, event: str, function: None = None) -> Decorator: ...

    @overload
    def on(self, event: str, function: F) -> F: ...

    def on(self, event: str, function: Callable[[Peer], Any] | None = None) -> Any:
        """Call ``function(peer)`` at its "offline", "disconnect" or "reconnect"."""
        if event not in PEER_EVENTS:
            raise UsageError(
                f"peer.on(event, fn) knows {', '.join(sorted(PEER_EVENTS))}, not {show(event)}"
                + hint(event, PEER_EVENTS, FOREIGN_EVENTS)
            )

        def decorate(function: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
            check_function(function, "fn(peer)")
            if self._listeners is None:
                self._listeners = {}
            self._listeners.setdefault(PEER_EVENTS[event], []).append(function)
            self.directory.follow(self)
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event_name: str) -> list[Callable[[Peer], Any]]:
        """Return the functions given to :meth:`on` for a signal's name."""
        return list((self._listeners or {}).get(event_name, ()))

    @property
    def has_listeners(self) -> bool:
        """Whether functions were given to :meth:`on`."""
        return self._listeners is not None

    def forget_listeners(self) -> None:
        """Forget the functions given to :meth:`on`: its last event has been told."""
        self._listeners = None

    def give_up(self, mailbox: Mailbox) -> None:
        """Count it as offline, as too much waits for it; see :class:`.Endpoint`."""
        self.directory.give_up(self, mailbox)

    def go_on(self) -> None:
        """Handle its next requests; see :class:`.Endpoint`."""
        self.workload.release()

    def call_back(self, function: OnResponse, response: Response) -> None:
        """Run a function of the site for a response of this peer."""
        # A relay, ``on_response=req.reply``, needs nothing of the site, and is most of the work of
        # a messenger. request.py marks that method; a bound method shows the mark.
        relay = getattr(function, "relays_to", None)
        request = getattr(function, "__self__", None)
        if relay is not None and request is not None and request.is_received:
            relay(request, response)
        elif response.is_local or self.outbound.node is not None:
            # Made in the middle of other code: in a handler that called cancel(), say, whose
            # Flask contexts are not those of this peer. Or brought by another node, whose next
            # message must not wait.
            self.run_errand(self.runtime.call_back, self, function, response)
        else:
            self.runtime.call_back(self, function, response)

    def may_run_here(self, function: OnResponse) -> bool:
        """Whether a response of this peer comes where a function of the site may block."""
        return self.outbound.node is None or hasattr(function, "relays_to")

    def call_here(self, function: OnResponse, response: Response) -> None:
        """Run a function of the site in its contexts, in the current greenlet or thread."""
        self.runtime.call_back(self, function, response)

    def run_errand(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in a greenlet of its own, later if many run; see :mod:`..errands`."""
        errands = self._errands
        if errands is None:
            # Of several threads, the first wins.
            errands = vars(self).setdefault("_errands", Errands(self.runtime.scheduler))
        errands.add(function, *args)

    @property
    def has_errands(self) -> bool:
        """Whether functions of the site run for it beside its requests."""
        return self._errands is not None and not self._errands.is_idle

    def __repr__(self) -> str:
        state = "online" if self.online else self.state
        return f"<Peer {excerpt(self.username)}/{excerpt(self.uuid)} {state}>"


def check_peer(peer: Any, where: str) -> None:
    """Check that the site has passed a peer, and not a username.

    :param where: the call, for the error: ``room.remove(peer)``.
    :raises UsageError: when it has not.
    """
    if not hasattr(peer, "outbound"):
        raise UsageError(
            f"{where} takes a Peer, as protoo.peer(username, uuid) returns it, not "
            f"{excerpt_of(peer)}"
        )


def broadcast(
    peers: Iterable[Peer],
    method: str,
    data: dict[str, Any] | None = None,
    sender: dict[str, str] | None = None,
) -> int:
    """Send each of ``peers`` the same notification, written once; see :meth:`Peer.notify`.

    :returns: how many are there to receive it. With a sender, without those that read too slowly.
    :raises Unsendable: when the data is not JSON; nobody has got anything then.
    """
    if isinstance(peers, (str, Peer)) or not hasattr(peers, "__iter__"):
        raise UsageError(_EXPECTED_PEERS.format(excerpt_of(peers)))
    notification = Sendable(method, data)
    if sender is not None:
        sender = to_address(sender, "a notification's sender")
    # {dialect: the text}. Written also when there are no peers: data that is not JSON is an
    # error of the caller.
    payloads: dict[Dialect, bytes] = {
        PROTOO: PROTOO.serialize_notification(method, notification.data, sender)
    }
    count = 0
    #: {scheduler: the messages that its owner is to send}, in a thread that is foreign to it.
    handed_over: dict[Scheduler, list[tuple[Outbound, bytes]]] = {}
    checked: Scheduler | None = None
    is_foreign = False
    #: Those of other nodes.
    elsewhere: list[Any] = []
    for peer in peers:
        try:
            outbound = peer.outbound
        except AttributeError:
            raise UsageError(_EXPECTED_PEERS.format(excerpt_of(peer))) from None
        scheduler = outbound.runtime.scheduler
        if scheduler is not checked:  # usually once: peers of two apps are a rare case
            checked = scheduler
            is_foreign = scheduler.is_foreign()
        dialect = outbound.dialect  # read once: another link may take over meanwhile
        payload = payloads.get(dialect)
        if payload is None:
            payload = payloads[dialect] = dialect.serialize_notification(
                notification.method, notification.data, sender
            )
        if is_foreign:
            handed_over.setdefault(scheduler, []).append((outbound, payload))
            # A peer that is just coming is listed first, and gets its link a moment later.
            count += peer.is_listed
        elif outbound.node is not None:
            elsewhere.append(outbound)
        else:
            count += outbound.transmit(payload, sender)
    if elsewhere:
        without = elsewhere[0].transmit_to_all(elsewhere, payloads[PROTOO], sender)
        count += len(elsewhere) - len(without)
    for scheduler, messages in handed_over.items():
        scheduler.hand_over(_transmit_all, messages, sender)
    return count


def tell_about(
    address: dict[str, str],
    peers: Iterable[Peer],
    method: str,
    data: dict[str, Any],
    news: tuple[str, str] | None = None,
) -> list[Peer]:
    """Send peers a notification of the server about a peer; only in the owner's thread.

    It has no sender on the wire, and counts in the share of the peer's user all the same: a
    user must not be able to have others given up (see :mod:`..transactions.shares`).

    :param address: of the peer that it is about.
    :param news: its service and subject, if it is some: another node without room for it sends
        it later, unless newer news on that subject have come.
    :returns: the peers that are not there, or have no room for it.
    """
    elsewhere: list[Any] = []
    payloads: dict[Dialect, bytes] = {}
    without: list[Peer] = []
    for peer in peers:
        outbound = peer.outbound
        dialect = outbound.dialect
        payload = payloads.get(dialect)
        if payload is None:
            payload = payloads[dialect] = dialect.serialize_notification(method, data, None)
        if outbound.node is not None:
            elsewhere.append(outbound)
        elif not outbound.transmit(payload, address):
            without.append(peer)
    if elsewhere:
        without += elsewhere[0].transmit_to_all(elsewhere, payloads[PROTOO], address, news)
    return without


def _transmit_all(messages: list[tuple[Outbound, bytes]], sender: dict[str, str] | None) -> None:
    elsewhere: list[Any] = []
    for outbound, payload in messages:
        if outbound.node is not None:
            elsewhere.append(outbound)
        else:
            outbound.transmit(payload, sender)
    if elsewhere:
        # Links of other nodes are written to in one dialect.
        text = next(payload for outbound, payload in messages if outbound.node is not None)
        elsewhere[0].transmit_to_all(elsewhere, text, sender)
