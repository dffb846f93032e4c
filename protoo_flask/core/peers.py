"""Peers: connected clients, and the registry that knows which are there.

A peer is a user (``username``, the site's account) at a device (``uuid``). It talks
through a link, one WebSocket connection, and outlives it: when the same device
connects again, the new link takes over and the old one is told "online elsewhere".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol

from .errors import ProtooError, Unsendable, UsageError
from .events import Event, EventQueues
from .handlers import check_function
from .messages import serialize_request
from .request import Request
from .transactions import ClientTransaction, ClientTransactions, OnResponse

if TYPE_CHECKING:
    from .response import Response
    from .scheduling import Scheduler


#: WebSocket close codes (RFC 6455 section 7.4.1; 3000-3999 are for libraries).
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
ONLINE_ELSEWHERE = 3000
AUTHORIZATION_REVOKED = 3001


class Identity(NamedTuple):
    """Who connects: the site's account, the device, and what the authorizer knows of them."""

    username: str
    uuid: str
    data: Any = None


class Link(Protocol):
    """One connection to a peer."""

    def send(self, payload: bytes) -> bool:
        """Send a text message without blocking; ``False`` when the link is closing."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake without blocking."""


class TooManyPeers(ProtooError):
    """The user has as many devices connected as ``PROTOO_MAX_PEERS_PER_USER`` allows."""

    def __init__(self, username: str, limit: int) -> None:
        super().__init__(
            f"{username} is connected from {limit} devices already, which is the limit"
        )


class Peer:
    """A connected client.

    :ivar username: the site's account.
    :ivar uuid: the device.
    :ivar data: what the authorizer returned as third value; free for the application.
    :ivar transactions: the requests sent to it that have not been answered.
    """

    def __init__(self, identity: Identity, registry: Registry) -> None:
        self.username = identity.username
        self.uuid = identity.uuid
        self.data = identity.data
        self.link: Link | None = None
        #: What the host keeps of the link's handshake, to run code of the site in.
        self.context: Any = None
        self.transactions = ClientTransactions(
            self, registry.scheduler, first_id=registry.first_id()
        )
        self._registry = registry
        self._listeners: dict[str, list[Callable[[Peer], Any]]] = {}

    @property
    def online(self) -> bool:
        """Whether it has a connection now."""
        return self.link is not None

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

        Forwarding is ``peer.send(req, on_response=req.reply)``: method, data and
        sender go along, the id is a new one.

        :param on_response: called with each :class:`~protoo_flask.Response`, last the
            final one, which may be local: 408 timeout, 410 offline, 487 canceled,
            400 when the data is not JSON.
        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``.
        """
        if not isinstance(request, Request):
            raise UsageError(f"peer.send(request) takes a Request, not {request!r}")
        return self.transactions.start(request, on_response, self._timeout(timeout))

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
        :returns: ``False`` when the peer is not there.
        :raises Unsendable: when the data is not JSON.
        """
        request = Request(method, data)
        return self.transmit(serialize_request(request.method, None, request.data, sender))

    def cancel(self, request: Request) -> bool:
        """End the transaction of ``request`` with a local 487; ``False`` if it has ended."""
        transaction = self.transactions.find(request)
        if transaction is None:
            return False
        transaction.cancel()
        return True

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "normal closure") -> None:
        """Close its connection; it counts as offline at once."""
        self._registry.remove(self, code, reason)

    def on(self, event: str, function: Callable[[Peer], Any] | None = None) -> Any:
        """Call ``function(peer)`` at its "offline", "disconnect" or "reconnect"."""
        if event not in PEER_EVENTS:
            raise UsageError(
                f"peer.on(event, fn) knows {', '.join(sorted(PEER_EVENTS))}, not {event!r}"
            )

        def decorate(function: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
            check_function(function)
            self._listeners.setdefault(PEER_EVENTS[event], []).append(function)
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event_name: str) -> list[Callable[[Peer], Any]]:
        """Return the functions given to :meth:`on` for a signal's name."""
        return list(self._listeners.get(event_name, ()))

    def transmit(self, payload: bytes) -> bool:
        """Send a serialized message; ``False`` when the peer is not there."""
        link = self.link
        return link is not None and link.send(payload)

    def call_back(self, function: OnResponse, response: Response) -> None:
        """Run a function of the application for a response from this peer."""
        # Relaying needs nothing of the site, and is most of what a messenger does.
        if getattr(function, "__func__", None) is Request.reply:
            request = function.__self__  # type: ignore[attr-defined]
            if not request.ended:
                try:
                    function(response)
                except Unsendable as error:
                    # Nested so deeply that it could just be read, and not be written here.
                    request.reply(500, str(error))
            return
        if response.is_local:
            # Made wherever somebody gave up: in the middle of a handler that called
            # cancel(), say, whose Flask contexts are not those of this peer.
            self._registry.scheduler.spawn(self._registry.call_back, self, function, response)
        else:
            self._registry.call_back(self, function, response)

    def _timeout(self, seconds: float | None) -> float:
        return self._registry.request_timeout if seconds is None else seconds

    def __repr__(self) -> str:
        return f"<Peer {self.username}/{self.uuid} {'online' if self.online else 'offline'}>"


