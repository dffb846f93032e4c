"""The drain: the end of a site's service in this process, in good order.

==========  ===========================================  ==========  ===============================
state       event                                        next state  action
==========  ===========================================  ==========  ===============================
serving     ``protoo.drain()``, the server ends          draining    handshakes are refused, and
                                                                     those in progress turned away
draining    a look: clients are due                      draining    these are closed
draining    no client is left, or the deadline           closing     the rest is closed
closing     clients have finished the closing            over        this process leaves its cluster
            handshake, listeners of the site have
            returned, and in a cluster clients are
            back elsewhere and calls that are at home
            here have ended; or the deadline
draining,   drained once more                            (same)      the earlier deadline counts
closing
==========  ===========================================  ==========  ===============================

:mod:`..core.draining` decides which clients are due. Requests that come by a connection are handled
until the connection is closed, as ever. A request that a client sends while its connection is
being closed is not handled at all, so that nothing is done twice: the client repeats it.

A drain never blocks its caller, which may be a handler that is drained, or a signal handler.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol

from gevent import monkey

from ..core.application import Application
from ..core.arrivals import Arrivals
from ..core.close_codes import GOING_AWAY
from ..core.draining import (
    RATE,
    REASON,
    TICK,
    DrainPlan,
    count_stranded,
    find_state,
    write_reason,
)
from ..core.errors import ServerStopped
from ..core.peers.directory import Directory
from ..core.peers.homes import EngagingService
from ..core.peers.peer import Peer
from ..transport.channel import Loop
from ..transport.closing_links import ClosingLinks
from .service import Service

if TYPE_CHECKING:
    from flask import Flask

#: Seconds between two looks for a successor.
LOOK_INTERVAL = 1.0

#: Seconds that clients have to finish the closing handshake, beyond the deadline if need be. When
#: the process ends earlier, the kernel may reset a connection, whose client may not read the Close.
CLOSING_TIME = 1.0

#: Peers that are closed between two turns of other greenlets.
AT_ONCE = 50

_start_thread: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")


class Host(Protocol):
    """The site that is drained."""

    app: Flask
    arrivals: Arrivals
    service: Service | None

    @property
    def services(self) -> Mapping[str, Any]:
        """The middleware that have calls or rooms."""

    def end_service(self, for_good: bool) -> None:
        """Take no more clients, and leave the cluster. May block."""


def is_timeout(value: Any) -> bool:
    """Whether a value is a number of seconds, 0 or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _nobody() -> bool:
    return False


class _InForkedChild(Exception):
    """Ends the copy of a drain in a forked child."""


