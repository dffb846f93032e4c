"""The presence agent of one node of a cluster.

The directory of the cluster keeps the states of users. Each node has the subscriptions of its own
peers, and watches each user that one of them has subscribed to:

========================================  ================================================
something happens                         then
========================================  ================================================
the first peer here subscribes to a user  the state is read, and the user is watched
another one does                          it gets the state that was told last
the user changes, at whatever node        all peers here that watch the user are notified
the last one unsubscribes, or goes        the user is watched no longer
a peer moves to another node              its subscriptions go to the agent there, with the state
                                          of each user that the peer was told last
a request of such a peer is still here    it is passed on to the agent there
the directory cannot be reached           the latest state that is known here is answered, with
                                          ``doubt``; the true one follows as a notification
========================================  ================================================

Changes are level-triggered: of several that happen at the same time, the watchers may be told only
the latest.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Mapping, Sequence

from ...core.cluster.places import User
from ...core.cluster.protocol import Cluster, ClusterAway
from ...core.peers.directory import Directory
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.scheduling import Scheduler
from .agent import Agent
from .moves import Subscription, describe_subscriptions, restore_subscriptions
from .states import State, States


class Watched:
    """A user that is watched: the function that the directory calls at each change.

    Each time that a user begins to be watched has an object of its own. So a late call of an
    earlier one is told apart.

    :ivar is_known: whether the state of the user is known, and was told to all watchers.
    :ivar changes: how often the directory has told it.
    :ivar newcomers: peers that have just come from another node, with the state that they were
        told there; ``None``: an older one.
    """

    def __init__(self, username: str, note: Callable[[Watched, User], None]) -> None:
        self.username = username
        self.is_known = False
        self.changes = 0
        self.newcomers: dict[Peer, State | None] = {}
        self._note = note

    def __call__(self, user: User) -> None:
        self._note(self, user)


class ClusterAgent(Agent):
    """The presence of users, as the peers of one node see it; see the table above.

    :param directory: of the cluster.
    :param service: the name of presence in the cluster.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        max_subscriptions: int,
        directory: Directory[Peer],
        service: str,
    ) -> None:
        super().__init__(scheduler, max_subscriptions, scheduler.now)
        self._directory = directory
        self._service = service
        self._cluster: Cluster = directory.cluster
        self._watched: dict[str, Watched] = {}
        # Only those of watched users. The directory remembers who was seen when.
        self._states = States(sys.maxsize)

    # Requests ------------------------------------------------------------------------------

    def subscribe(self, peer: Peer, username: str, req: Request) -> None:
        """Let a peer watch a user, and answer the request with the state of the user. Blocks.

        :raises Reject: when the peer watches too many users.
        """
        state, doubt = self._find(username)
        with self._lock:
            self._check_limits(peer, username)
            watched = self._watch(username)
            if watched.is_known:
                state = self._states.get(username)
            elif doubt is None:
                watched.is_known = True
                self._states.put(state)
            req.reply(200, "subscribed", describe(state, doubt))
            watched.newcomers.pop(peer, None)
            self._watchers.add(peer, username)
            # It may have gone meanwhile: see Agent.subscribe().
            if not peer.is_listed:
                self._forget(peer)
            elif not peer.is_local:
                # It has moved meanwhile. The answer is on its way already.
                self._send_on(peer, "take over", describe_subscriptions(self._take_out(peer)))

    def unsubscribe(self, peer: Peer, username: str) -> None:
        """Let a peer no longer watch a user; it need not be subscribed."""
        with self._lock:
            self._watchers.remove(peer, username)
            self._unwatch(username)
            if not peer.is_local:
                self._send_on(peer, "unsubscribe", {"username": username})

    def publish(self, peer: Peer, published: Mapping[str, str | None], req: Request) -> None:
        """Change the published fields of a peer's user, and answer with the new state. Blocks."""
        username = peer.username
        before = self._count_changes(username)
        self._cluster.publish(username, dict(published))
        # Asked after that on the same way, so the answer has it.
        state, doubt = self._read(username)
        if doubt is not None:
            # The directory gets it later.
            state = State(**{**state._asdict(), **published})
        with self._lock:
            watched = self._watched.get(username)
            if watched is not None and doubt is None:
                if self._count_changes(username) == before:
                    self._take(watched, state)
                else:
                    # Another change was told meanwhile. This answer must not be an older one.
                    state = self._states.get(username)
            req.reply(200, "published", describe(state, doubt))

    # Peers ---------------------------------------------------------------------------------

    def note_online(self, peer: Peer) -> None:
        """Do nothing: the directory tells it."""

    def note_offline(self, peer: Peer) -> None:
        """Drop the subscriptions of a peer that has gone offline."""
        with self._lock:
            self._forget(peer)

    def hand_over(self, peer: Peer) -> list[Subscription]:
        """Drop the subscriptions of a peer that moves to another node, for :meth:`take_over`."""
        with self._lock:
            return self._take_out(peer)

    def _take_out(self, peer: Peer) -> list[Subscription]:
        usernames = sorted(self._watchers.watched_by(peer))
        subscriptions = [Subscription(name, self._told_state(peer, name)) for name in usernames]
        self._forget(peer)
        return subscriptions

    def take_over(self, peer: Peer, subscriptions: Sequence[Subscription]) -> None:
        """Let a peer that comes from another node watch the users that it has watched there."""
        with self._lock:
            for subscription in subscriptions:
                username, told = subscription
                watched = self._watch(username)
                self._watchers.add(peer, username)
                if not watched.is_known:
                    watched.newcomers[peer] = told
                elif told != self._states.get(username):
                    # One of the two nodes is behind.
                    known = self._states.get(username), watched.changes
                    self._scheduler.spawn(self._compare, peer, subscription, watched, known)

    def _compare(
        self, peer: Peer, subscription: Subscription, watched: Watched, known: tuple[State, int]
    ) -> None:
        """Tell a peer the state of a user, unless the peer was told it elsewhere. Blocks.

        :param known: the state that was known here, and ``watched.changes``.
        """
        username, told = subscription
        state, doubt = self._read(username)
        with self._lock:
            if self._watched.get(username) is not watched:
                return
            if doubt is None and watched.changes == known[1]:
                self._take(watched, state)
            # Of another state, all watchers have been told.
            state = self._states.get(username)
            if state == known[0] and state != told and peer in self._watchers.of(username):
                self._news.tell(username, [peer])

    def take_request(self, verb: str, peer: Peer, req: Request) -> None:
        """Take what another node passes on of a peer that has moved."""
        if not peer.is_local:
            self._send_on(peer, verb, req.data)  # it has moved once more
        elif verb == "unsubscribe":
            self.unsubscribe(peer, req.data["username"])
        else:
            self.take_over(peer, restore_subscriptions(req.data))
        req.reply(200, "taken")

    def _send_on(self, peer: Peer, verb: str, data: dict[str, Any]) -> None:
        homes, node = self._directory.homes, peer.outbound.node
        if homes is not None and node is not None:
            homes.ask(peer, node, self._service, verb, data, lambda response: None)

    def _forget(self, peer: Peer) -> None:
        usernames = self._watchers.watched_by(peer)
        self._watchers.forget(peer)
        for username in usernames:
            self._unwatch(username)

    def _told_state(self, peer: Peer, username: str) -> State | None:
        """Return the state that a peer was told; ``None`` if that is not sure."""
        watched = self._watched[username]
        if not watched.is_known or username in self._late or self._news.has_missed(peer, username):
            return None
        return self._states.get(username)

    def _send_news(self, username: str, peers: Sequence[Peer]) -> list[Peer]:
        without = super()._send_news(username, peers)
        for peer in without:
            # A watcher that has moved to another node: its "offline" is told there.
            if not peer.is_local and not peer.is_listed:
                self._forget(peer)
        return without

    # States --------------------------------------------------------------------------------

    def _find(self, username: str) -> tuple[State, str | None]:
        """Return the state of a user, and the reason for doubt. Blocks."""
        watched = self._watched.get(username)
        if watched is not None and watched.is_known:
            # Another peer here watches the user, so it is the latest one that is known here.
            return self._states.get(username), self._directory.doubt(username)
        return self._read(username)

    def _read(self, username: str) -> tuple[State, str | None]:
        doubt = self._directory.doubt(username)
        if doubt is None:
            try:
                return state_of(username, self._cluster.get_presence(username)), None
            except ClusterAway as away:
                doubt = str(away)
        known = self._states.get(username)
        devices = len(self._directory.find(username))
        return known._replace(online=devices > 0, devices=devices), doubt

    def _count_changes(self, username: str) -> int:
        watched = self._watched.get(username)
        return -1 if watched is None else watched.changes

    def _watch(self, username: str) -> Watched:
        watched = self._watched.get(username)
        if watched is None:
            watched = self._watched[username] = Watched(username, self._note)
            self._cluster.watch(username, watched)
        return watched

    def _unwatch(self, username: str) -> None:
        """Watch a user no longer, if no peer here does."""
        if self._watchers.of(username) or username not in self._watched:
            return
        self._cluster.unwatch(username, self._watched.pop(username))
        self._states.forget(username)
        self._late.discard(username)

    def _note(self, watched: Watched, user: User) -> None:
        """Take note of a change. Must not block."""
        with self._lock:
            if self._watched.get(watched.username) is watched:
                watched.changes += 1
                self._take(watched, state_of(watched.username, user))

    def _take(self, watched: Watched, state: State) -> None:
        """Store a state, and notify the watchers that were not told of it."""
        newcomers, watched.newcomers = watched.newcomers, {}
        if watched.is_known:
            self._store(state)
            return
        # The first one: the peers here have got a doubtful answer, or one at another node.
        watched.is_known = True
        self._states.put(state)
        watchers = self._watchers.of(watched.username)
        unaware = [peer for peer in watchers if newcomers.get(peer) != state]
        if unaware:
            self._news.tell(watched.username, unaware)


def state_of(username: str, user: User) -> State:
    """Return the state of a user that the directory knows."""
    presence = user.presence
    devices = len(user.places)
    if not devices:
        return State(username, since=presence.since)
    return State(username, True, devices, presence.status, presence.note, presence.since)


def describe(state: State, doubt: str | None) -> dict[str, Any]:
    """Return a state as clients get it, with the reason for doubt if there is one."""
    described = state._asdict()
    if doubt is not None:
        described["doubt"] = doubt
    return described