#: What ``peer.on()`` knows, and the signal it stands for.
PEER_EVENTS = {
    "offline": "peer_offline",
    "disconnect": "peer_disconnect",
    "reconnect": "peer_reconnect",
}


class Registry:
    """Which peers are there: ``{username: {uuid: Peer}}``.

    :param events: where arrivals and departures are told.
    :param call_back: runs an application's function for a response, errors reported.
    :param first_id: gives the first id of the requests to a new peer.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        events: EventQueues,
        call_back: Callable[[Peer, OnResponse, Response], None],
        first_id: Callable[[], int],
        request_timeout: float,
        max_peers_per_user: int,
    ) -> None:
        self.scheduler = scheduler
        self.call_back = call_back
        self.first_id = first_id
        self.request_timeout = request_timeout
        self._max_peers_per_user = max_peers_per_user
        self._events = events
        self._lock = scheduler.lock()
        self._users: dict[str, dict[str, Peer]] = {}

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, of a device, of both, or all of them."""
        if username is None:
            devices = [dict(devices) for devices in list(self._users.values())]
        else:
            devices = [dict(self._users.get(username, ()))]
        if uuid is None:
            return [peer for peers in devices for peer in peers.values()]
        return [peers[uuid] for peers in devices if uuid in peers]

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return one peer, or ``None``."""
        return self._users.get(username, {}).get(uuid)

    def check_room(self, identity: Identity) -> None:
        """Check that this device may join those of its user.

        :raises TooManyPeers: when it may not. A device that is there already may always.
        """
        devices = self._users.get(identity.username, {})
        if identity.uuid not in devices and len(devices) >= self._max_peers_per_user:
            raise TooManyPeers(identity.username, self._max_peers_per_user)

    def connect(
        self,
        identity: Identity,
        link: Link,
        context: Any = None,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        """Give a peer its link: a new peer, or one that this link takes over.

        :param when_reachable: called when others find the peer, before the site is told.

        :raises TooManyPeers: as :meth:`check_room`.
        """
        with self._lock:
            peer = self.get(identity.username, identity.uuid)
            if peer is not None:
                old_link, peer.link, peer.data = peer.link, link, identity.data
                peer.context = context
            else:
                self.check_room(identity)
                old_link = None
                peer = Peer(identity, self)
                peer.link, peer.context = link, context
                devices = self._users.setdefault(identity.username, {})
                devices[identity.uuid] = peer
                self._events.post(peer.username, Event("peer_online", peer))
                if len(devices) == 1:
                    self._events.post(peer.username, Event("user_online", peer.username))
        if when_reachable is not None:
            when_reachable()
        if old_link is not None:
            old_link.close(ONLINE_ELSEWHERE, "online elsewhere")
            for payload in peer.transactions.payloads():
                link.send(payload)
        try:
            self._events.drain(peer.username)
        except BaseException:
            # What ended this greenlet ended it before anybody serves the link.
            self.disconnect(peer, link)
            raise
        return peer

    def disconnect(self, peer: Peer, link: Link) -> None:
        """Take note that a link is gone; nothing happens when another took over."""
        if peer.link is link and self._take_off(peer):
            self._tell_departure(peer)

    def remove(self, peer: Peer, code: int, reason: str) -> bool:
        """Close a peer's link; ``False`` when the peer was gone already."""
        link = peer.link
        if not self._take_off(peer):
            return False
        # The link comes first: what the site does about a departure may block, and
        # whoever has been disconnected must not be served meanwhile.
        if link is not None:
            link.close(code, reason)
        # In a greenlet of its own: this one may be in the middle of a view, whose Flask
        # contexts and database session are nobody else's.
        self.scheduler.spawn(self._tell_departure, peer)
        return True

    def _take_off(self, peer: Peer) -> bool:
        with self._lock:
            devices = self._users.get(peer.username, {})
            if devices.get(peer.uuid) is not peer:
                return False
            del devices[peer.uuid]
            peer.link = None
            self._events.post(peer.username, Event("peer_offline", peer))
            if not devices:
                del self._users[peer.username]
                self._events.post(peer.username, Event("user_offline", peer.username))
        return True

    def _tell_departure(self, peer: Peer) -> None:
        peer.transactions.finish_all(410, "peer offline")
        self._events.drain(peer.username)
