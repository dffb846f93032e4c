"""Presence: who is online, told to those who may know."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

from ...core.errors import Reject, UsageError
from ...core.functions import check_function
from ...core.peers.directory import Directory
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...core.runtime import Runtime
from ...core.scheduling import Scheduler
from ...extension import Protoo
from .states import State, States, check_published
from .watchers import Watchers

Allow = Callable[[Peer, str], Any]

#: Users that one peer may watch: more than a list of contacts has, and it bounds what an
#: untrusted client can make the server keep (names of up to 4096 characters).
MAX_SUBSCRIPTIONS = 1000


def presence(
    protoo: Protoo,
    allow: Allow,
    *,
    max_subscriptions: int = MAX_SUBSCRIPTIONS,
    now: Callable[[], float] = time.time,
) -> Router:
    """Return a router that tells peers who is online, and what they say of themselves.

    ::

        def may_watch(peer, username):
            return username in friends_of(peer.username)

        protoo.use("/presence", presence(protoo, may_watch))

    ==============================  ====================================================
    ``subscribe`` to ``/bob``       200 with Bob's state as data; from then on a
                                    notification ``presence`` with it at every change
    ``unsubscribe`` to ``/bob``     200, also when not subscribed
    ``publish`` to ``/``            sets one's own ``status`` and ``note`` while online;
                                    200 with the new state
    ==============================  ====================================================

    The state is ``{"username", "online", "devices", "status", "note", "since"}``; see
    :class:`~protoo_flask.features.presence.states.State`.

    :param allow: ``fn(peer, username)``, whether the peer may watch that user; it may
        raise :class:`~protoo_flask.Reject`, too. Asked at every ``subscribe``: one that
        is refused (403) ends a subscription that had been allowed. The username is
        untrusted, and need not be that of anybody.
    :param max_subscriptions: how many users a peer may watch.
    :param now: the time in seconds since the epoch.
    """
    if not callable(allow):
        raise UsageError(
            "presence(protoo, allow) takes a function allow(peer, username) that returns whether "
            "the peer may watch that user: lambda peer, username: True lets everybody watch "
            f"everybody; got {allow!r}"
        )
    check_function(allow, "fn(peer, username)")
    if isinstance(max_subscriptions, bool) or not (
        isinstance(max_subscriptions, int) and max_subscriptions > 0
    ):
        raise UsageError(
            "presence(max_subscriptions=...) takes how many users a peer may watch, "
            f"an integer of at least 1, not {max_subscriptions!r}"
        )
    # Several apps may share this router; a user who is online in one of them is not in the
    # others.
    key = object()

    def agent_of(peer: Peer) -> _Agent:
        return peer.runtime.service(key, make_agent)

    def make_agent(runtime: Runtime) -> _Agent:
        return _Agent(runtime.scheduler, max_subscriptions, now)

    def subscribe(req: Request, next: Next) -> None:
        peer, username = _peer_of(req), req.params["username"]
        agent = agent_of(peer)
        allowed = False
        try:
            allowed = allow(peer, username)
        finally:
            if not allowed:
                agent.unsubscribe(peer, username)
        if not allowed:
            raise Reject(403, "you may not watch this user")
        if not req.ended:  # by the time limit, while allow() was looking things up
            agent.subscribe(peer, username, req)

    def unsubscribe(req: Request, next: Next) -> None:
        peer = _peer_of(req)
        agent_of(peer).unsubscribe(peer, req.params["username"])
        req.reply(200, "unsubscribed")

    def publish(req: Request, next: Next) -> None:
        peer = _peer_of(req)
        agent_of(peer).publish(peer, check_published(req.data), req)

    protoo.on("online", lambda peer: agent_of(peer).take_note(peer))
    protoo.on("offline", lambda peer: agent_of(peer).forget(peer))
    router = Router()
    router.method("subscribe", "/:username", subscribe)
    router.method("unsubscribe", "/:username", unsubscribe)
    router.method("publish", "/", publish)
    return router


class _Agent:
    """The presence of the users of one app, and who is told of it.

    Everything happens while holding a lock, sending included, which never blocks: a
    watcher must not be told first what happened last, nor get the answer to its
    ``subscribe`` after a notification of something newer.

    How many devices there are is asked of the directory, not counted by events: an event
    may be told late (a listener before ours may block), when the user has come back
    already. The last event about a user comes after the last change in the directory, so
    what was told last is true in the end.
    """

    def __init__(
        self, scheduler: Scheduler, max_subscriptions: int, now: Callable[[], float]
    ) -> None:
        self._lock = scheduler.lock()
        self._max_subscriptions = max_subscriptions
        self._now = now
        self._states = States()
        self._watchers = Watchers()

    def subscribe(self, peer: Peer, username: str, req: Request) -> None:
        with self._lock:
            watched = self._watchers.watched_by(peer)
            if username not in watched and len(watched) >= self._max_subscriptions:
                raise Reject(403, f"you watch {len(watched)} users already, which is the limit")
            state = self._look_at(peer.directory, username)
            req.reply(200, "subscribed", state._asdict())
            self._watchers.add(peer, username)
            # The subscriber may be leaving in another thread, or may have left while
            # allow() was blocking. A peer is taken off the directory first, and "offline"
            # is told next. If it is still listed now, that event is still to come, and
            # forget() will find what has been added; if not, forget() may have been
            # here already, and nobody else would ever remove it.
            if not peer.is_listed:
                self._watchers.forget(peer)

    def unsubscribe(self, peer: Peer, username: str) -> None:
        with self._lock:
            self._watchers.remove(peer, username)

    def publish(self, peer: Peer, published: Mapping[str, str | None], req: Request) -> None:
        with self._lock:
            state = self._look_at(peer.directory, peer.username)
            if state.online:  # else the last device left with its request under way
                state = self._become(state.with_published(published, self._now()))
            req.reply(200, "published", state._asdict())

    def take_note(self, peer: Peer) -> None:
        """Look at the user of a peer that has come or gone."""
        with self._lock:
            self._look_at(peer.directory, peer.username)

    def forget(self, peer: Peer) -> None:
        """Take note of a peer that has gone, and watches nobody any longer."""
        with self._lock:
            self._watchers.forget(peer)
            self._look_at(peer.directory, peer.username)

    def _look_at(self, directory: Directory[Peer], username: str) -> State:
        """Return the state of a user now; if it has changed, the watchers are told."""
        devices = len(directory.find(username))
        return self._become(self._states.get(username).with_devices(devices, self._now()))

    def _become(self, state: State) -> State:
        if state != self._states.get(state.username):
            self._states.put(state)
            broadcast(self._watchers.of(state.username), "presence", state._asdict())
        return state


def _peer_of(req: Request) -> Peer:
    assert req.peer is not None  # only a request to be sent has none
    return req.peer
