"""The watch over the parties of calls: they come and go at any node of a cluster.

Within one process the events "online" and "offline" tell. In a cluster each event is told at one
node, which need not be the home of the call. So the home watches the users of its calls, and
compares: a device that is there and was not before has come, a party that is not there any more has
gone. The events of this node come as well, and whichever comes second finds nothing to do.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, NamedTuple

from ...core.peers.homes import Homes
from ...core.peers.peer import OFFLINE, Peer


class Watch(NamedTuple):
    """The watch over one user.

    :ivar present: the devices that were there when last seen.
    :ivar calls: ids of the calls for which the user is watched.
    """

    see: Callable[[list[Peer]], None]
    present: list[Peer]
    calls: set[str]


class PartyWatch:
    """The users of the calls of one node; used while holding the lock of the calls.

    :param see: ``see(username, peers)`` is called without the lock, soon and after each change.
    """

    def __init__(self, homes: Homes, see: Callable[[str, list[Peer]], None]) -> None:
        self._homes = homes
        self._see = see
        self._watches: dict[str, Watch] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def begin(self, username: str, id: str, found: list[Peer]) -> None:
        """Watch a user for a call.

        :param found: devices of the user that are there, as the call has found them.
        """
        watch = self._watches.get(username)
        if watch is None:
            watch = Watch(partial(self._see, username), [], set())
            self._watches[username] = watch
            self._homes.watch(username, watch.see)
        watch.calls.add(id)
        watch.present.extend(peer for peer in found if peer not in watch.present)

    def end(self, username: str, id: str) -> None:
        """Watch a user no more for a call; nothing happens when it is watched for none."""
        watch = self._watches.get(username)
        if watch is None or id not in watch.calls:
            return
        watch.calls.remove(id)
        if not watch.calls:
            del self._watches[username]
            self._homes.unwatch(username, watch.see)

    def is_new(self, peer: Peer) -> bool:
        """Whether a device that has come online here was not seen; it has been from now on."""
        watch = self._watches.get(peer.username)
        if watch is None:
            return True
        if peer in watch.present:
            return False
        watch.present.append(peer)
        return True

    def take(self, username: str, peers: list[Peer]) -> tuple[list[Peer], list[str]]:
        """Compare who is there with who was.

        :returns: the devices that have come, and the calls for which the user is watched.
        """
        watch = self._watches.get(username)
        if watch is None:
            return [], []  # the calls have ended meanwhile
        came = [peer for peer in peers if peer not in watch.present]
        watch.present[:] = peers
        return came, list(watch.calls)


def has_gone(peer: Peer, peers: list[Peer]) -> bool:
    """Whether a party is offline, given the devices of its user that are there.

    Of a local one, its state tells: the directory may hear of it a moment later.
    """
    return peer.state is OFFLINE if peer.is_local else peer not in peers
