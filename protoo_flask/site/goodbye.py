"""The goodbye: when the process ends, its clients are told, and come back to the next one."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from typing import Protocol

from ..core.close_codes import GOING_AWAY
from ..core.draining import Moments, write_reason
from ..core.errors import ServerStopped
from ..core.peers.peer import Peer
from ..transport.channel import Loop
from ..transport.connection import Connection

#: Seconds that the exit of the process waits for a hub in another thread: to leave a cluster
#: takes two of them at most.
TIMEOUT = 3.0


class Host(Protocol):
    """The owner of the clients: a site."""

    @property
    def loop(self) -> Loop | None:
        """The loop of the clients; ``None`` before the first one."""

    def local_peers(self) -> list[Peer]:
        """Return the peers of this process."""

    def leave_cluster(self) -> None:
        """Leave the cluster, if there is one; blocks for seconds at most."""


def say_goodbye_at_exit(host: Host) -> None:
    """Have the clients of a host told that the process ends, if the host still exists then."""
    weak = weakref.ref(host)
    process = os.getpid()

    def call() -> None:
        alive = weak()
        # A child that was forked inherits this call, and its parent goes on.
        if alive is not None and os.getpid() == process:
            _say_goodbye(alive)

    atexit.register(call)


def _say_goodbye(host: Host) -> None:
    loop = host.loop
    if loop is None or loop.is_gone():
        return
    if not loop.is_foreign():
        _leave(host)
        return
    # The hub runs in another thread, which ends with the process.
    done = loop.event()

    def leave() -> None:
        _leave(host)
        done.set()

    with contextlib.suppress(ServerStopped):
        loop.hand_over(leave)
        done.wait(TIMEOUT)


def _leave(host: Host) -> None:
    try:
        # First: what is still to be sent to the clients goes to other nodes, if there are some.
        host.leave_cluster()
    finally:
        _abandon_all(host)


def _abandon_all(host: Host) -> None:
    moments, peers = Moments(), host.local_peers()
    moments.squeeze(len(peers))
    for peer in peers:
        link = peer.link
        if isinstance(link, Connection):
            link.abandon(GOING_AWAY, write_reason(moments.take(0.0)))
            observer = peer.runtime.observer
            if observer is not None:
                observer.closed(peer, GOING_AWAY)  # there is no time for its end
