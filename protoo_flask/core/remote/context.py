"""The contexts of a peer of another node: code of the site runs for it here, too.

An ``on_response`` of a request to such a peer runs in the contexts of the peer's handshake, as it
does in one process. The handshake is at the owner of the peer. It is fetched when the site's code
runs for the peer here for the first time.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, NamedTuple, Protocol

from ..link import Context
from ..scheduling import Scheduler

#: Seconds in which the owner has to send the handshake. Without it, code of the site runs in
#: contexts without the data of a request.
PATIENCE = 5.0


class Contexts(NamedTuple):
    """How the contexts of a handshake travel, as the framework of the site knows it.

    :ivar describe: returns the handshake of a context as bytes; empty: it has none.
    :ivar restore: makes a context of these; of empty ones, a context without a handshake.
    """

    describe: Callable[[Context], bytes]
    restore: Callable[[bytes], Context]


class Fetcher(Protocol):
    """Fetches handshakes; see :class:`.exchange.Exchange`."""

    def fetch_context(self, peer: Any, then: Callable[[bytes], Any]) -> None:
        """Call ``then(handshake)`` with the bytes of the peer's owner; empty without any."""


class RemoteContext:
    """The contexts of a peer of another node.

    :param peer: it refers to this.
    :param former: of the time when the peer was here; ``None``: it never was.
    """

    def __init__(
        self,
        peer: Any,
        scheduler: Scheduler,
        fetcher: Fetcher,
        contexts: Contexts,
        former: Context | None = None,
    ) -> None:
        self._peer = weakref.ref(peer)
        self._scheduler = scheduler
        self._fetcher = fetcher
        self._contexts = contexts
        self._former = former
        self._context: Context | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` as code of the site expects to be called. May block."""
        context = self._context
        if context is None:
            context = self._restore()
        context.run(function, *args)

    def _restore(self) -> Context:
        text = self._fetch()
        if text:
            # Of several threads, the last one wins. Their contexts are of the same handshake.
            self._context = context = self._contexts.restore(text)
            return context
        return self._former or self._contexts.restore(b"")

    def _fetch(self) -> bytes:
        peer = self._peer()
        if peer is None:
            return b""
        found: list[bytes] = []
        event = self._scheduler.event()

        def take(text: bytes) -> None:
            found.append(text)
            event.set()

        self._fetcher.fetch_context(peer, take)
        event.wait(PATIENCE)
        return found[0] if found else b""


class KeptContext(RemoteContext):
    """The contexts of a peer that was given to this node, and has not connected to it.

    :ivar text: the handshake, as the former owner has described it.
    """

    def __init__(self, peer: Any, scheduler: Scheduler, contexts: Contexts, text: bytes) -> None:
        self.text = text
        super().__init__(peer, scheduler, self, contexts)

    def fetch_context(self, peer: Any, then: Callable[[bytes], Any]) -> None:
        """Call ``then(handshake)``; see :class:`Fetcher`."""
        then(self.text)


class PeerContexts:
    """The contexts of all peers that other nodes know of, or have given to this one.

    :ivar framework: how the contexts travel.
    """

    def __init__(self, scheduler: Scheduler, fetcher: Fetcher, framework: Contexts) -> None:
        self.framework = framework
        self._scheduler = scheduler
        self._fetcher = fetcher

    def make(self, peer: Any, former: Context | None) -> Context:
        """Return the contexts of a peer of another node.

        :param former: of the time when the peer was here.
        """
        return RemoteContext(peer, self._scheduler, self._fetcher, self.framework, former)

    def keep(self, peer: Any, text: bytes) -> Context:
        """Return the contexts of a peer that was given to this node, with this handshake."""
        return KeptContext(peer, self._scheduler, self.framework, text)

    def describe(self, peer: Any) -> bytes:
        """Return the handshake of a peer of this node, as bytes."""
        context = peer.context
        if isinstance(context, KeptContext):
            return context.text
        return self.framework.describe(context)
