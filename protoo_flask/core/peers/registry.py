"""The registry: which peers are there, and for how long one is waited for.

============  =====================  ============  ===================================
state         event                  next state    what is done, and told
============  =====================  ============  ===================================
offline       connect                connected     listed; peer_online
connected     connect                connected     the newer link takes over, the older
                                                   is closed with 3000; nothing is told
connected     drop                   disconnected  the timer starts; peer_disconnect
connected     leave, remove          offline       not listed any more; peer_offline
disconnected  connect                connected     the timer is stopped; peer_reconnect
disconnected  expire, remove         offline       as above
============  =====================  ============  ===================================

*Drop* is the loss of the link that the peer has now; the end of one that another has
replaced means nothing. It includes Close 1001: a browser that leaves the page says so,
and a reload is back within a second. *Leave* is a Close with 1000, or without a code,
by the client; or any drop when there is no grace period. *Remove* is what the site
does: ``disconnect()``, ``peer.close()``. *Expire* is the timer of this absence; one that
fires while the peer has come back and gone again is that of another.

With every new link, what the peer has not answered is sent again, and what the old link
took and could not send, and what came since: in that order, which is that of sending.
Who comes back after having been offline is a new peer, from whom nothing is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ..close_codes import (
    ABNORMAL_CLOSURE,
    LEAVING,
    ONLINE_ELSEWHERE,
    POLICY_VIOLATION,
)
from ..deadlines import Deadlines
from ..errors import ProtooError
from ..events import Event, EventQueues
from ..transactions.client import ClientTransaction
from ..transactions.mailbox import Mailbox
from .peer import (
    CONNECTED,
    DISCONNECTED,
    OFFLINE,
    Context,
    Identity,
    Link,
    Peer,
)

if TYPE_CHECKING:
    from ..scheduling import Scheduler, Timer
    from ..transactions.server import Answer

#: (state, event) -> state; the table above. What is not here is ignored.
TRANSITIONS = {
    (OFFLINE, "connect"): CONNECTED,
    (CONNECTED, "connect"): CONNECTED,
    (CONNECTED, "drop"): DISCONNECTED,
    (CONNECTED, "leave"): OFFLINE,
    (CONNECTED, "remove"): OFFLINE,
    (DISCONNECTED, "connect"): CONNECTED,
    (DISCONNECTED, "expire"): OFFLINE,
    (DISCONNECTED, "remove"): OFFLINE,
}

#: (state, next state) -> what is told.
SIGNALS = {
    (OFFLINE, CONNECTED): "peer_online",
    (CONNECTED, DISCONNECTED): "peer_disconnect",
    (DISCONNECTED, CONNECTED): "peer_reconnect",
    (CONNECTED, OFFLINE): "peer_offline",
    (DISCONNECTED, OFFLINE): "peer_offline",
}


class TooManyPeers(ProtooError):
    """The user has as many devices connected as ``PROTOO_MAX_PEERS_PER_USER`` allows."""

    def __init__(self, username: str, limit: int) -> None:
        super().__init__(
            f"{username} is connected from {limit} devices already, which is the limit"
        )


class Registry:
    """Which peers are there: ``{username: {uuid: Peer}}``.

    :param events: where arrivals and departures are told.
    :param call_back: runs an application's function for a response (or for whatever else it
        takes), errors reported.
    :param first_id: gives the first id of the requests to a new peer.
    :param request_timeout: seconds that a peer has for its final response.
    :param session_timeout: seconds that a call may ring.
    :param grace_period: seconds that a peer whose link dropped may take to come back.
    :param detection_time: seconds after which a dead link is noticed at the latest.
    :param max_waiting: bytes that may wait for one that is away.
    :param answers: forgets the answers that peers remember; ``None``: they remember none.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        events: EventQueues,
        call_back: Callable[[Peer, Callable[[Any], Any], Any], None],
        first_id: Callable[[], int],
        request_timeout: float,
        session_timeout: float,
        max_peers_per_user: int,
        grace_period: float,
        detection_time: float,
        max_waiting: int,
        answers: Deadlines[Answer] | None,
    ) -> None:
        self.scheduler = scheduler
        self.call_back = call_back
        self.first_id = first_id
        self.request_timeout = request_timeout
        #: The transactions that have just that time.
        self.timeouts: Deadlines[ClientTransaction] = Deadlines(
            scheduler, request_timeout, ClientTransaction.time_out
        )
        self.session_timeout = session_timeout
        self.grace_period = grace_period
        #: Seconds after which a request that must arrive need not be tried any more: whoever
        #: has not answered it by then has been found to be offline.
        self.delivery_timeout = request_timeout + detection_time + grace_period
        self.answers = answers
        self._max_peers_per_user = max_peers_per_user
        self._max_waiting = max_waiting
        self._events = events
        self._lock = scheduler.lock()
        self._users: dict[str, dict[str, Peer]] = {}
        #: Who is waited for, the longest absent first.
        self._timers: dict[Peer, Timer] = {}

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        """Return the peers of a user, of a device, of both, or all of them."""
        if username is None:
            devices = [dict(devices) for devices in list(self._users.values())]
            if uuid is None:
                return [peer for peers in devices for peer in peers.values()]
            return [peers[uuid] for peers in devices if uuid in peers]
        peers = self._users.get(username)
        if peers is None:
            return []
        if uuid is None:
            return list(peers.values())
        peer = peers.get(uuid)
        return [] if peer is None else [peer]

    def get(self, username: str, uuid: str) -> Peer | None:
        """Return one peer, or ``None``."""
        return self._users.get(username, {}).get(uuid)

    def make_mailbox(self) -> Mailbox:
        """Return what keeps messages for a peer that is away."""
        return Mailbox(self._max_waiting)

    def check_room(self, identity: Identity) -> None:
        """Check that this device may join those of its user.

        :raises TooManyPeers: when it may not. A device that is there already may always,
            and one that is away gives way to one that is here.
        """
        devices = self._users.get(identity.username, {})
        if identity.uuid in devices or len(devices) < self._max_peers_per_user:
            return
        if all(peer.online for peer in list(devices.values())):
            raise TooManyPeers(identity.username, self._max_peers_per_user)

    def connect(
        self,
        identity: Identity,
        link: Link,
        context: Context,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        """Give a peer its link: a new peer, or one that was away, or is taken over.

        What happened is told by :meth:`tell`, which is the next thing to call.

        :param when_reachable: called when others find the peer, before the site is told.
            It must not block.

        :raises TooManyPeers: as :meth:`check_room`.
        """
        with self._lock:
            peer = self.get(identity.username, identity.uuid)
            if peer is None:
                self.check_room(identity)
                peer = Peer(identity, self)
            # One step, or what is sent to the peer now would overtake what has waited.
            with peer.lock:
                # First, as another thread may be telling what is posted below; and who has
                # seen the new link sees the context that belongs to it.
                peer.context = context
                waiting: list[tuple[int | None, bytes]] = []
                if peer.state is OFFLINE:
                    self._list(peer)
                else:
                    self._resume(peer, identity)
                    if peer.link is not None:
                        peer.link.retire(ONLINE_ELSEWHERE, "online elsewhere")
                    waiting = _undelivered(peer)
                peer.mailbox = None
                if when_reachable is not None:
                    when_reachable()
                for index, (_, payload) in enumerate(waiting):
                    if not link.send(payload):
                        # Too slow even for this. Its end comes next, and finds the rest.
                        peer.mailbox = self._keep(waiting[index:])
                        break
                # Last: who finds it here sends without asking for the lock.
                peer.link = link
            self._make_room(peer.username)
        return peer

    def disconnect(self, peer: Peer, link: Link, code: int = ABNORMAL_CLOSURE) -> None:
        """Take note that a link is gone; nothing happens when another took over.

        :param code: that of the client's Close; 1005 if it had none, 1006 without Close.
        """
        with self._lock:
            if peer.link is not link:
                return
            is_coming_back = self.grace_period and code not in LEAVING
            if not (is_coming_back and self._wait_for(peer)):
                self._take_off(peer, "leave")
        self.tell(peer)

    def remove(self, peer: Peer, code: int, reason: str, only: Link | None = None) -> bool:
        """Close a peer's link; ``False`` when the peer was gone already.

        :param only: unless it has another link by now than this one.
        """
        with self._lock:
            link = peer.link
            if only is not None and link is not only:
                return False
            if not self._take_off(peer, "remove"):
                return False
        # The link comes first: what the site does about a departure may block, and
        # whoever has been disconnected must not be served meanwhile.
        if link is not None:
            link.close(code, reason)
        # In a greenlet of its own: this one may be in the middle of a view, whose Flask
        # contexts and database session are nobody else's.
        self.scheduler.spawn(self.tell, peer)
        return True

    def give_up(self, peer: Peer, mailbox: Mailbox) -> None:
        """Wait no longer for a peer for whom too much waits, unless it is back just now.

        It is like somebody who reads too slowly; only that nobody reads.
        """
        with self._lock:
            if peer.mailbox is mailbox:
                self.remove(peer, POLICY_VIOLATION, "slow consumer")

    def tell(self, peer: Peer) -> None:
        """Tell the site what has been posted; first, whoever waits for a peer that has gone."""
        if peer.state is OFFLINE:
            peer.transactions.finish_all(410, "peer offline")
            if not self._users:
                self.timeouts.rest()
        self._events.drain(peer.username)

    def _list(self, peer: Peer) -> None:
        devices = self._users.setdefault(peer.username, {})
        devices[peer.uuid] = peer
        self._enter(peer, "connect")
        if len(devices) == 1:
            self._events.post(peer.username, Event("user_online", peer.username))

    def _resume(self, peer: Peer, identity: Identity) -> None:
        self._stop_timer(peer)
        peer.data = identity.data
        self._enter(peer, "connect")
        peer.requests.let_repeat(self.scheduler.now() + self.grace_period)

    def _make_room(self, username: str) -> None:
        """Give up the device that has been away longest, if there are too many now."""
        if len(self._users[username]) <= self._max_peers_per_user:
            return
        for peer in self._timers:
            if peer.username == username:
                self.remove(peer, POLICY_VIOLATION, "gave way to another device")
                return

    def _wait_for(self, peer: Peer) -> bool:
        """Begin a grace period; ``False`` when there is too much to be kept for it."""
        with peer.lock:
            mailbox = self._keep(_undelivered(peer))
            if mailbox.is_too_full:
                return False
            peer.link, peer.mailbox = None, mailbox
        self._enter(peer, "drop")
        self._timers[peer] = self.scheduler.call_later(
            self.grace_period, self._expire, peer, mailbox
        )
        return True

    def _expire(self, peer: Peer, mailbox: Mailbox) -> None:
        """Wait no longer. The mailbox tells which of its absences this is about."""
        with self._lock:
            if peer.mailbox is not mailbox or not self._take_off(peer, "expire"):
                return
        self.tell(peer)

    def _keep(self, messages: list[tuple[int | None, bytes]]) -> Mailbox:
        mailbox = self.make_mailbox()
        for id, payload in messages:
            mailbox.add(payload, id)
        return mailbox

    def _take_off(self, peer: Peer, event: str) -> bool:
        if (peer.state, event) not in TRANSITIONS:
            return False
        self._stop_timer(peer)
        with peer.lock:
            peer.link = peer.mailbox = None
        peer.requests.forget_answers()
        # Not listed when it is told: another thread may be telling already.
        devices = self._users[peer.username]
        del devices[peer.uuid]
        if not devices:
            del self._users[peer.username]
        self._enter(peer, event)
        if not devices:
            self._events.post(peer.username, Event("user_offline", peer.username))
        return True

    def _stop_timer(self, peer: Peer) -> None:
        timer = self._timers.pop(peer, None)
        if timer is not None:
            timer.cancel()

    def _enter(self, peer: Peer, event: str) -> bool:
        """Follow the table; ``False`` when the event means nothing now."""
        state = TRANSITIONS.get((peer.state, event))
        if state is None:
            return False
        signal = SIGNALS.get((peer.state, state))
        peer.state = state
        if signal is not None:
            self._events.post(peer.username, Event(signal, peer))
        return True


def _undelivered(peer: Peer) -> list[tuple[int | None, bytes]]:
    """Return what its next link has to send, in order, with the ids of requests.

    First what was sent and has not been answered, then what the old link did not come
    to send, then what was sent since. A request of the latter two is not answered either,
    but has its place there.
    """
    unanswered = peer.transactions.unanswered()
    ids = {id(payload): number for number, payload in unanswered.items()}
    unsent = [] if peer.link is None else peer.link.take_unsent()
    later = [(ids.get(id(payload)), payload) for payload in unsent]
    if peer.mailbox is not None:
        later += peer.mailbox.items()
    for number, _ in later:
        if number is not None:
            unanswered.pop(number, None)
    return [*unanswered.items(), *later]
