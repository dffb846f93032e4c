"""Items: the messages between the nodes of a cluster.

A frame of the bus has the items that one node sends another in one round. They arrive in the order
of sending, or not at all. The payload of a message to a client is its text without an id: the
owner of the client puts the id in, and parses nothing.

==========  ================  ===========================================================
item        sent to           meaning
==========  ================  ===========================================================
Ask         a peer's owner    send this request to the peer
Answer      the asker         a response to an Ask or a ToHome, provisional or final
Cancel      the owner         the asker waits no longer
Moved       the asker         the peer of an Ask is not here: ask once more, elsewhere
Tell        a peer's owner    send this notification to some of your peers
Close       an owner, all     close the links of a user, or of one device
HandOver    the former owner  a device has connected to the sender: give up its peer
Estate      the new owner     what a device leaves behind at its former owner
Done        the new owner     a handler of the former owner has answered a request
Inherited   the asker         your Asks of that peer are at its new owner now
ToHome      a home            handle this request of a peer, in a call or room at home there
Engage      a peer's owner    the peer is in a call or room at home here, or no longer
GetTold     a teller          answer when you have told the site these events of a user
Flush       a peer's owner    pass this on behind all that you pass on to the new owner
Flushed     the sender        your earlier messages to that peer have arrived
GetContext  a peer's owner    tell the handshake of the peer: the site's code runs for it here
Sync        any node          frames were lost: which of these Asks do you still know?
==========  ================  ===========================================================
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import msgspec

#: Username and uuid.
Device = Tuple[str, str]


class Engaged(NamedTuple):
    """A peer that is in a call or room at home at another node, as its owner believes.

    :ivar born: as of :class:`Ask`.
    """

    username: str
    uuid: str
    service: str
    key: str
    born: int


class Item(msgspec.Struct, array_like=True, gc=False):
    """The base class of all items."""


class Engagement(Item):
    """The call or room that a request belongs to.

    :ivar service: the name of the middleware.
    :ivar key: of the call or room.
    :ivar data: for the service at the peer's owner; JSON.
    """

    service: str
    key: str
    data: bytes = b""


class Ask(Item, tag=1):
    """Send a request to a peer.

    :ivar ask: a number, unique for the asker's node.
    :ivar payload: the text, without an id.
    :ivar sender: the user in whose share it counts; ``None``: the site.
    :ivar kind: see ``core.transactions.client``: ``OF_SITE`` and others.
    :ivar born: of the peer's :class:`~.places.Place`: a device that was offline meanwhile is
        another peer. 0: unknown.
    """

    ask: int
    username: str
    uuid: str
    payload: bytes
    sender: Optional[str]
    kind: str
    engagement: Optional[Engagement] = None
    born: int = 0


class Answer(Item, tag=2):
    """A response.

    :ivar data: JSON, of an object; empty for ``{}``.
    :ivar is_local: whether the server has made it.
    """

    ask: int
    status: int
    reason: str
    data: bytes = b""
    is_local: bool = False


class Cancel(Item, tag=3):
    ask: int


class Moved(Item, tag=4):
    ask: int


class Tell(Item, tag=5):
    """Send a notification to peers.

    :ivar sender: as of :class:`Ask`.
    :ivar news: the service and the subject of news, if it is some: an owner that has no room for
        it sends it later, unless newer news on that subject have come.
    :ivar born: of each of the peers, as of :class:`Ask`; may be missing.
    """

    to: List[Device]
    payload: bytes
    sender: Optional[str]
    news: Optional[Tuple[str, str]] = None
    born: List[int] = []


class Close(Item, tag=6):
    """Close the links of a user.

    :ivar uuid: ``None``: all devices.
    :ivar turns_away: whether handshakes in progress are turned away, too.
    :ivar born: of a peer, as of :class:`Ask`.
    """

    username: str
    uuid: Optional[str]
    code: int
    reason: str
    turns_away: bool = False
    born: int = 0


class HandOver(Item, tag=7):
    """Give up a peer: its device has connected to the sender.

    :ivar token: of the former owner's claim.
    :ivar new_token: of the sender's.
    :ivar dialect: that the device speaks now, as its sub-protocol. In another one than before, its
        peer is a new one.
    :ivar gave_way: whether the device was taken off to make room for another one; it has
        not connected anywhere, and there is no answer.
    """

    username: str
    uuid: str
    token: int
    new_token: int = 0
    dialect: str = ""
    gave_way: bool = False


class WaitingMessage(Item):
    """A message that waits.

    :ivar id: of a request. Its text is that of the :class:`Half` with this id, and empty here.
    """

    payload: bytes
    id: Optional[int] = None


class Half(Item):
    """The owner's half of a transaction.

    :ivar id: on the wire.
    :ivar asker: the node that asks, and the number of the Ask there.
    :ivar payload: the text with its id.
    :ivar engagement: as of :class:`Ask`.
    """

    id: int
    asker: str
    ask: int
    payload: bytes
    sender: Optional[Dict[str, str]]
    kind: str
    engagement: Optional[Engagement] = None


class Remembered(Item):
    """A request that was answered; the text of the answer is empty when it is forgotten.

    :ivar first: the first provisional response; empty when there was none, or it is forgotten. A
        node of an earlier version neither sends nor reads it.
    """

    id: int
    fingerprint: int
    payload: bytes
    first: bytes = b""


class InProgress(Item):
    """A request that is being handled.

    :ivar repetition: the provisional responses that a repetition of it gets.
    :ivar node: whose handlers answer it; by ``Done``.
    """

    id: int
    fingerprint: int
    repetition: List[bytes]
    node: str


class Heir(Item):
    """What a node has to know that keeps a peer until its device is back.

    :ivar born: of its :class:`~.places.Place`.
    :ivar data: the JSON of ``peer.data``.
    :ivar context: its handshake, as data.
    :ivar seconds_left: of the grace period.
    """

    born: int
    data: bytes
    context: bytes
    seconds_left: float


class Estate(Item, tag=8):
    """What a device leaves behind at its former owner.

    :ivar is_known: ``False``: the former owner knows nothing of it, or too much would have to be
        kept; the peer is a new one.
    :ivar token: of the claim that the new owner answers for: that of the HandOver, or that of an
        heir, which keeps it.
    :ivar waiting: what no link has sent, in the order of sending; requests among it.
    :ivar halves: the requests that are not answered, in the order of sending.
    :ivar answers: oldest first.
    :ivar engagements: ``[service, key, home]``.
    :ivar is_told: of an unknown one: whether the former owner has told that it is offline. It could
        not say so to the directory.
    :ivar telling: the number of events of the user that the former owner still tells its site;
        0: there are none.
    :ivar is_away: whether the site was told "disconnect", or is going to be. The directory may not
        say so yet.
    :ivar heir: for a node that has not asked for it: the former owner leaves the cluster.
    :ivar services: ``{name: data}``: what services have kept for the peer; see
        :class:`..peers.homes.PortableService`.
    """

    username: str
    uuid: str
    token: int
    is_known: bool
    waiting: List[WaitingMessage] = []
    halves: List[Half] = []
    answers: List[Remembered] = []
    requests: List[InProgress] = []
    engagements: List[Tuple[str, str, str]] = []
    heir: Optional[Heir] = None
    services: Dict[str, bytes] = {}
    is_told: bool = False
    telling: int = 0
    is_away: bool = False


class Done(Item, tag=9):
    """A response of a handler of the former owner.

    :ivar payload: the text, with its id.
    """

    username: str
    uuid: str
    id: int
    fingerprint: int
    status: int
    payload: bytes


class ToHome(Item, tag=10):
    """Handle a request of a peer.

    :ivar ask: the number under which the answers are awaited; 0 for a notification.
    :ivar service: the name of the middleware.
    :ivar verb: the function of the service.
    :ivar path: original path, base path and path of the request.
    :ivar params: JSON.
    :ivar data: JSON.
    :ivar born: of the peer, see :class:`.places.Place`: a later one of the same device has not sent
        it. 0: not known.
    """

    ask: int
    service: str
    verb: str
    username: str
    uuid: str
    method: str
    path: Tuple[str, str, str]
    params: bytes
    data: bytes
    born: int = 0


class Engage(Item, tag=11):
    """Take note that a peer is in a call or room of the sender, or no longer.

    :ivar home: in place of the sender, of an item that was passed on.
    :ivar born: as of :class:`Ask`.
    """

    username: str
    uuid: str
    service: str
    key: str
    is_in: bool
    home: Optional[str] = None
    born: int = 0


class GetTold(Item, tag=12):
    """Answer when these events have been told; see :class:`.places.Telling`."""

    ask: int
    number: int


class AwaitedRequest(NamedTuple):
    """A request of a client that handlers of another node answer: its peer has moved since."""

    username: str
    uuid: str
    id: int
    fingerprint: int


class Sync(Item, tag=13):
    """Frames were lost: answer those of these Asks that you do not know with 503.

    :ivar awaited: requests whose answers are awaited by ``Done``.
    :ivar is_answer: whether it answers a Sync: the receiver has compared already.
    :ivar engaged: peers of the sender, in what is at home at the receiver: those that are wrong,
        or missing, are answered by ``Engage``.
    :ivar heard: those of the Asks that have had an Answer: a provisional one is not repeated.
    """

    asks: List[int]
    awaited: List[AwaitedRequest] = []
    is_answer: bool = False
    engaged: List[Engaged] = []
    heard: List[int] = []


class GetContext(Item, tag=14):
    """Answer with the handshake of a peer, as data: see ``ClusterHost``."""

    ask: int
    username: str
    uuid: str


class Inherited(Item, tag=15):
    """Take note where the peer of these Asks is. The new owner says so, and the former owner: it
    may be leaving, and its end must not be taken for that of the Asks.

    :ivar owner: the new owner, as the former one knows; empty: the sender. ``Cancel`` for those
        that have ended is the answer to the sender.
    """

    asks: List[int]
    owner: str = ""


class Flush(Item, tag=16):
    """Answer this when all that the sender has sent you before for a peer is with its owner.

    :ivar sender: of one that was passed on; empty in place of the node that it comes from.
    """

    username: str
    uuid: str
    number: int
    sender: str = ""


class Flushed(Item, tag=17):
    number: int


AnyItem = Union[
    Ask,
    Answer,
    Cancel,
    Moved,
    Tell,
    Close,
    HandOver,
    Estate,
    Done,
    ToHome,
    Engage,
    GetTold,
    Sync,
    GetContext,
    Inherited,
    Flush,
    Flushed,
]
