"""The presence agent: keeps the states of users, and notifies their watchers."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from ...core.peers.directory import Directory
from ...core.peers.peer import Peer, tell_about
from ...core.request import Request
from ...core.scheduling import Scheduler, Timer, call_later_if_alive
from ..limits import refuse
from ..missed_news import MissedNews
from .pace import Pace
from .states import State, States
from .watchers import Watchers, size_of_subscription

#: Bytes that each subscription of a peer may take on average. The longest names have room if
#: they are ASCII, and others of 37 characters: but not a thousand of the longest of these.
SIZE_PER_SUBSCRIPTION = 800


class Agent:
    """The presence of the users of one app, and the subscriptions to it.

    Everything happens under one lock, sending included, which never blocks. So a watcher
    gets notifications in the order of the changes, and the answer to its ``subscribe``
    before any notification of a newer change.

    The number of devices is read from the directory, not counted from events. An event may
    be told late, because a listener before this one may block, and the user may be back by
    then. The last event about a user is told after the last change in the directory, so
    the last notification is true in the end.

    A user whose state changes too often is *late*: the watchers are told its latest state as
    soon as the pace of notifications allows it (:mod:`.pace`).

    :param max_subscriptions: how many users one peer may watch.
    :param now: returns the time in seconds since the epoch.
    """

    def __init__(
        self, scheduler: Scheduler, max_subscriptions: int, now: Callable[[], float]
    ) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._max_subscriptions = max_subscriptions
        self._now = now
        self._states = States()
        self._watchers = Watchers()
        self._pace = Pace()
        #: The users that are late.
        self._late: set[str] = set()
        #: Runs while there are some.
        self._timer: Timer | None = None
        #: The users of whom watchers have missed the latest state, as they read too slowly.
        self._news: MissedNews[str] = MissedNews(scheduler, self._lock, self._send_news)

    def subscribe(self, peer: Peer, username: str, req: Request) -> None:
        """Let a peer watch a user, and answer the request with the state of the user.

        :raises Reject: when the peer watches too many users.
        """
        with self._lock:
            self._check_limits(peer, username)
            state = self._update(peer.directory, username)
            req.reply(200, "subscribed", state._asdict())
            self._watchers.add(peer, username)
            # The subscriber may be leaving in another thread, or may have left while
            # allow() was blocking. A leaving peer is removed from the directory first, and
            # its "offline" is told next. If the peer is still listed here, that event is
            # still to come, and forget() will remove this subscription. If it is not,
            # forget() may have run already, and nothing else would remove it.
            if not peer.is_listed:
                self._watchers.forget(peer)

    def unsubscribe(self, peer: Peer, username: str) -> None:
        """Let a peer no longer watch a user; it need not be subscribed."""
        with self._lock:
            self._watchers.remove(peer, username)

    def publish(self, peer: Peer, published: Mapping[str, str | None], req: Request) -> None:
        """Change the published fields of a peer's user, and answer with the new state."""
        with self._lock:
            state = self._update(peer.directory, peer.username)
            # An offline user publishes nothing: the last device left during its request.
            if state.online:
                state = self._store(state.with_published(published, self._now()))
            req.reply(200, "published", state._asdict())

    def note_online(self, peer: Peer) -> None:
        """Update the user of a peer that has come online."""
        with self._lock:
            self._update(peer.directory, peer.username)

    def note_offline(self, peer: Peer) -> None:
        """Update the user of a peer that has gone offline, and drop its subscriptions."""
        with self._lock:
            self._watchers.forget(peer)
            self._update(peer.directory, peer.username)

    def _update(self, directory: Directory[Peer], username: str) -> State:
        """Count the devices of a user again, and return the state of the user."""
        devices = len(directory.find(username))
        return self._store(self._states.get(username).with_devices(devices, self._now()))

    def _check_limits(self, peer: Peer, username: str) -> None:
        watched = self._watchers.watched_by(peer)
        if username in watched:
            return
        if len(watched) >= self._max_subscriptions:
            reason = f"you watch {len(watched)} users already, which is the limit"
            raise refuse("subscriptions", peer, 429, reason)
        size = self._watchers.size_of(peer) + size_of_subscription(username)
        if size > self._max_subscriptions * SIZE_PER_SUBSCRIPTION and watched:
            reason = f"you watch {len(watched)} users already, with very long names"
            raise refuse("subscriptions", peer, 429, reason)

    def _store(self, state: State) -> State:
        """Store a state; if it differs from the stored one, notify the watchers."""
        if state != self._states.get(state.username):
            self._states.put(state)
            if state.username not in self._late:
                self._notify(state)
        return state

    def _notify(self, state: State) -> float:
        """Notify the watchers of a user, now or later; returns the seconds until then."""
        username = state.username
        watchers = self._watchers.of(username)
        if not watchers:
            return 0
        wait = self._pace.take(username, len(watchers), self._scheduler.now())
        if not wait:
            self._news.tell(username, list(watchers))
            return 0
        self._late.add(username)
        if self._timer is None:
            self._start_timer(wait)
        return wait

    def _send_news(self, username: str, peers: Sequence[Peer]) -> list[Peer]:
        """Send the state of a user to watchers; returns those without room for it."""
        watchers = set(self._watchers.of(username))
        data = self._states.get(username)._asdict()
        about = {"username": username}
        return tell_about(about, [peer for peer in peers if peer in watchers], "presence", data)

    def _start_timer(self, seconds: float) -> None:
        self._timer = call_later_if_alive(self._scheduler, seconds, self._catch_up)

    def _catch_up(self) -> None:
        """Notify the watchers of the users that are late, where the pace allows it by now."""
        with self._lock:
            late, self._late = self._late, set()
            # _notify() must not start it: it takes the time of one user.
            waits = [self._notify(self._states.get(username)) for username in late]
            remaining = [wait for wait in waits if wait]
            self._timer = None
            if remaining:
                self._start_timer(min(remaining))
