"""Peers: connected clients.

A peer is a user (``username``, the site's account) at a device (``uuid``). It talks
through a link, one WebSocket connection, and outlives it: when the same device
connects again, the new link takes over, and what is under way goes on through it.
While there is no link and the registry still waits for the device to come back (its
grace period), what is sent to the peer waits in a mailbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple, Protocol

from ..close_codes import NORMAL_CLOSURE
from ..errors import UsageError
from ..functions import check_function
from ..request import Request, relay_answer
from ..transactions.client import (
    ClientTransaction,
    ClientTransactions,
    OnResponse,
    SharedClientTransactions,
)
from ..transactions.mailbox import Mailbox
from ..transactions.server import ServerTransactions, SharedServerTransactions
from ..wire.messages import serialize_request

if TYPE_CHECKING:
    from ..response import Response
    from .registry import Registry


class Identity(NamedTuple):
    """Who connects: the site's account, the device, and what the authorizer knows of them."""

    username: str
    uuid: str
    data: Any = None


#: States of a peer; registry.py has the table.
CONNECTED = "connected"
DISCONNECTED = "disconnected"
OFFLINE = "offline"


class Link(Protocol):
    """One connection to a peer."""

    def send(self, payload: bytes) -> bool:
        """Send a text message without blocking; ``False`` when the link is closing."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake without blocking."""

    def retire(self, code: int, reason: str) -> None:
        """Close, leaving what waits to the next link, which takes it."""

    def take_unsent(self) -> list[bytes]:
        """Give back the messages that it took and has not sent, in order, once.

        For a link that is retired, or that ended when nobody had taken leave.
        """


