"""Watchers: the peers that have subscribed to users (the subscriptions of RFC 3856)."""

from __future__ import annotations

from typing import TypeVar

from ...core.peers.peer import Peer

#: Bytes that a subscription takes besides the name of the user, if no other peer watches it.
SUBSCRIPTION_SIZE = 500

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
        #: {peer: bytes that its subscriptions take}
        self._sizes: dict[Peer, int] = {}

    def __len__(self) -> int:
        return sum(len(usernames) for usernames in self._usernames.values())

    def of(self, username: str) -> list[Peer]:
        """Return the peers that watch a user."""
        return list(self._peers.get(username, ()))

    def watched_by(self, peer: Peer) -> frozenset[str]:
        """Return the users that a peer watches."""
        return frozenset(self._usernames.get(peer, ()))

    def size_of(self, peer: Peer) -> int:
        """Return the bytes of memory that the subscriptions of a peer take."""
        return self._sizes.get(peer, 0)

    def add(self, peer: Peer, username: str) -> None:
        """Let a peer watch a user; a second time changes nothing."""
        if username in self._usernames.get(peer, ()):
            return
        self._sizes[peer] = self._sizes.get(peer, 0) + size_of_subscription(username)
        self._peers.setdefault(username, set()).add(peer)
        self._usernames.setdefault(peer, set()).add(username)

    def remove(self, peer: Peer, username: str) -> None:
        """Let a peer no longer watch a user; it need not be a watcher."""
        if username not in self._usernames.get(peer, ()):
            return
        self._sizes[peer] -= size_of_subscription(username)
        if not self._sizes[peer]:
            del self._sizes[peer]
        _discard(self._peers, username, peer)
        _discard(self._usernames, peer, username)

    def forget(self, peer: Peer) -> None:
        """Remove all subscriptions of a peer."""
        self._sizes.pop(peer, None)
        for username in self._usernames.pop(peer, ()):
            _discard(self._peers, username, peer)


def size_of_subscription(username: str) -> int:
    """Return the bytes of memory that a subscription takes, rounded up."""
    # A character beyond Latin-1 makes each take four bytes, and the text in UTF-8 may be kept
    # as well, in the string itself: so sys.getsizeof() would not always say the same.
    return SUBSCRIPTION_SIZE + (1 if username.isascii() else 8) * len(username)


def _discard(sets: dict[K, set[V]], key: K, value: V) -> None:
    found = sets.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del sets[key]
