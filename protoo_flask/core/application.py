"""The application: the live state of one Flask app, and the parts of the core joined.

There is one per Flask app, made at its first connection. Text comes in through an
:class:`~.inbox.Inbox` and becomes requests, which :class:`~.handling.Handling` routes. A
:class:`~.peers.directory.Directory` finds the peers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from .arrivals import Arrival, Arrivals
from .close_codes import GOING_AWAY
from .events import EventQueues
from .handling import Framework, Handling
from .inbox import Inbox, SharedInbox
from .link import Context, Link
from .names import Name, to_name, to_name_or_none
from .observer import Observer
from .peers.directory import Directory, Identity
from .peers.local_directory import LocalDirectory
from .peers.peer import Peer
from .routing.router import Router
from .runtime import Limits, Runtime, TimeLimits
from .scheduling import Scheduler
from .wire.dialect import PROTOO, Dialect


class Application:
    """The live state of one Flask app.

    :param owner: becomes ``req.app``.
    :param make_directory: makes the directory; by default, one of this process.
    :param arrivals: handshakes in progress.
    :ivar events: those that the site is still to be told.
    :ivar directory: the peers that are there.
    :ivar router: that every request enters.
    """

    def __init__(
        self,
        owner: Any,
        router: Router,
        framework: Framework,
        scheduler: Scheduler,
        time_limits: TimeLimits,
        limits: Limits,
        *,
        first_id: Callable[[], int],
        observer: Observer | None = None,
        make_directory: Callable[[Runtime, EventQueues], Directory[Peer]] = LocalDirectory,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._owner = owner
        self.router = router
        # The router's method itself: calling the object would be a detour for each request.
        self._handling = Handling(router.__call__, framework)
        self.runtime = Runtime(
            scheduler,
            time_limits,
            limits,
            call_back=self._handling.call_back,
            time_out=self._handling.time_out,
            report_stuck=self._handling.report_stuck,
            fail=self._handling.fail,
            first_id=first_id,
            observer=observer,
            arrivals=arrivals,
            warn=lambda text, *args: framework.logger.warning(text, *args),
        )
        self.events = EventQueues(framework.tell, scheduler.lock())
        self.directory = make_directory(self.runtime, self.events)
        self.runtime.limit_rates()
        if observer is not None:
            observer.started(self)

    def connect(
        self,
        identity: Identity,
        link: Link,
        context: Context,
        when_reachable: Callable[[], None] | None = None,
        dialect: Dialect = PROTOO,
        arrival: Arrival | None = None,
        welcome: bool = False,
    ) -> Inbox:
        """Take a new link in: its peer comes online, or moves over to it.

        The caller calls ``open()`` of the inbox next, which tells the site.

        :param context: becomes ``peer.context``.
        :param when_reachable: called when others find the peer, before the site is told.
        :param arrival: of the handshake that the link comes from; by default, it comes now.
        :param welcome: whether the first message over the link tells the client who it is.
        :raises TooManyPeers: when the user has too many devices.
        :raises TurnedAway: when something has happened since the arrival that forbids it.
        """
        arrivals = self.runtime.arrivals
        if arrival is None:
            arrival = arrivals.begin()
        greeting = _write_welcome(identity, dialect) if welcome else None
        if greeting is not None:
            # Messages that have waited are sent next, so this is the moment.
            when_reachable = partial(_greet, link, greeting, when_reachable)
        try:
            peer = self.directory.let_in(arrival, identity, link, context, dialect, when_reachable)
        finally:
            arrivals.end(arrival)
        if greeting is not None and self.runtime.observer is not None:
            peer.outbound.observe(greeting)
        preempts = self.runtime.scheduler.preempts
        kind = SharedInbox if preempts or getattr(link, "spawn", None) else Inbox
        return kind(peer, link, dialect, self._handling, self._owner)

    def disconnect(self, username: Name, uuid: Name | None, code: int, reason: str) -> int:
        """Close the links of a user's devices; returns how many.

        Handshakes in progress are turned away, and not counted.

        :raises BadName: without a username, lest everybody be disconnected.
        """
        username = to_name(username, "disconnect(username)")
        uuid = to_name_or_none(uuid, "disconnect(username, uuid)")
        return self.directory.disconnect(username, uuid, code, reason)

    def is_told(self, peer: Peer) -> bool:
        """Whether functions of the site run for a peer beside its requests.

        Those that are told its events or responses.
        """
        if self.events.has(peer.username) or peer.has_errands:
            return True
        return peer in list(self._handling.running.values())

    @property
    def is_telling(self) -> bool:
        """Whether such functions run for anybody."""
        return bool(len(self.events) or self._handling.running)

    def close(self, reason: str = "shutting down") -> None:
        """Close every link, and turn every handshake in progress away."""
        self.runtime.arrivals.turn_away(None, None, GOING_AWAY, reason)
        self.runtime.scheduler.call(self.directory.close_links, GOING_AWAY, reason)


def _write_welcome(identity: Identity, dialect: Dialect) -> bytes:
    """Return the notification that tells a client its username and uuid.

    A script in a browser cannot read the headers of the handshake, and does not know a uuid
    that was made up here.
    """
    data = {"username": identity.username, "uuid": identity.uuid}
    return dialect.serialize_notification("welcome", data, None)


def _greet(link: Link, greeting: bytes, when_reachable: Callable[[], None] | None) -> None:
    if when_reachable is not None:
        when_reachable()
    link.outbox.send_text(greeting)
