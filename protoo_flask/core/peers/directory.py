"""The directory: where peers are found, and where they come and go.

:class:`.local_directory.LocalDirectory` knows the peers of one process. A cluster has another
implementation of the same protocol, that knows the peers of all processes.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Protocol, TypeVar

from ..close_codes import POLICY_VIOLATION
from ..errors import NotAdmitted
from ..excerpts import excerpt
from ..link import Context, Link
from ..wire.dialect import Dialect

P = TypeVar("P")


class TooManyPeers(NotAdmitted):
    """The user has as many devices connected as ``PROTOO_MAX_PEERS_PER_USER`` allows."""

    def __init__(self, username: str, limit: int) -> None:
        super().__init__(
            POLICY_VIOLATION,
            f"{excerpt(username)} is connected from {limit} devices already, which is the limit",
        )


class Identity(NamedTuple):
    """The name of a peer: the site's account and the device, and data of the authorizer."""

    username: str
    uuid: str
    data: Any = None


class Directory(Protocol[P]):
    """Finds peers, and gives each its link."""

    def find(self, username: str | None = None, uuid: str | None = None) -> list[P]:
        """Return the peers of a user, of a device, of both, or all of them."""

    def get(self, username: str, uuid: str) -> P | None:
        """Return one peer, or ``None``."""

    def check_space(self, identity: Identity) -> None:
        """Check that this device may join the others of its user.

        :raises TooManyPeers: when it may not.
        """

    def claim(
        self,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None = None,
    ) -> P:
        """Give a peer its link: a new peer, or one that was away, or is taken over.

        The caller calls :meth:`tell` next.

        :param when_reachable: called when others find the peer, before the site is told.
            It must not block.
        :raises TooManyPeers: as :meth:`check_space`.
        """

    def tell(self, peer: P) -> None:
        """Tell the site the events of a peer's user. May block."""

    def link_closed(self, peer: P, link: Link, code: int) -> None:
        """Take note that a link has closed; ignored when another link took over. May block.

        :param code: of the client's Close frame; 1005 if that had none, 1006 without a Close.
        """

    def remove(self, peer: P, code: int, reason: str, only: Link | None = None) -> bool:
        """Close a peer's link and count it as offline; ``False`` when it was so already.

        :param only: the link that it must have; with another one, it stays.
        """

    def give_up(self, peer: P, mailbox: Any) -> None:
        """Remove a peer that is away, as its mailbox is full, unless it is back just now."""
