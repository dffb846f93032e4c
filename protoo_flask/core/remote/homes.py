"""The homes of calls and rooms, from one node; implements :class:`~..peers.homes.Homes`.

====================  ===========================================================================
table                 content
====================  ===========================================================================
``_engagements``      of a local peer, ``{service: {key: home}}``: the calls and rooms that it is in
``_guests``           ``{peer: {(service, key)}}``: the peers that are in something at home here
====================  ===========================================================================

A guest may move to another node. Its new owner learns of its engagements by the estate; and once
more from here, as soon as the move is seen.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping, NamedTuple, Protocol, Sequence
from weakref import WeakKeyDictionary

from ..cluster.items import Engage, Engagement, ToHome
from ..cluster.places import User
from ..cluster.protocol import AWAY, UP, ClaimRefused, ClusterAway
from ..events import EventQueues, SiteEvent
from ..exits import is_contained
from ..peers.homes import EngagedRequest, HomeService, HomeUnknown, PortableService
from ..peers.peer import Peer
from ..request import ReceivedRequest, answer
from ..response import Response
from ..runtime import Runtime
from ..wire.messages import parse_data, serialize_data
from .asks import AskOfNode
from .exchange import Exchange
from .forwarded_ask import ForwardedAsk

#: The reason of a 503.
UNREACHABLE = "the server of this call or room cannot be reached"


class Finder(Protocol):
    """Finds peers; see :class:`.cluster_directory.ClusterDirectory`."""

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return the peer of a device. May block."""

    def get_incarnation(self, username: str, uuid: str, born: int) -> Peer | None:
        """Return the peer of a device of this node, unless it was born at another time."""

    def find_for_certain(self, username: str) -> list[Peer] | None:
        """Return all peers of a user; ``None`` when nobody can tell. May block."""

    def born(self, peer: Peer) -> int:
        """Return ``Place.born`` of a peer; 0: not known, -1: it is another one by now."""


class Visit(NamedTuple):
    """A request that another node has forwarded, and the node."""

    node: str
    item: ToHome


class HomeResponder:
    """The way back of a request that another node has forwarded.

    :param number: of the ask there.
    """

    def __init__(self, exchange: Exchange, runtime: Runtime, node: str, number: int) -> None:
        self._exchange = exchange
        self._unanswered = runtime.unanswered
        self._node = node
        self._number = number

    def respond(self, request: Any, status: int, reason: str, data: dict[str, Any]) -> None:
        """Send a response to the node of the peer.

        :raises Unsendable: when the data is not JSON.
        """
        if not self._number:
            return
        serialize_data(data)
        if status >= 200:
            self.wait_longer(request)
        self._exchange.answer_visit(self._node, self._number, Response(status, reason, data))

    def wait_longer(self, request: Any) -> None:
        """Wait for the answer without a time limit; the node of the peer does so already."""
        if request is not None:
            self._unanswered.remove(request)


