"""Departures: the members of rooms that go offline at another node.

A node is told "offline" of its own peers only. So the home of a room watches the users of its
members, also those that are connected here: they may move to another node.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from ...core.peers.homes import Homes
from ...core.peers.peer import Peer


class Departures:
    """The members of the rooms of one node: ``{username: peers}``.

    :param note_gone: called with each that has gone, once or more often.
    """

    def __init__(self, homes: Homes, note_gone: Callable[[Peer], Any]) -> None:
        self._homes = homes
        self._note_gone = note_gone
        self._peers: dict[str, set[Peer]] = {}
        #: The functions that watch: unwatch() needs the same ones.
        self._watchers: dict[str, Callable[[list[Peer]], None]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def watch(self, peer: Peer) -> None:
        """Watch a peer; a second time changes nothing. The lock of the rooms is held."""
        username = peer.username
        peers = self._peers.setdefault(username, set())
        peers.add(peer)
        if username not in self._watchers:
            watcher = self._watchers[username] = partial(self._compare, username)
            self._homes.watch(username, watcher)

    def unwatch(self, peer: Peer) -> None:
        """Watch a peer no longer. The lock of the rooms is held."""
        username = peer.username
        peers = self._peers.get(username)
        if peers is None:
            return
        peers.discard(peer)
        if not peers:
            del self._peers[username]
            self._homes.unwatch(username, self._watchers.pop(username))

    def check(self, peer: Peer) -> None:
        """Look whether a peer has gone before it was watched. Blocks; no lock is held."""
        # Its request may have arrived later than the news of its departure.
        directory = peer.directory
        if not has_gone(peer, directory.find(peer.username, peer.uuid)):
            return
        if directory.doubt(peer.username) is None:
            self._note_gone(peer)

    def _compare(self, username: str, there: list[Peer]) -> None:
        for peer in list(self._peers.get(username, ())):
            if has_gone(peer, there):
                self._note_gone(peer)


def has_gone(peer: Peer, there: list[Peer]) -> bool:
    """Whether a peer is offline.

    :param there: the devices of its user.
    """
    # The directory may hear late of a device that has just come here.
    return peer not in there and not (peer.is_local and peer.is_listed)