class Drain:
    """One drain of a site. Its methods may be called anywhere, also in a signal handler.

    :param seconds: until the deadline.
    :param has_successor: see :class:`..transport.server_ends.Ending`; asked beside the cluster.
    :param for_good: whether no client may ever come to this process again.
    """

    def __init__(
        self,
        host: Host,
        seconds: float,
        has_successor: Callable[[], bool] = _nobody,
        for_good: bool = True,
    ) -> None:
        self._host = host
        self._has_successor = has_successor
        self._for_good = for_good
        self._now = time.monotonic if host.service is None else host.service.loop.now
        self._process = os.getpid()
        self._deadline = self._now() + seconds
        self._is_over = False
        self._is_succeeded = False
        #: When the successor is looked for again.
        self._next_look = self._now()
        self._sent_away: list[Peer] = []
        #: ``{(username, uuid): requests that nobody can answer here any more}``
        self._stranded: dict[tuple[str, str], int] = {}
        self._waiters: list[Any] = []

    # For code of the site ------------------------------------------------------------------

    def __repr__(self) -> str:
        left = max(self._deadline - self._now(), 0.0)
        return "<Drain over>" if self.is_over else f"<Drain with {left:.1f} s left>"

    @property
    def is_over(self) -> bool:
        """Whether all clients are closed, and this process has left its cluster."""
        return self._is_over or self._is_of_parent

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; tells whether it is. Not for a handler, which is waited for.

        :param timeout: seconds.
        """
        if self.is_over:
            return True
        service = self._host.service
        # The loop of the drain, which may be in another thread.
        done = threading.Event() if service is None else service.loop.event()
        self._waiters.append(done)
        if not self._is_over:  # it may have ended just now
            with contextlib.suppress(ServerStopped):  # the thread that drains has ended
                done.wait(timeout)
        return self.is_over

    def hurry(self, seconds: float) -> None:
        """Let the deadline be in so many seconds, if that is earlier."""
        self._deadline = min(self._deadline, self._now() + seconds)

    # Its course --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin, in a greenlet or thread of its own. Takes no lock, and does not block."""
        service = self._host.service
        if service is None or service.loop.is_gone():
            self._finish()  # no client has come, or all have gone with their thread
        elif service.loop.preempts:
            # Not by the loop: threading.Thread takes a lock, which the code may hold that a signal
            # handler has interrupted.
            _start_thread(self._run, (service,))
        else:
            service.loop.spawn(self._run, service)

    def _run(self, service: Service) -> None:
        try:
            self._host.arrivals.turn_away(None, None, GOING_AWAY, REASON)
            self._close_clients(service.application, service.loop)
            self._await_ends(service.application, service.loop, service.closing_links)
        except _InForkedChild:
            pass
        except Exception:
            self._host.app.logger.exception("the clients are not drained in good order")
        finally:
            if not self._is_of_parent:
                self._finish()

    @property
    def _is_of_parent(self) -> bool:
        """Whether this is the copy of a forked child, whose parent drains its clients."""
        return os.getpid() != self._process

    def _pause(self, loop: Loop, seconds: float) -> None:
        loop.event().wait(seconds)
        if self._is_of_parent:
            raise _InForkedChild

    def _close_clients(self, application: Application, loop: Loop) -> None:
        directory = application.directory
        plan = DrainPlan(
            [peer for peer in directory.find_local() if peer.link is not None],
            self._deadline,
            lambda peer: self._find_state(application, peer),
        )
        while len(plan):
            self._look_for_successor(directory, self._now())
            plan.moments.rate = RATE * max(1, directory.heirs)
            plan.deadline = self._deadline
            # Where they move, requests are not stranded.
            self._stranded = {} if directory.can_give else count_stranded(self._sent_away, plan)
            due = plan.take_due(self._now(), self._is_succeeded)
            for number, (peer, retry_after) in enumerate(due):
                loop.call(directory.send_away, peer, GOING_AWAY, write_reason(retry_after))
                self._sent_away.append(peer)
                if number % AT_ONCE == AT_ONCE - 1:
                    self._pause(loop, 0)
            if len(plan):
                self._pause(loop, min(TICK, max(0.0, self._deadline - self._now())))

    def _look_for_successor(self, directory: Directory[Peer], now: float) -> None:
        if directory.heirs:
            self._is_succeeded = True
        elif now >= self._next_look and now < self._deadline:
            self._is_succeeded, self._next_look = self._has_successor(), now + LOOK_INTERVAL

    def _find_state(self, application: Application, peer: Peer) -> str:
        return find_state(
            peer,
            application.directory.can_give,
            application.is_told,
            self._is_engaged,
            self._stranded.get((peer.username, peer.uuid), 0),
        )

    def _is_engaged(self, peer: Peer) -> bool:
        return any(
            service.is_engaged(peer)
            for service in self._host.services.values()
            if isinstance(service, EngagingService)
        )

    def _await_ends(self, application: Application, loop: Loop, links: ClosingLinks) -> None:
        """Wait for what the closes have led to."""
        end = self._now() + CLOSING_TIME
        while self._now() < max(end, self._deadline):
            are_closing = len(links) and self._now() < end
            if not are_closing and not application.is_telling and not self._is_home(application):
                return
            self._pause(loop, TICK / 4)

    def _is_home(self, application: Application) -> bool:
        """Whether other processes of a cluster still need this one."""
        directory = application.directory
        if directory.cluster is None or self._now() >= self._deadline:
            return False
        # A client that comes back is handed over at once, with everything. What is given away at
        # the end goes to any process, even to one that is about to end, too.
        # The answers to requests that were relayed here go through this process.
        self._sent_away = [
            peer
            for peer in self._sent_away
            if directory.is_waited_for(peer) or peer.requests.are_left
        ]
        if self._sent_away:
            self._look_for_successor(directory, self._now())
            if self._is_succeeded:
                return True
        return any(
            service.goes_on(application.runtime)
            for service in self._host.services.values()
            if isinstance(service, EngagingService)
        )

    def _finish(self) -> None:
        try:
            self._host.end_service(self._for_good)
        except Exception:
            self._host.app.logger.exception("the site has not been closed in good order")
        finally:
            self._is_over = True
            for waiter in list(self._waiters):
                waiter.set()