class ClusterHomes:
    """The homes, from one node.

    :param services: ``{name: middleware}``.
    :param owner: becomes ``req.app`` of the requests of other nodes.
    """

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        finder: Finder,
        services: Mapping[str, HomeService],
        owner: Any,
    ) -> None:
        self._exchange = exchange
        self._cluster = exchange.cluster
        self._runtime = runtime
        self._finder = finder
        self._services = services
        self._owner = owner
        self._lock = runtime.scheduler.lock()
        self._engagements: WeakKeyDictionary[Peer, dict[str, dict[str, str]]] = WeakKeyDictionary()
        self._guests: WeakKeyDictionary[Peer, set[tuple[str, str]]] = WeakKeyDictionary()
        #: The requests of one device are handled in the order in which they were forwarded.
        self._visits = EventQueues(self._handle, runtime.scheduler.lock())
        self._watches: dict[tuple[str, Any], list[Watch]] = {}
        exchange.on_item(ToHome, self._take_visit)
        exchange.on_item(Engage, self._take_engage)
        exchange.check_arrival = self._check_arrival

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when every peer has gone."""
        return {
            "engagements": self._engagements,
            "guests": self._guests,
            "visits": self._visits,
            "watches": self._watches,
        }

    @property
    def node(self) -> str:
        return self._cluster.node

    def is_here(self, node: str) -> bool:
        return self._exchange.is_own(node)

    def is_alive(self, node: str) -> bool:
        return self._cluster.status != AWAY and not self._exchange.is_gone(node)

    def knows(self, node: str) -> bool:
        return node in self._cluster.others()

    def take(self, service: str, key: str) -> str:
        try:
            return self._cluster.take_home(service, key)
        except (ClusterAway, ClaimRefused) as error:
            raise HomeUnknown("other servers cannot be reached for now") from error

    def leave(self, service: str, key: str) -> None:
        self._cluster.leave_home(service, key)

    # Questions to homes --------------------------------------------------------------------

    def forward(
        self,
        request: Any,
        home: str,
        service: str,
        verb: str,
        then: Callable[[Response], Any] | None = None,
    ) -> None:
        number = 0
        if request.id is not None or then is not None:
            number = self._exchange.next_number()
        item = ToHome(
            number,
            service,
            verb,
            request.peer.username,
            request.peer.uuid,
            request.method,
            (request.original_path, request.base_path, request.path),
            serialize_data([[str(name), value] for name, value in request.params.items()]),
            serialize_data(request.data),
            self._finder.born(request.peer),
        )
        # Now, as everything could be written: the answer is sure to come.
        if number:
            request.keep_open()
            take = partial(answer, request) if then is None else then
            self._exchange.put(number, AskOfNode(home, request.peer, take))
        self._send(home, item)

    def ask(
        self,
        peer: Peer,
        home: str,
        service: str,
        verb: str,
        data: dict[str, Any],
        then: Callable[[Response], Any],
    ) -> None:
        number = self._exchange.next_number()
        text = serialize_data(data)
        device = peer.username, peer.uuid
        born = self._finder.born(peer)
        path = ("/", "", "/")
        item = ToHome(number, service, verb, *device, verb, path, b"[]", text, born)
        self._exchange.put(number, AskOfNode(home, peer, then))
        self._send(home, item)

    def _send(self, home: str, item: ToHome) -> None:
        if not self._exchange.is_own(home) and not self.is_alive(home):
            ask = self._exchange.forget(item.ask)
            if ask is not None:
                ask.fail(503, UNREACHABLE)
            return
        node = self._cluster.node if self._exchange.is_own(home) else home
        self._cluster.send(node, item)

    # Questions of other nodes ----------------------------------------------------------------

    def _take_visit(self, node: str, item: ToHome) -> None:
        if item.ask:
            self._exchange.visits.add((node, item.ask))
        queue = serialize_data([item.username, item.uuid]).decode()
        self._visits.post(queue, SiteEvent(item.verb, Visit(node, item)))
        self._runtime.scheduler.spawn(self._visits.drain, queue)

    def _handle(self, event: SiteEvent) -> None:
        """Have a service handle a request of another node. May block; never raises."""
        node, item = event.subject
        responder = HomeResponder(self._exchange, self._runtime, node, item.ask)
        service = self._services.get(item.service)
        peer = self._finder.get(item.username, item.uuid)
        if service is None or peer is None or not self._is_of(peer, item):
            # Another version of the site, or a device that has left just now.
            responder.respond(None, 410, "peer offline", {})
            return
        request = self._make_request(peer, item)
        request._responder = responder
        request.last_handler = service.handle_at_home
        if item.ask:
            self._runtime.unanswered.add(request)
        try:
            service.handle_at_home(item.verb, request)
        except BaseException as error:
            self._runtime.fail(request, error)
            if not is_contained(error):
                raise

    def _is_of(self, peer: Peer, item: ToHome) -> bool:
        """Whether it is this peer that has sent a request, and not an earlier one of the device."""
        born = self._finder.born(peer)
        return 0 in (born, item.born) or born == item.born

    def _make_request(self, peer: Peer, item: ToHome) -> ReceivedRequest:
        id = item.ask or None
        original, base, path = item.path
        request: ReceivedRequest = ReceivedRequest(
            item.method, original, id, parse_data(item.data), peer, self._owner
        )
        request.base_path, request.path = base, path
        request.params = {
            int(name) if name.isdigit() else name: value for name, value in parse_data(item.params)
        }
        return request

    def _check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        service = self._services.get(engagement.service)
        return None if service is None else service.check_arrival(peer, engagement)

    # Engagements -----------------------------------------------------------------------------

    def engage(self, peer: Peer, service: str, key: str) -> None:
        with self._lock:
            self._guests.setdefault(peer, set()).add((service, key))
        self._tell_owner(peer, service, key, True)

    def disengage(self, peer: Peer, service: str, key: str) -> None:
        with self._lock:
            keys = self._guests.get(peer, set())
            keys.discard((service, key))
            if not keys:
                self._guests.pop(peer, None)
        self._tell_owner(peer, service, key, False)

    def _tell_owner(self, peer: Peer, service: str, key: str, is_in: bool) -> None:
        node = peer.outbound.node
        if node is None:
            self._note(peer, service, key, self.node, is_in)
        elif self.is_alive(node):
            born = self._finder.born(peer)
            item = Engage(peer.username, peer.uuid, service, key, is_in, born=born)
            self._cluster.send(node, item)

    def moved(self, peer: Peer) -> None:
        """Tell the new owner of a peer what it is in."""
        for service, key in list(self._guests.get(peer, ())):
            self._tell_owner(peer, service, key, True)

    def _take_engage(self, node: str, item: Engage) -> None:
        peer = self._finder.get_incarnation(item.username, item.uuid, item.born)
        if peer is not None:
            home = node if item.home is None else item.home
            if item.is_in:
                self._bring(peer, item.service, item.key, home)
            else:
                self._note(peer, item.service, item.key, home, False)
                self._exchange.forget_news(peer, item.service, item.key)
        elif self._exchange.pass_on is not None:
            item.home = node if item.home is None else item.home
            self._exchange.pass_on(item, item.username, item.uuid)

    def _note(self, peer: Peer, service: str, key: str, home: str, is_in: bool) -> None:
        with self._lock:
            services = self._engagements.setdefault(peer, {})
            homes = services.setdefault(service, {})
            if is_in:
                homes[key] = home
            else:
                homes.pop(key, None)
            if not homes:
                del services[service]
            if not services:
                del self._engagements[peer]

    def engagements(self, peer: Peer, service: str) -> dict[str, str]:
        with self._lock:
            return dict(self._engagements.get(peer, {}).get(service, {}))

    def unanswered(self, peer: Peer, service: str) -> list[EngagedRequest]:
        found: list[EngagedRequest] = []
        for half in peer.outbound.unanswered:
            # Those of this node are not meant, though the peer may have brought them along.
            if isinstance(half, ForwardedAsk) and not self._exchange.is_own(half.asker):
                engagement = half.engagement
                if engagement is not None and engagement.service == service:
                    found.append(half)
        return found

    def take_engagements(self, peer: Peer) -> list[tuple[str, str, str]]:
        """Return ``(service, key, home)`` of a local peer that moves to another node."""
        with self._lock:
            services = self._engagements.pop(peer, {})
        return [
            (service, key, home)
            for service, homes in services.items()
            for key, home in homes.items()
        ]

    def bring_engagements(self, peer: Peer, found: Sequence[tuple[str, str, str]]) -> None:
        """Take note of those of a peer that has moved here."""
        for service, key, home in found:
            self._bring(peer, service, key, home)

    def _bring(self, peer: Peer, service: str, key: str, home: str) -> None:
        """Take note of what comes by another node: the home may have died meanwhile."""
        if self._exchange.is_gone(home):
            self._lose_home(peer, service, key)
        else:
            self._note(peer, service, key, home, True)

    def pack(self, peer: Peer) -> dict[str, bytes]:
        """Return what the services have kept for a peer that has left, and have them forget it."""
        packed = {}
        for name, service in self._services.items():
            if isinstance(service, PortableService):
                data = service.pack(peer)
                if data:
                    packed[name] = data
        return packed

    def unpack(self, peer: Peer, packed: Mapping[str, bytes]) -> None:
        """Give the services what a peer has brought along from another node."""
        for name, data in packed.items():
            service = self._services.get(name)
            if isinstance(service, PortableService):
                service.unpack(peer, data)

    def node_gone(self, node: str) -> None:
        """Tell local peers whose calls or rooms were at home at a node."""
        lost = []
        with self._lock:
            for peer, services in list(self._engagements.items()):
                for service, homes in list(services.items()):
                    lost += [(peer, service, key) for key, home in homes.items() if home == node]
        for peer, service, key in lost:
            self._note(peer, service, key, node, False)
            self._lose_home(peer, service, key)

    def fenced(self, former: str) -> None:
        """Tell local peers whatever they are in: others have taken this node for dead.

        They take its homes for lost. And its peers are offline for homes elsewhere.
        """
        with self._lock:
            engaged = list(self._engagements)
        for peer in engaged:
            for service, key, _ in self.take_engagements(peer):
                self._lose_home(peer, service, key)
        # And what is at home here without a local peer in it.
        with self._lock:
            guests = [
                (peer, service, key)
                for peer, keys in self._guests.items()
                for service, key in keys
                if not peer.is_local
            ]
        for guest in guests:
            self._lose_home(*guest)

    def _lose_home(self, peer: Peer, service: str, key: str) -> None:
        found = self._services.get(service)
        if found is not None:
            found.home_lost(peer, key)

    def forget(self, peer: Peer) -> None:
        """Forget what a local peer is in: it is offline."""
        self.take_engagements(peer)

    # Users that change -------------------------------------------------------------------------

    def watch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        watch = Watch(self._runtime, self._finder, username, function)
        with self._lock:
            self._watches.setdefault((username, function), []).append(watch)
        self._cluster.watch(username, watch.note)

    def status_changed(self) -> None:
        """Go on telling of users, if the directory can tell now."""
        if self._cluster.status == UP:
            with self._lock:
                watches = [watch for watches in self._watches.values() for watch in watches]
            for watch in watches:
                watch.go_on()

    def unwatch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        with self._lock:
            watches = self._watches.get((username, function))
            if not watches:
                return
            watch = watches.pop()
            if not watches:
                del self._watches[username, function]
        watch.is_over = True
        self._cluster.unwatch(username, watch.note)


class Watch:
    """A function that is called with the devices of a user, one call after the other."""

    def __init__(
        self,
        runtime: Runtime,
        finder: Finder,
        username: str,
        function: Callable[[list[Peer]], Any],
    ) -> None:
        self._scheduler = runtime.scheduler
        self._lock = runtime.scheduler.lock()
        self._finder = finder
        self._username = username
        self._function = function
        self._is_running = False
        self._has_changed = False
        #: Whether a change could not be told: the directory was away.
        self._is_waiting = False
        self.is_over = False

    def note(self, user: User) -> None:
        """Take note of a change; must not block."""
        with self._lock:
            self._has_changed = True
            if self._is_running:
                return
            self._is_running = True
        self._scheduler.spawn(self._run)

    def go_on(self) -> None:
        """Tell a change that could not be told; must not block."""
        with self._lock:
            if not self._is_waiting or self._is_running:
                return
            self._has_changed = self._is_running = True
        self._scheduler.spawn(self._run)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._has_changed or self.is_over:
                    self._is_running = False
                    return
                self._has_changed = self._is_waiting = False
            try:
                peers = self._finder.find_for_certain(self._username)
                if peers is None:
                    # Peers of other nodes would be missing, as if they had gone offline.
                    self._is_waiting = True
                else:
                    self._function(peers)
            except BaseException:
                with self._lock:
                    self._is_running = False
                raise
