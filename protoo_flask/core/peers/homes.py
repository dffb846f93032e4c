"""Homes: the node of a cluster at which a call or a room is.

A call or room runs on one node, under one lock, whatever nodes its peers are connected to: the
peers of other nodes are remote ones there. A request of a peer to a call or room goes through the
middleware of the site where the peer is, and is then forwarded to the home.
"""

from __future__ import annotations

from typing import Any, Callable, Protocol, runtime_checkable

from ..cluster.items import Engagement
from ..errors import Reject
from ..response import Response
from .peer import Peer


class HomeUnknown(Reject):
    """The cluster cannot tell just now where a call or room is at home: 503."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason)


class HomeService(Protocol):
    """A middleware with homes: that of calls, or of rooms.

    The methods are called for one app; ``peer.runtime`` tells which.
    """

    def handle_at_home(self, verb: str, request: Any) -> None:
        """Handle a request that another node has forwarded. May block.

        Code of the site runs by ``peer.context.run()``; nothing has entered it yet.

        :param verb: what :meth:`Homes.forward` was given.
        :param request: a received Request, with ``params`` and all; ``request.peer`` is remote.
        """

    def check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        """Look at a request of another node before it is sent to a local peer. Must not block.

        Nobody holds a lock of the core meanwhile.

        :returns: the answer to it, if it is not to be sent: 486, or 491 for glare.
        """

    def home_lost(self, peer: Peer, key: str) -> None:
        """Tell a local peer that the node of its call or room is gone. Must not block.

        Also called for everything that local peers are in when others have taken this node for
        dead: for them, it was the node that was gone.
        """


@runtime_checkable
class PortableService(Protocol):
    """A middleware that keeps something for the peers of its node, such as subscriptions.

    It moves along with a peer whose device connects to another node.
    """

    def pack(self, peer: Peer) -> bytes:
        """Return what is kept for a peer that has just left this node, and forget it.

        Also called for one that nothing moves along with, as it is offline. Must not block, and
        is called without a lock of the core.

        :returns: empty for nothing.
        """

    def unpack(self, peer: Peer, data: bytes) -> None:
        """Take in what was packed at the node that a local peer comes from. Must not block."""


@runtime_checkable
class EngagingService(Protocol):
    """A middleware with something that a server which ends should not interrupt, such as calls."""

    def is_engaged(self, peer: Peer) -> bool:
        """Whether a local peer is in something of that kind. Must not block."""

    def goes_on(self, runtime: Any) -> bool:
        """Whether something of that kind is at home at this node of a cluster. Must not block."""


class EngagedRequest(Protocol):
    """A request of another node to a local peer, in a call or room at home there.

    :ivar engagement: as the other node has sent it.
    """

    @property
    def engagement(self) -> Engagement | None: ...

    def finish(self, status: int, reason: str) -> None:
        """Answer it in the place of the peer, with a response that is local."""


class Homes(Protocol):
    """The homes, from one node.

    :ivar node: the id of this node.
    """

    @property
    def node(self) -> str: ...

    def is_here(self, node: str) -> bool:
        """Whether a node is this one, now or before it was taken for dead."""

    def is_alive(self, node: str) -> bool:
        """Whether another node may be reached, as far as is known."""

    def knows(self, node: str) -> bool:
        """Whether there is such a node, as far as is known: clients make ids up.

        One that has just joined is known a few seconds later.
        """

    def take(self, service: str, key: str) -> str:
        """Return the node at which something is at home; this one, if it has none. Blocks.

        :raises HomeUnknown: when the cluster cannot tell.
        """

    def leave(self, service: str, key: str) -> None:
        """Give a home up that this node has. Never blocks."""

    def forward(
        self,
        request: Any,
        home: str,
        service: str,
        verb: str,
        then: Callable[[Response], Any] | None = None,
    ) -> None:
        """Have a received request handled at its home; its answers come from there.

        Never blocks. The time limit of handlers applies there, and not here (``keep_open()``); when
        the home is lost, the answer is 503.

        :param then: called with each response, in place of answering the request with it. Must not
            block.
        """

    def ask(
        self,
        peer: Peer,
        home: str,
        service: str,
        verb: str,
        data: dict[str, Any],
        then: Callable[[Response], Any],
    ) -> None:
        """Ask a home something on behalf of a peer: as :meth:`forward`, without a request."""

    def engage(self, peer: Peer, service: str, key: str) -> None:
        """Tell the owner of a remote peer that it is in something at home here.

        Of a local peer, too: it may move to another node. Never blocks.
        """

    def disengage(self, peer: Peer, service: str, key: str) -> None:
        """Tell it that the peer is so no longer. Never blocks."""

    def engagements(self, peer: Peer, service: str) -> dict[str, str]:
        """Return ``{key: home}`` of a local peer."""

    def unanswered(self, peer: Peer, service: str) -> list[EngagedRequest]:
        """Return the requests of other nodes that a local peer has not answered.

        Those with an engagement of this service. Never blocks.
        """

    def watch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        """Call ``function(peers)`` soon, and after each change of a user's devices.

        Called with all devices of the user, local and remote ones, those that are away included,
        in a greenlet of its own. A peer that is not among them any more is offline.
        """

    def unwatch(self, username: str, function: Callable[[list[Peer]], Any]) -> None:
        """Stop :meth:`watch`; the same function, as ``==`` tells."""
