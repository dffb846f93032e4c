"""A link: one connection to a client, as the core sees it.

The transport implements :class:`Link` and calls the verbs of an
:class:`~.inbox.Inbox`; the core does the opposite. The order of the calls is part of the
contract and stands in :mod:`.inbox`.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Protocol, Tuple

#: Text messages; each request with the id of its client transaction, others with ``None``.
Unsent = List[Tuple[bytes, Optional[int]]]


class Outbox(Protocol):
    """The writing end of a link.

    :ivar is_blocked: whether messages wait because the client reads slowly.
    """

    is_blocked: bool

    def send_text(self, payload: bytes, id: int | None = None) -> bool:
        """Send a text message; never blocks.

        :param id: of the client transaction, if it is a request. The transport makes no
            use of it, and gives it back with the message in :meth:`Link.take_unsent`.
        :returns: ``False`` when the message was not taken: the link is closing, or it has
            just been closed because the client reads too slowly.
        """

    def admits(self, sender: str, size: int) -> bool:
        """Whether the message of another user has room; asked just before it is sent.

        To be asked when the outbox is blocked; see :mod:`.transactions.shares`.

        :param sender: the username.
        :param size: bytes of the message.
        """

    @property
    def size(self) -> int:
        """Bytes that are kept: those that wait for a slow reader, when it is blocked."""

    @property
    def undelivered(self) -> int:
        """Bytes that have not arrived at the other side; 0 only if everything has."""


class Link(Protocol):
    """One connection to a client. No method blocks.

    A link that has a thread or greenlet of its own has one method more, ``spawn(function, *args)``,
    which runs a chain there, and never blocks.
    """

    @property
    def outbox(self) -> Outbox:
        """The writing end, by which messages are sent."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake. Messages that wait are sent first.

        The transport calls :meth:`.inbox.Inbox.drop`: requests that wait are not handled.
        """

    def retire(self, code: int, reason: str) -> None:
        """Start the closing handshake, and keep unsent messages for :meth:`take_unsent`."""

    def fail(self, code: int, reason: str) -> bool:
        """Close because of an error, and read nothing more; ``False`` if it was not open."""

    def take_unsent(self) -> Unsent:
        """Give back the messages that it took and has not sent, in order, once.

        For a link that was retired, has failed, or has ended.
        """

    def pause_reading(self) -> None:
        """Read nothing more: the inbox is full. Calling it twice does no harm."""

    def resume_reading(self) -> None:
        """Read again. Harmless when reading was not paused, or the link has ended."""


class Context(Protocol):
    """The surroundings in which the site's code runs: for us, the Flask contexts of a handshake."""

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` as code of the site expects to be called."""
