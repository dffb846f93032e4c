"""Visits: the requests of peers of other nodes to calls and rooms that are at home here.

The requests of one device are handled one after the other, in the order in which they were
forwarded. Their middleware has run where the device is, and that node does not wait: so what waits
here for a slow handler is bounded.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Protocol

from ..cluster.items import Answer, ToHome
from ..events import EventQueues, SiteEvent
from ..exits import is_contained
from ..peers.homes import HomeService
from ..peers.peer import Peer
from ..request import ReceivedRequest
from ..response import Response
from ..runtime import Runtime
from ..transactions.outbound import TOO_MUCH
from ..transactions.shares import RETRY_AFTER, SharedShares
from ..wire.messages import parse_data, serialize_data
from .exchange import Exchange

#: Bytes of the requests of one device that wait, and what each takes besides its texts. As much as
#: a device may leave open at its own node (``open_requests.MAX_OPEN``).
MAX_VISITS = 4 * 1024 * 1024
VISIT_SIZE = 1000


class Visitors(Protocol):
    """Finds the peers that requests come from; see :class:`.ClusterDirectory`."""

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return the peer of a device. May block."""

    def born(self, peer: Peer) -> int:
        """Return ``Place.born`` of a peer; 0: not known, -1: it is another one by now."""


class Visit(NamedTuple):
    """A request that another node has forwarded, and the node.

    :ivar size: bytes that it takes.
    """

    node: str
    item: ToHome
    size: int


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
        self._exchange.foreign.answer_visit(
            self._node, self._number, Response(status, reason, data)
        )

    def wait_longer(self, request: Any) -> None:
        """Wait for the answer without a time limit; the node of the peer does so already."""
        if request is not None:
            self._unanswered.remove(request)


class Visits:
    """The requests of other nodes that wait, or are being handled, ``{device: requests}``.

    :param services: ``{name: middleware}``.
    :param owner: becomes ``req.app`` of the requests.
    """

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        visitors: Visitors,
        services: Mapping[str, HomeService],
        owner: Any,
    ) -> None:
        self._exchange = exchange
        self._runtime = runtime
        self._visitors = visitors
        self._services = services
        self._owner = owner
        self._queues = EventQueues(self._handle, runtime.scheduler.lock())
        #: The bytes of the requests of each device.
        self._sizes = SharedShares(runtime.scheduler)
        exchange.on_item(ToHome, self._take)

    def __len__(self) -> int:
        return len(self._queues) + len(self._sizes)

    def _take(self, node: str, item: ToHome) -> None:
        device = _name_queue(item)
        size = len(item.data) + len(item.params) + VISIT_SIZE
        waiting = self._sizes.of(device)
        if waiting and waiting + size > MAX_VISITS:
            self._runtime.limited("visits", None, TOO_MUCH, item.username)
            if item.ask:
                data = serialize_data({"retryAfter": RETRY_AFTER})
                answer = Answer(item.ask, 503, TOO_MUCH, data, is_local=True)
                self._exchange.send_answer(node, answer)
            return
        self._sizes.add(device, size)
        if item.ask:
            self._exchange.foreign.visits.add((node, item.ask))
        self._queues.post(device, SiteEvent(item.verb, Visit(node, item, size)))
        self._runtime.scheduler.spawn(self._queues.drain, device)

    def _handle(self, event: SiteEvent) -> None:
        """Have a service handle a request. May block."""
        node, item, size = event.subject
        responder = HomeResponder(self._exchange, self._runtime, node, item.ask)
        try:
            self._answer(item, responder)
        except Exception:
            # Of another version of the site, or a defect: nobody else answers.
            responder.respond(None, 500, "internal server error", {})
            raise
        finally:
            self._sizes.remove(_name_queue(item), size)

    def _answer(self, item: ToHome, responder: HomeResponder) -> None:
        service = self._services.get(item.service)
        peer = self._visitors.get(item.username, item.uuid)
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
            # As of any handler: the request is answered, whatever ends its code.
            self._runtime.fail(request, error)
            if not is_contained(error):
                raise

    def _is_of(self, peer: Peer, item: ToHome) -> bool:
        """Whether it is this peer that has sent a request, and not an earlier one of the device."""
        born = self._visitors.born(peer)
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


def _name_queue(item: ToHome) -> str:
    """Return a name for the device of a request, which no other device has."""
    return serialize_data([item.username, item.uuid]).decode()
