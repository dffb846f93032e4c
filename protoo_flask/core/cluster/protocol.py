"""The cluster's protocol: all that the core knows of it, and all that it knows of the core.

There are two implementations: ``protoo_flask.cluster`` on Redis, and one within a process, for
tests. One contract suite runs on both, and always drives two nodes.

============  ==========================================================================
a node is     then
============  ==========================================================================
up            everything works
settling      the directory is not complete: it was empty, and nodes claim their peers again; or
              this node has just joined. Absence is not believed: 503, not 404
away          the directory cannot be reached. Local peers go on with local peers; items to
              other nodes are lost at once (:meth:`ClusterHost.lost`)
============  ==========================================================================

Only :meth:`Cluster.claim`, :meth:`Cluster.find`, :meth:`Cluster.get_presence` and
:meth:`Cluster.take_home` block, and nobody may hold a lock meanwhile. The methods of a
:class:`ClusterHost` are called in a greenlet or thread of their own, one after the other, except
where it says otherwise.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Protocol, Sequence

from ..clustered_rate_limit import Spending, Spent
from ..errors import ProtooError
from .items import Item
from .places import Claim, Place, Release, Telling, User

UP = "up"
SETTLING = "settling"
AWAY = "away"

#: What the log says of an absence, with the reason.
AWAY_MESSAGE = "The cluster is away: %s"

#: Stands for all other nodes.
EVERY_NODE = ""

#: ``function(user)``: called with the user as it is now. Level-triggered: some changes in between
#: may be left out, the latest never is. Must not block.
Watcher = Callable[[User], Any]


class ClusterAway(ProtooError):
    """The directory cannot be reached, or is not complete; the text says why."""


class ClaimRefused(ProtooError):
    """The directory takes no more claims: it is full, or lacks a right; the text says why."""


class Traffic(NamedTuple):
    """The traffic of a node, since it was made.

    :ivar sent: frames that were given to the bus.
    :ivar received: frames of other nodes that have come.
    :ivar gaps: times that frames of a node were missing.
    """

    sent: int = 0
    received: int = 0
    gaps: int = 0


class Cluster(Protocol):
    """The cluster, from one node.

    :ivar node: the id of this node: random, made after the fork of its process, and a new one
        after others have taken it for dead.
    :ivar status: ``UP``, ``SETTLING`` or ``AWAY``.
    :ivar reason: for the status, if it is not ``UP``.
    :ivar traffic: of this node, for metrics.
    """

    @property
    def node(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def traffic(self) -> Traffic: ...

    def start(self, host: ClusterHost) -> None:
        """Join. Goes on trying in the background while the directory cannot be reached.

        Blocks until joined, but for two seconds at most.
        """

    def close(self) -> None:
        """Leave. The peers of this node are released, and forgotten by others at once.

        Blocks until that is done, but for two seconds at most.
        """

    # Devices -----------------------------------------------------------------------------

    def claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        """Become the owner of a device, which is then online. Blocks.

        :param data: becomes :attr:`Place.data`.
        :param limit: devices that the user may have.
        :raises ClusterAway: when the directory cannot be reached: the claim is made up later. The
            caller goes on without.
        :raises ClaimRefused: when it takes none.
        """

    def release(
        self,
        username: str,
        uuid: str,
        token: int,
        then: Callable[[Release | None], None],
        telling: int = 0,
    ) -> None:
        """Take a device off: its peer is offline. Never blocks.

        :param then: called with the outcome in a greenlet of its own; with ``None`` if the
            directory cannot be reached.
        :param telling: of :meth:`begin_telling`: the number of the events that the release leads
            to; 0: to none.
        """

    def begin_telling(self, username: str) -> int:
        """Return a number for events of a user, which others must not overtake. Never blocks.

        Those that come behind :meth:`release` in the directory are told so: ``Claim.telling``. A
        minute later, nobody is told any more.
        """

    def is_telling(self, number: int) -> bool:
        """Whether events have not been told yet. Never blocks."""

    def end_telling(self, number: int) -> None:
        """Take note that events have been told. Never blocks."""

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None = None
    ) -> None:
        """Say that a device has dropped, or is back at the same node. Never blocks.

        :param data: in place of :attr:`Place.data`, if it is given.
        """

    def give(
        self, username: str, uuid: str, token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        """Make another node the owner of a device that is away; its token stays. Never blocks.

        The other node says that it has taken it: :meth:`take`.

        :param then: called in a greenlet of its own: whether this node owned the device with this
            token. ``False`` also if the directory cannot be reached.
        """

    def take(self, username: str, uuid: str, token: int, born: int) -> None:
        """Take note that a device was given to this node. Never blocks."""

    def others(self) -> list[str]:
        """Return the other nodes that are alive, as far as is known. Never blocks."""

    def find(self, username: str | None) -> list[Place]:
        """Return the devices of a user, or of all users; those of this node, too. Blocks.

        Those of one user are in the order in which they came online.

        :raises ClusterAway:
        """

    def look(self, username: str) -> list[Place] | None:
        """Return what is known without a question; ``None``: nothing is. Never blocks.

        While the directory is away, what was last known.
        """

    def watch(self, username: str, function: Watcher) -> None:
        """Call ``function(user)`` soon, and after each change of the user.

        Several functions may watch a user, or one function several times. The place of a
        dead node is gone when its burial has released it.
        """

    def unwatch(self, username: str, function: Watcher) -> None:
        """Stop :meth:`watch`."""

    def get_presence(self, username: str) -> User:
        """Return what the directory knows of a user. Blocks.

        :raises ClusterAway:
        """

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        """Set presence fields of a user: status, note. Never blocks; a no-op if offline."""

    # Homes -------------------------------------------------------------------------------

    def take_home(self, kind: str, key: str) -> str:
        """Return the node at which a call or room is at home; this one, if it has none. Blocks.

        A home whose node is dead has none.

        :raises ClusterAway:
        :raises ClaimRefused:
        """

    def leave_home(self, kind: str, key: str) -> None:
        """Give a home up that this node has. Never blocks."""

    # Rates -------------------------------------------------------------------------------

    def spend(self, spending: Spending, then: Callable[[Spent | None], Any]) -> None:
        """Take from a bucket that all nodes share. Never blocks.

        A bucket that nobody has taken from is full. One from which more was taken than it has is
        in debt: by its capacity at most.

        :param then: called soon, and must not block; with ``None`` if the directory cannot be
            reached.
        """

    # The bus -----------------------------------------------------------------------------

    def send(self, node: str, item: Item) -> None:
        """Send an item to a node, or to all others (:data:`EVERY_NODE`). Never blocks.

        Items to one node arrive in the order of sending. Those that certainly do not arrive
        come back by :meth:`ClusterHost.lost`, but for Answers: an asker that has gone misses none.
        An item to this node itself is received soon.
        """

    def probe(self, node: str) -> None:
        """Find out whether another node listens: :meth:`ClusterHost.probed`. Never blocks.

        A node that is dead may seem to listen for a while. One that does not listen has ended, or
        has lost its connection just now.
        """


class ClusterHost(Protocol):
    """A node, from the cluster: the app in this process."""

    def receive(self, node: str, item: Any) -> None:
        """Take an item of another node. Called in order for each node; must not block."""

    def lost(self, node: str, items: Sequence[Any]) -> None:
        """Take note that items did not arrive at a node."""

    def probed(self, node: str, is_heard: bool) -> None:
        """Take note that a probe was heard; or that it, or an item, has reached nobody."""

    def may_have_lost(self, node: str) -> None:
        """Take note that items of, or to, a node may have been lost: compare what is open."""

    def node_gone(self, node: str) -> None:
        """Take note that a node is dead, or has left. Comes once, before its peers are released."""

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        """Tell the site that a peer of a dead node is offline.

        Called at exactly one node for each peer.

        :param is_last: whether it was the last device of its user.
        :param telling: as of :meth:`Cluster.release`.
        :param before: as of :attr:`.places.Release.telling`.
        """

    def fenced(self, former: str) -> None:
        """Take note that others have taken this node for dead, and it has another id now.

        ``Cluster.node`` is new; :meth:`claims` is asked next. The local peers go on.

        :param former: the id before.
        """

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        """Return the local peers, to be claimed again: ``(username, uuid, data, age, online)``.

        May be called at the same time as another method; must not block.

        :returns: with the age of each link in seconds; a younger link wins.
        """

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        """Take the outcome of such a claim.

        :param claim: ``None``: a younger link elsewhere has won, and this peer is to go without
            an event (3000).
        """

    def status_changed(self) -> None:
        """Take note of a new status."""
