"""Places: where the devices of users are, as the directory of a cluster says.

The node that holds a connection owns its peer, and what it says is true. The directory says
which node that is. It is a hint: it may be a moment late.
"""

from __future__ import annotations

from typing import NamedTuple

#: Verdicts on a claim.
NEW = "new"
TAKEN = "taken"
FULL = "full"


class Place(NamedTuple):
    """One device of a user, and the node that owns it.

    :ivar node: the id of its owner.
    :ivar token: of its latest claim; only who holds it may change the entry.
    :ivar born: the token of the claim that was :data:`NEW`. Another one is another peer.
    :ivar online: whether it has a connection; ``False`` while it may come back.
    :ivar since: when its connection began, by the clock of the directory: seconds since the epoch.
    :ivar data: the JSON of ``peer.data``; empty for ``None``.
    """

    username: str
    uuid: str
    node: str
    token: int
    born: int
    online: bool
    since: float
    data: bytes = b""


class Presence(NamedTuple):
    """The presence fields of a user, as the directory keeps them.

    :ivar since: of the latest change of ``online`` or ``status``: seconds since the epoch, by the
        clock of the directory; ``None``: never seen.
    """

    status: str | None = None
    note: str | None = None
    since: float | None = None


class User(NamedTuple):
    """What the directory knows of a user: the devices, and the presence."""

    places: tuple[Place, ...] = ()
    presence: Presence = Presence()


class Telling(NamedTuple):
    """Events of a user that a node tells its site, and that others must not overtake.

    :ivar number: of that node alone.
    """

    node: str
    number: int


class Claim(NamedTuple):
    """The verdict on the claim of a device.

    :ivar verdict: :data:`NEW`: the device was not there. :data:`TAKEN`: it was, maybe on this
        node; ``former`` tells where. :data:`FULL`: the user has too many devices; nothing has
        changed.
    :ivar token: of the claim.
    :ivar born: as of :class:`Place`.
    :ivar is_first: whether no other device of the user was there: the user comes online.
    :ivar former: of a device that was there, its place before.
    :ivar gave_way: a device that was away, and has been taken off to make room. Its owner is told
        by the claimer.
    :ivar telling: of a device that was not there: events of the user that are older, and may not
        have been told yet.
    :ivar node: the id under which this node has made the claim.
    """

    verdict: str
    token: int = 0
    born: int = 0
    is_first: bool = False
    former: Place | None = None
    gave_way: Place | None = None
    telling: Telling | None = None
    node: str = ""


class Release(NamedTuple):
    """The outcome of a release.

    :ivar was_mine: whether the token was the right one, and the device is gone now.
    :ivar is_last: whether it was the last device of the user: the user goes offline.
    :ivar telling: as of :class:`Claim`.
    """

    was_mine: bool
    is_last: bool
    telling: Telling | None = None
