"""The handlers of presence: they answer ``subscribe``, ``unsubscribe`` and ``publish``."""

from __future__ import annotations

from functools import partial
from typing import Callable

from ...core.cluster.items import Engagement
from ...core.peers.directory import Directory
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.response import Response
from ...core.routing.registration import Next
from ...core.runtime import Runtime
from ..permission import Permission
from ..sending_peer import sending_peer
from .agent import Agent
from .cluster_agent import ClusterAgent
from .moves import pack_subscriptions, unpack_subscriptions
from .states import check_published


class PresenceHandlers:
    """The handlers of one ``presence()``; each app that shares it has an agent of its own.

    :param permission: to watch a user.
    :param max_subscriptions: how many users one peer may watch.
    :param now: returns the time in seconds since the epoch.
    """

    def __init__(
        self, permission: Permission, max_subscriptions: int, now: Callable[[], float]
    ) -> None:
        self._permission = permission
        self._max_subscriptions = max_subscriptions
        self._now = now
        #: The name in a cluster; given by :meth:`.Protoo.add_service`.
        self.service = ""

    def agent_of(self, peer: Peer) -> Agent:
        """Return the agent of the app that a peer belongs to."""
        if peer.directory.homes is None:
            return peer.runtime.service(self, self._make_agent)
        return peer.runtime.service(self, partial(self._make_cluster_agent, peer.directory))

    def _make_agent(self, runtime: Runtime) -> Agent:
        return Agent(runtime.scheduler, self._max_subscriptions, self._now)

    def _make_cluster_agent(self, directory: Directory[Peer], runtime: Runtime) -> Agent:
        return ClusterAgent(runtime.scheduler, self._max_subscriptions, directory, self.service)

    def _cluster_agent_of(self, peer: Peer) -> ClusterAgent:
        agent = self.agent_of(peer)
        assert isinstance(agent, ClusterAgent)
        return agent

    def note_online(self, peer: Peer) -> None:
        """Update the user of a peer that has come online."""
        self.agent_of(peer).note_online(peer)

    def note_offline(self, peer: Peer) -> None:
        """Update the user of a peer that has gone offline."""
        self.agent_of(peer).note_offline(peer)

    def subscribe(self, req: Request, next: Next) -> None:
        """Let a peer watch a user when the application allows it."""
        peer, username = sending_peer(req), req.params["username"]
        agent = self.agent_of(peer)
        allowed = False
        try:
            self._permission.demand(peer, username)
            allowed = True
        finally:
            # A refusal ends an older subscription; so does an error in allow().
            if not allowed:
                agent.unsubscribe(peer, username)
        # The time limit may have answered the request while allow() was blocking.
        if not req.ended:
            agent.subscribe(peer, username, req)

    def unsubscribe(self, req: Request, next: Next) -> None:
        """Let a peer no longer watch a user."""
        peer = sending_peer(req)
        self.agent_of(peer).unsubscribe(peer, req.params["username"])
        req.reply(200, "unsubscribed")

    def publish(self, req: Request, next: Next) -> None:
        """Publish the status and note of a peer's own user."""
        peer = sending_peer(req)
        self.agent_of(peer).publish(peer, check_published(req.data), req)

    # Across nodes: see HomeService and PortableService ----------------------------------------

    def pack(self, peer: Peer) -> bytes:
        """Return the subscriptions of a peer that has left this node, and drop them."""
        return pack_subscriptions(self._cluster_agent_of(peer).hand_over(peer))

    def unpack(self, peer: Peer, data: bytes) -> None:
        """Let a peer watch the users that it has watched at the node that it comes from."""
        self._cluster_agent_of(peer).take_over(peer, unpack_subscriptions(data))

    def handle_at_home(self, verb: str, req: Request) -> None:
        """Take what a former node of a peer passes on."""
        peer = sending_peer(req)
        self._cluster_agent_of(peer).take_request(verb, peer, req)

    def check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        """Return ``None``: presence sends no requests."""
        return None

    def home_lost(self, peer: Peer, key: str) -> None:
        """Do nothing: presence is at home nowhere."""
