"""The directory: where peers are found, and where they come and go.

:class:`.local_directory.LocalDirectory` knows the peers of one process. A cluster has another
implementation of the same protocol, that knows the peers of all processes.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Protocol, TypeVar

from ..arrivals import Arrival
from ..close_codes import POLICY_VIOLATION, TRY_AGAIN_LATER
from ..errors import NotAdmitted
from ..excerpts import excerpt
from ..link import Context, Link
from ..wire.dialect import Dialect

P = TypeVar("P")


class NoPlace(NotAdmitted):
    """There is no place for one more device of the user, for now.

    :ivar retry_after: seconds after which there may be one; ``None``: when dead connections of
        the user have been noticed.
    :ivar limit: its name; see :meth:`~protoo_flask.core.observer.Observer.limited`.
    """

    limit = "devices"
    status = 429
    retry_after: float | None = None


class NotClaimed(NotAdmitted):
    """The directory of the cluster takes no more devices, for now; the reason says why."""

    status = 503

    def __init__(self, reason: str) -> None:
        super().__init__(TRY_AGAIN_LATER, reason)


class TooManyEvents(NoPlace):
    """The site has to be told of many arrivals and departures of the user first.

    A listener of the site blocks, and the user's devices come and go all the time.

    :ivar is_news: whether this is the first refusal since the site could follow.
    """

    limit = "events"
    retry_after = 5.0

    def __init__(self, username: str, is_news: bool) -> None:
        self.is_news = is_news
        super().__init__(
            POLICY_VIOLATION,
            f"{excerpt(username)} has come and gone too often for the site to follow",
        )


class TooManyPeers(NoPlace):
    """The user has as many devices as ``PROTOO_MAX_PEERS_PER_USER`` allows.

    :param departed: the number of those that have gone, and left requests that are being handled.
    """

    def __init__(self, username: str, limit: int, departed: int = 0) -> None:
        name = excerpt(username)
        reason = f"{name} is connected from {limit} devices already, which is the limit"
        if departed:
            reason = (
                f"{name} has {limit} devices already, which is the limit, with {departed} "
                "that have left while their requests were being handled"
            )
        super().__init__(POLICY_VIOLATION, reason)


class Identity(NamedTuple):
    """The name of a peer: the site's account and the device, and data of the authorizer."""

    username: str
    uuid: str
    data: Any = None


class Directory(Protocol[P]):
    """Finds peers, and gives each its link.

    In a cluster, :meth:`find`, :meth:`get`, :meth:`check_space`, :meth:`let_in` and
    :meth:`disconnect` may block: nobody holds a lock while calling them.

    :ivar homes: the homes of calls and rooms, in a cluster; a
        :class:`~protoo_flask.core.peers.homes.Homes`.
    :ivar cluster: in a cluster, a :class:`~protoo_flask.core.cluster.protocol.Cluster`.
    """

    homes: Any
    cluster: Any

    def find(self, username: str | None = None, uuid: str | None = None) -> list[P]:
        """Return the peers of a user, of a device, of both, or all of them.

        While a cluster cannot be asked: the local ones, and those last known.
        """

    def find_local(self) -> list[P]:
        """Return the peers of this process."""

    def get(self, username: str, uuid: str) -> P | None:
        """Return one peer, or ``None``."""

    def doubt(self, username: str) -> str | None:
        """Return why the absence of a user is not to be believed; ``None``: it is."""

    def lists(self, peer: P) -> bool:
        """Whether a peer is there, and its "offline" is still to be told. Never blocks."""

    def refresh(self, peer: P) -> None:
        """Take note of what is known about a peer of another node. Never blocks."""

    def follow(self, peer: P) -> None:
        """Have the functions called that ``peer.on()`` was given. Never blocks."""

    def renew(self, peer: P, data: Any) -> None:
        """Change ``peer.data``.

        :raises UsageError: in a cluster, when other nodes cannot read it.
        """

    def check_space(self, identity: Identity) -> None:
        """Check that this device may join the others of its user.

        For a handshake that is not accepted yet.

        :raises NoPlace: when it may not.
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
        :raises TooManyPeers: when the user has too many devices.
        """

    def let_in(
        self,
        arrival: Arrival,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None = None,
    ) -> P:
        """Let a handshake connect: check it, and :meth:`claim` its peer.

        :raises TurnedAway: when something that has happened since its arrival forbids it.
        :raises TooManyPeers: when the user has too many devices.
        :raises NotClaimed: when the cluster takes no more.
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

    def turn_away(self, username: str, uuid: str | None, code: int, reason: str) -> None:
        """Turn away the handshakes of a user that are in progress, in all processes."""

    def disconnect(self, username: str, uuid: str | None, code: int, reason: str) -> int:
        """Turn away handshakes, and close the links of a user's devices; returns how many."""

    def remove_all(self, username: str | None, uuid: str | None, code: int, reason: str) -> int:
        """Remove the peers of this process, of a user or all; returns how many."""

    def close_links(self, code: int, reason: str) -> None:
        """Close the links of all peers of this process, which ends.

        The peers are offline; in a cluster, they are away, if another node can wait for them.
        """

    @property
    def heirs(self) -> int:
        """How many other processes can take the clients of this one, as far as is known."""

    @property
    def can_give(self) -> bool:
        """Whether these also take over everything that the peers have here."""

    def send_away(self, peer: P, code: int, reason: str) -> None:
        """Close the link of one peer of this process, which ends. Never blocks.

        The peer is away, if there is a grace period; otherwise it is offline.
        """

    def is_waited_for(self, peer: P) -> bool:
        """Whether a peer of this process is away, and its grace period has begun."""

    def start(self) -> None:
        """Join the cluster, if there is one. Blocks."""

    def close(self) -> None:
        """Leave the cluster. Other nodes wait for the peers that are away. Blocks."""
