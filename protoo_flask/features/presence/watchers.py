"""Watchers: the peers that have subscribed to users (the subscriptions of RFC 3856)."""

from __future__ import annotations

from typing import TypeVar

from ...core.peers.peer import Peer

K = TypeVar("K")
V = TypeVar("V")


class Watchers:
    """Two indexes of the same subscriptions: ``{username: peers}`` and ``{peer: usernames}``.

    The second index finds the subscriptions of a peer without a search through all users.
    Neither index has an entry for a peer or a username without a subscription.
    """

    def __init__(self) -> None:
        self._peers: dict[str, set[Peer]] = {}
        self._usernames: dict[Peer, set[str]] = {}

    def __len__(self) -> int:
        return sum(len(usernames) for usernames in self._usernames.values())

    def of(self, username: str) -> list[Peer]:
        """Return the peers that watch a user."""
        return list(self._peers.get(username, ()))

    def watched_by(self, peer: Peer) -> frozenset[str]:
        """Return the users that a peer watches."""
        return frozenset(self._usernames.get(peer, ()))

    def add(self, peer: Peer, username: str) -> None:
        """Let a peer watch a user; a second time changes nothing."""
        self._peers.setdefault(username, set()).add(peer)
        self._usernames.setdefault(peer, set()).add(username)

    def remove(self, peer: Peer, username: str) -> None:
        """Let a peer no longer watch a user; it need not be a watcher."""
        _discard(self._peers, username, peer)
        _discard(self._usernames, peer, username)

    def forget(self, peer: Peer) -> None:
        """Remove all subscriptions of a peer."""
        for username in self._usernames.pop(peer, ()):
            _discard(self._peers, username, peer)


def _discard(sets: dict[K, set[V]], key: K, value: V) -> None:
    found = sets.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del sets[key]
