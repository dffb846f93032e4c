"""The homes of calls and rooms, from one node; implements :class:`~..peers.homes.Homes`.

=====================  ======================================================================
part                   content
=====================  ======================================================================
this module            requests of local peers to homes elsewhere
:mod:`.visits`         requests of peers of other nodes to homes here
:mod:`.engagements`    the calls and rooms of each peer
:mod:`.user_watches`   the users that homes here watch
=====================  ======================================================================
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping, Protocol, Sequence

from ..cluster.items import Engagement, ToHome
from ..cluster.protocol import AWAY, ClaimRefused, ClusterAway
from ..peers.homes import EngagedRequest, HomeService, HomeUnknown, PortableService
from ..peers.peer import Peer
from ..request import answer
from ..response import Response
from ..runtime import Runtime
from ..wire.messages import serialize_data
from .asks import AskOfNode
from .engagements import Engagements, Owners
from .exchange import Exchange
from .forwarded_ask import ForwardedAsk
from .user_watches import CertainFinder, UserWatches
from .visits import Visitors, Visits

#: The reason of a 503.
UNREACHABLE = "the server of this call or room cannot be reached"


class Finder(Visitors, Owners, CertainFinder, Protocol):
    """Finds peers; see :class:`.cluster_directory.ClusterDirectory`."""


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
        self._finder = finder
        self._services = services
        self._engagements = Engagements(exchange, runtime.scheduler, finder, self._lose_home)
        self._visits = Visits(exchange, runtime, finder, services, owner)
        self._watches = UserWatches(exchange.cluster, runtime.scheduler, finder)
        exchange.check_arrival = self._check_arrival

    @property
    def tables(self) -> dict[str, Any]:
        """The tables that are empty when every peer has gone."""
        return {
            **self._engagements.tables,
            "visits": self._visits,
            "watches": self._watches.table,
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

    def _check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        service = self._services.get(engagement.service)
        return None if service is None else service.check_arrival(peer, engagement)

    # Peers that are in something ----------------------------------------------------------

    def engage(self, peer: Peer, service: str, key: str) -> None:
        self._engagements.engage(peer, service, key)

    def disengage(self, peer: Peer, service: str, key: str) -> None:
        self._engagements.disengage(peer, service, key)

    def engagements(self, peer: Peer, service: str) -> dict[str, str]:
        return self._engagements.of(peer, service)

    def unanswered(self, peer: Peer, service: str) -> list[EngagedRequest]:
        found: list[EngagedRequest] = []
        for half in peer.outbound.unanswered:
            # Those of this node are not meant, though the peer may have brought them along.
            if isinstance(half, ForwardedAsk) and not self._exchange.is_own(half.asker):
                engagement = half.engagement
                if engagement is not None and engagement.service == service:
                    found.append(half)
        return found

    # Peers that move -----------------------------------------------------------------------

    def moved(self, peer: Peer) -> None:
        """Tell the new owner of a peer what it is in."""
        self._engagements.tell_new_owner(peer)

    def take_engagements(self, peer: Peer) -> list[tuple[str, str, str]]:
        """Return ``(service, key, home)`` of a local peer that moves to another node."""
        return self._engagements.take(peer)

    def bring_engagements(self, peer: Peer, found: Sequence[tuple[str, str, str]]) -> None:
        """Take note of those of a peer that has moved here."""
        self._engagements.bring(peer, found)

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

    # Nodes and peers that go -----------------------------------------------------------------

    def node_gone(self, node: str) -> None:
        """Tell local peers whose calls or rooms were at home at a node."""
        for peer, service, key in self._engagements.find_homed_at(node):
            self._engagements.note(peer, service, key, node, False)
            self._lose_home(peer, service, key)

    def fenced(self, former: str) -> None:
        """Tell local peers whatever they are in: others have taken this node for dead.

        They take its homes for lost. And its peers are offline for homes elsewhere.
        """
        for peer in self._engagements.list_engaged():
            for service, key, _ in self._engagements.take(peer):
                self._lose_home(peer, service, key)
        # And what is at home here without a local peer in it.
        for peer, service, key in self._engagements.find_guests():
            if not peer.is_local:
                self._lose_home(peer, service, key)

    def _lose_home(self, peer: Peer, service: str, key: str) -> None:
        found = self._services.get(service)
        if found is not None:
            found.home_lost(peer, key)

    def forget(self, peer: Peer) -> None:
        """Forget what a local peer is in: it is offline."""
        self._engagements.take(peer)

    # Users that change -------------------------------------------------------------------------

    def watch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        self._watches.add(username, function)

    def unwatch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        self._watches.remove(username, function)

    def status_changed(self) -> None:
        """Go on telling of users, if the directory can tell now."""
        self._watches.status_changed()

    def go_on_watching(self, username: str) -> None:
        """Tell the watches of a user what could not be told for certain before."""
        self._watches.go_on(username)