class Context(Protocol):
    """What the host keeps of a link's handshake, to run code of the site in."""

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` as code of the site expects to be called."""


class Peer:
    """A connected client.

    :ivar username: the site's account.
    :ivar uuid: the device.
    :ivar data: what the authorizer returned as third value, at the last handshake or when it
        was asked again (``PROTOO_REAUTHORIZE_INTERVAL``).
    :ivar state: connected; disconnected: its connection has dropped, and it may come
        back within the grace period; offline: it has gone for good.
    :ivar transactions: the requests sent to it that have not been answered.
    :ivar requests: those that it sent.
    :ivar registry: the peers among which it is.
    """

    def __init__(self, identity: Identity, registry: Registry) -> None:
        self.username = identity.username
        self.uuid = identity.uuid
        self.data = identity.data
        self.state = OFFLINE
        self.link: Link | None = None
        #: What waits for its next link.
        self.mailbox: Mailbox | None = None
        #: That of its latest link.
        self.context: Context
        #: For what changes together: the link, the mailbox, and what is under way.
        scheduler = registry.scheduler
        self.lock = scheduler.lock()
        self.transactions: ClientTransactions
        self.requests: ServerTransactions
        if scheduler.preempts:
            self.transactions = SharedClientTransactions(self, registry.first_id())
            self.requests = SharedServerTransactions(registry.answers, scheduler.lock())
        else:
            self.transactions = ClientTransactions(self, registry.first_id())
            self.requests = ServerTransactions(registry.answers)
        self.registry = registry
        self._listeners: dict[str, list[Callable[[Peer], Any]]] = {}

    @property
    def online(self) -> bool:
        """Whether it has a connection now."""
        return self.state is CONNECTED

    @property
    def address(self) -> dict[str, str]:
        """How it is written on the wire: ``{"username": ..., "uuid": ...}``."""
        return {"username": self.username, "uuid": self.uuid}

    def send(
        self,
        request: Request,
        on_response: OnResponse | None = None,
        timeout: float | None = None,
    ) -> ClientTransaction:
        """Send a request; never blocks.

        To a peer whose connection has dropped it is sent when that comes back within
        the grace period; and what had not been answered is sent again then.

        Forwarding is ``peer.send(req, on_response=req.reply)``: method, data and
        sender go along, the id is a new one.

        :param on_response: called with each :class:`~protoo_flask.Response`, last the
            final one, which may be local: 408 timeout, 410 offline, 487 canceled,
            400 when the data is not JSON.
        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``.
        """
        if not isinstance(request, Request):
            raise UsageError(f"peer.send(request) takes a Request, not {request!r}")
        if timeout is None:
            timeout = self.registry.request_timeout
        return self.transactions.start(request, on_response, timeout)

    def request(
        self, method: str, data: dict[str, Any] | None = None, timeout: float | None = None
    ) -> Response:
        """Send a request and block this greenlet until its final response.

        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``; then a local 408.
        """
        return self.send(Request(method, data), timeout=timeout).wait()

    def notify(
        self,
        method: str,
        data: dict[str, Any] | None = None,
        sender: dict[str, str] | None = None,
    ) -> bool:
        """Send a notification; never blocks.

        :param sender: the :attr:`address` of the peer it comes from, if it does.
        :returns: ``False`` when the peer is not there. While it may come back (its grace
            period), the notification waits for it.
        :raises Unsendable: when the data is not JSON.
        """
        return self.transmit(_serialize_notification(method, data, sender))

    def cancel(self, request: Request) -> bool:
        """End the transaction of ``request`` with a local 487; ``False`` if it has ended."""
        transaction = self.transactions.find(request)
        if transaction is None:
            return False
        transaction.cancel()
        return True

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "normal closure") -> None:
        """Close its connection; it counts as offline at once."""
        self.registry.remove(self, code, reason)

    def on(self, event: str, function: Callable[[Peer], Any] | None = None) -> Any:
        """Call ``function(peer)`` at its "offline", "disconnect" or "reconnect"."""
        if event not in PEER_EVENTS:
            raise UsageError(
                f"peer.on(event, fn) knows {', '.join(sorted(PEER_EVENTS))}, not {event!r}"
            )

        def decorate(function: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
            check_function(function, "fn(peer)")
            self._listeners.setdefault(PEER_EVENTS[event], []).append(function)
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event_name: str) -> list[Callable[[Peer], Any]]:
        """Return the functions given to :meth:`on` for a signal's name."""
        return list(self._listeners.get(event_name, ()))

    def transmit(self, payload: bytes, id: int | None = None) -> bool:
        """Send a serialized message, or keep it for when the peer is back.

        :param id: that of its client transaction, when it is a request.
        :returns: ``False`` when the peer is not there.
        """
        # What the link takes now needs no lock: one that another is about to replace takes
        # nothing, or hands it over, and the other is put here when it has what waited.
        link = self.link
        if link is not None and link.send(payload):
            return True
        with self.lock:
            is_taken, full = self.place(payload, id)
        if full is not None:
            # Not while holding the peer's lock: the registry takes its own before that.
            self.registry.give_up(self, full)
        return is_taken

    def place(self, payload: bytes, id: int | None = None) -> tuple[bool, Mailbox | None]:
        """Put a message where it belongs, holding the lock: into the link or the mailbox.

        :returns: whether it was taken; and, if there was no room for it, the full mailbox,
            with which the registry is to give the peer up.
        """
        if self.link is not None and self.link.send(payload):
            return True, None
        # A link may be closing without the registry knowing yet.
        if self.state is OFFLINE or not self.registry.grace_period:
            return False, None
        if self.mailbox is None:
            self.mailbox = self.registry.make_mailbox()
        is_taken = self.mailbox.put(payload, id)
        return is_taken, None if is_taken else self.mailbox

    def call_back(self, function: OnResponse, response: Response) -> None:
        """Run a function of the application for a response from this peer."""
        # Relaying needs nothing of the site, and is most of what a messenger does.
        request = getattr(function, "__self__", None)
        is_relay = getattr(function, "__func__", None) is Request.reply
        if is_relay and isinstance(request, Request) and request.is_received:
            relay_answer(request, response)
        elif response.is_local:
            # Made wherever somebody gave up: in the middle of a handler that called
            # cancel(), say, whose Flask contexts are not those of this peer.
            self.registry.scheduler.spawn(self.registry.call_back, self, function, response)
        else:
            self.registry.call_back(self, function, response)

    def __repr__(self) -> str:
        return f"<Peer {self.username}/{self.uuid} {'online' if self.online else self.state}>"


#: What ``peer.on()`` knows, and the signal it stands for.
PEER_EVENTS = {
    "offline": "peer_offline",
    "disconnect": "peer_disconnect",
    "reconnect": "peer_reconnect",
}


def broadcast(
    peers: Iterable[Peer],
    method: str,
    data: dict[str, Any] | None = None,
    sender: dict[str, str] | None = None,
) -> int:
    """Send each of ``peers`` the same notification, written once; see :meth:`Peer.notify`.

    :returns: how many are there to receive it.
    :raises Unsendable: when the data is not JSON; nobody has got anything then.
    """
    if isinstance(peers, (str, Peer)):
        raise UsageError(
            f'broadcast(peers, ...) takes peers, like protoo.peers("bob"), not {peers!r}'
        )
    payload = _serialize_notification(method, data, sender)
    return sum(peer.transmit(payload) for peer in peers)


def _serialize_notification(
    method: str, data: dict[str, Any] | None, sender: dict[str, str] | None
) -> bytes:
    request = Request(method, data)
    return serialize_request(request.method, None, request.data, sender)
