"""The directory of one process: which peers are there, and how long each is waited for.

============  =====================  ============  ===================================
state         event                  next state    action, and event told to the site
============  =====================  ============  ===================================
offline       connect                connected     listed; peer_online
connected     connect                connected     the newer link takes over, the older
                                                   one is closed with 3000; no event
connected     drop                   disconnected  the timer starts; peer_disconnect
connected     leave, remove          offline       not listed any more; peer_offline
disconnected  connect                connected     the timer is stopped; peer_reconnect,
                                                   unless peer_disconnect is still to be told:
                                                   then neither
disconnected  expire, remove         offline       as above
============  =====================  ============  ===================================

*Drop* is the loss of the link that the peer has now; the end of a link that another one has
replaced means nothing. A drop includes Close 1001: a browser that leaves the page sends it,
and a reload is back within a second. Our client sends 3003 then, which starts a shorter timer: the
page may also have been closed. *Leave* is a Close with 1000, or without a code, by the client; or
any drop when there is no grace period. *Remove* is done by the site:
``disconnect()``, ``peer.close()``. *Expire* is the timer of this absence. A timer that fires
after the peer has come back and gone again belongs to another absence.

A device that has gone counts among the devices of its user until its requests have been
handled: else a client that connects, sends and leaves in a loop would have any number of
handlers run at once.

A device that connects after its peer went offline is a new Peer, without pending
transactions. So is a device that connects in another dialect (:mod:`..wire.dialect`): its
earlier peer goes offline first.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, NamedTuple

from ..arrivals import Arrival
from ..close_codes import LEAVING, ONLINE_ELSEWHERE, PAGE_GONE, POLICY_VIOLATION
from ..events import Condition, EventQueues, SiteEvent
from ..link import Context, Link
from ..runtime import Runtime
from ..scheduling import Timer, call_later_if_alive
from ..transactions.mailbox import Mailbox
from ..wire.dialect import Dialect
from ..workload import Workload
from .directory import Identity, TooManyEvents, TooManyPeers
from .peer import CONNECTED, DISCONNECTED, OFFLINE, Peer

#: (state, event) -> state; the table above. A pair that is not here is ignored.
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

#: (state, next state) -> the event that the site is told.
SIGNALS = {
    (OFFLINE, CONNECTED): "peer_online",
    (CONNECTED, DISCONNECTED): "peer_disconnect",
    (DISCONNECTED, CONNECTED): "peer_reconnect",
    (CONNECTED, OFFLINE): "peer_offline",
    (DISCONNECTED, OFFLINE): "peer_offline",
}


class Departure(NamedTuple):
    """The events that a departure leads to.

    :ivar may_be_last: whether the user may be offline, too.
    :ivar if_mine: the condition under which "offline" is told.
    :ivar if_last: the condition under which "user_offline" is told.
    :ivar then: called when these have been told, or were not to be.
    """

    may_be_last: bool
    if_mine: Condition | None = None
    if_last: Condition | None = None
    then: Callable[[], Any] | None = None


class LocalDirectory:
    """The peers of one process: ``{username: {uuid: Peer}}``; a :class:`~.directory.Directory`.

    :param events: where arrivals and departures are told.
    """

    #: There are none in one process.
    homes: Any = None
    cluster: Any = None

    def __init__(self, runtime: Runtime, events: EventQueues) -> None:
        self._runtime = runtime
        self._events = events
        self._lock = runtime.scheduler.lock()
        self._users: dict[str, dict[str, Peer]] = {}
        #: {username: {uuid: what devices that have gone have left to be done}}
        self._departed: dict[str, dict[str, Workload]] = {}
        #: The peers that are away, the longest absence first.
        self._timers: dict[Peer, Timer] = {}

    # Finding -------------------------------------------------------------------------

    def find(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
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

    def find_local(self, username: str | None = None, uuid: str | None = None) -> list[Peer]:
        return LocalDirectory.find(self, username, uuid)

    def get(self, username: str, uuid: str) -> Peer | None:
        return self._users.get(username, {}).get(uuid)

    #: The peer of a device in this process.
    get_local = get

    def lists(self, peer: Peer) -> bool:
        return self.get_local(peer.username, peer.uuid) is peer

    # What one process need not care about ---------------------------------------------

    def doubt(self, username: str) -> str | None:
        return None

    def refresh(self, peer: Peer) -> None:
        pass

    def follow(self, peer: Peer) -> None:
        pass

    def renew(self, peer: Peer, data: Any) -> None:
        peer.data = data

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    # Coming --------------------------------------------------------------------------

    def check_space(self, identity: Identity) -> None:
        """Check that this device may join the others of its user.

        :raises NoPlace: when it may not. A device that is there already always may,
            and one that is away gives way to one that is here, unless it is at work.
        """
        # Asked only here, before a handshake is accepted: the few handshakes that are accepted
        # at the same moment do no harm.
        username = identity.username
        if self._events.is_overlong(username) and self.get_local(username, identity.uuid) is None:
            raise TooManyEvents(username, self._events.notice_overlong(username))
        self._check_devices(identity)

    def _check_devices(self, identity: Identity) -> None:
        devices = self._users.get(identity.username, {})
        departed = self._departed.get(identity.username, {})
        limit = self._runtime.limits.peers_per_user
        if identity.uuid in devices or identity.uuid in departed:
            return
        if len(devices) + len(departed) < limit:
            return
        if not any(_may_give_way(peer) for peer in list(devices.values())):
            raise TooManyPeers(identity.username, limit, len(departed))

    def let_in(
        self,
        arrival: Arrival,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        claim = partial(self.claim, identity, link, context, dialect, when_reachable)
        return self._runtime.arrivals.admit(arrival, identity.username, identity.uuid, claim)

    def claim(
        self,
        identity: Identity,
        link: Link,
        context: Context,
        dialect: Dialect,
        when_reachable: Callable[[], None] | None = None,
    ) -> Peer:
        with self._lock:
            peer = self.get_local(identity.username, identity.uuid)
            if peer is not None and peer.outbound.dialect is not dialect:
                # Another client program on this device: it would not understand the messages
                # that wait for the one before.
                self.remove(peer, ONLINE_ELSEWHERE, "online elsewhere")
                peer = None
            if peer is None:
                self._check_devices(identity)
                workload = self.take_departed(identity)
                peer = Peer(identity, self._runtime, self, dialect, workload)
            with peer.outbound.lock:
                # The context comes first: another thread may be telling the events that are
                # posted below, and code that has seen the new link sees its context.
                peer.context = context
                if peer.state is OFFLINE:
                    self._list(peer)
                else:
                    self._resume(peer, identity)
                    replaced = peer.outbound.link
                    if replaced is not None:
                        replaced.retire(ONLINE_ELSEWHERE, "online elsewhere")
                peer.outbound.attach(link, when_reachable)
            self._make_space(peer.username)
        return peer

    # Going ---------------------------------------------------------------------------

    def link_closed(self, peer: Peer, link: Link, code: int) -> None:
        with self._lock:
            if peer.outbound.link is not link:
                return
            seconds = self._find_grace_period(code)
            if not (seconds and self.wait_for(peer, seconds)):
                self.take_off(peer, "leave")
        self.tell(peer)

    def remove(self, peer: Peer, code: int, reason: str, only: Link | None = None) -> bool:
        with self._lock:
            link = peer.outbound.link
            if only is not None and link is not only:
                return False
            if not self.take_off(peer, "remove"):
                return False
            # For the links that it had before: this one, if any, is closed below.
            peer.was_removed = True
            dropped = peer.workload.drop()
            for request in dropped:
                # It refers to the peer, which refers to it.
                request.source.forget(request)
        if dropped:
            # Not here: links of the device may go on reading, and its handlers hang.
            self._runtime.scheduler.spawn(peer.workload.go_on)
        # The link is closed first: listeners of a departure may block, and a peer that has been
        # disconnected must not be served meanwhile.
        if link is not None:
            link.close(code, reason)
        # In a greenlet of its own: this one may be in the middle of a view, and the view's
        # Flask contexts and database session are not for listeners.
        self._runtime.scheduler.spawn(self.tell, peer)
        return True

    def give_up(self, peer: Peer, mailbox: Mailbox) -> None:
        """Wait no longer for a peer with a full mailbox, unless it is back just now.

        Such a peer is like a client that reads too slowly.
        """
        with self._lock:
            if peer.outbound.mailbox is mailbox:
                self._runtime.limited("mailbox", peer, "too much waits for it while it is away")
                self.remove(peer, POLICY_VIOLATION, "slow consumer")

    def turn_away(self, username: str, uuid: str | None, code: int, reason: str) -> None:
        self._runtime.arrivals.turn_away(username, uuid, code, reason)

    def disconnect(self, username: str, uuid: str | None, code: int, reason: str) -> int:
        # First: a handshake that is done just now is either turned away, or found.
        self.turn_away(username, uuid, code, reason)
        return self._runtime.scheduler.call(self.remove_all, username, uuid, code, reason)

    def remove_all(self, username: str | None, uuid: str | None, code: int, reason: str) -> int:
        """Remove the peers of this process; returns how many."""
        peers = self.find_local(username, uuid)
        return sum(self.remove(peer, code, reason) for peer in peers)

    def close_links(self, code: int, reason: str) -> None:
        LocalDirectory.remove_all(self, None, None, code, reason)

    @property
    def heirs(self) -> int:
        """How many other processes can take the clients of this one."""
        return 0

    @property
    def can_give(self) -> bool:
        """Whether these also take over what the peers have here."""
        return False

    def send_away(self, peer: Peer, code: int, reason: str) -> None:
        """Close the link of a peer, because this process ends; its client will come back.

        With a grace period, the site is told "disconnect": the client returns as a peer of
        another process, to which it is "online", and "offline" would be told too late.
        """
        with self._lock:
            link = peer.outbound.link
            if link is None or peer.outbound.node is not None:
                return
            self.let_link_go(link, code, reason)
            seconds = self._runtime.time_limits.grace_period
            if not (seconds and self.wait_for(peer, seconds)):
                self.take_off(peer, "leave")
        self._runtime.scheduler.spawn(self.tell, peer)

    def let_link_go(self, link: Link, code: int, reason: str) -> None:
        """Close a link; messages that wait are sent first, as nobody else will send them."""
        link.close(code, reason)

    # Telling -------------------------------------------------------------------------

    def tell(self, peer: Peer) -> None:
        """Tell the site the events of a peer's user; first, end the transactions of a peer
        that has gone.
        """
        if peer.state is OFFLINE:
            peer.outbound.finish_all(410, "peer offline")
            if not self._users:
                self._runtime.transactions.rest()
                self._runtime.progress.rest()
        self._events.drain(peer.username)

    # The table ------------------------------------------------------------------------

    def _list(self, peer: Peer) -> None:
        devices = self.enlist(peer)
        self._enter(peer, "connect")
        peer.outbound.may_wait = bool(self._runtime.time_limits.grace_period)
        if self._is_first(peer, len(devices)):
            self._events.post(peer.username, SiteEvent("user_online", peer.username))

    def _resume(self, peer: Peer, identity: Identity) -> None:
        self._stop_timer(peer)
        peer.data = identity.data
        self._enter(peer, "connect")
        peer.requests.let_repeat(self._runtime.time_limits.grace_period)

    def _make_space(self, username: str) -> None:
        """Give up the device that has been away longest, if there are too many now."""
        count = len(self._users[username]) + len(self._departed.get(username, ()))
        if count <= self._runtime.limits.peers_per_user:
            return
        for peer in self._timers:
            if peer.username == username and _may_give_way(peer):
                self.remove(peer, POLICY_VIOLATION, "gave way to another device")
                return

    def _find_grace_period(self, code: int) -> float:
        """Return how long a device is waited for whose link was closed with this code."""
        limits = self._runtime.time_limits
        if code in LEAVING:
            return 0
        if code == PAGE_GONE and limits.reload is not None:
            return limits.reload
        return limits.grace_period

    def wait_for(self, peer: Peer, seconds: float) -> bool:
        """Begin a grace period; ``False`` when too much would have to be kept for it."""
        mailbox = peer.outbound.detach()
        if mailbox is None:
            return False
        self._enter(peer, "drop")
        self.start_timer(peer, mailbox, seconds)
        return True

    def start_timer(self, peer: Peer, mailbox: Mailbox, seconds: float) -> None:
        """Wait for a peer that is away, for so long."""
        scheduler = self._runtime.scheduler
        self._timers[peer] = call_later_if_alive(scheduler, seconds, self._expire, peer, mailbox)

    def _expire(self, peer: Peer, mailbox: Mailbox) -> None:
        """Wait no longer. The mailbox tells which absence of the peer the timer was for."""
        with self._lock:
            if peer.outbound.mailbox is not mailbox or not self.take_off(peer, "expire"):
                return
        self.tell(peer)

    def is_waited_for(self, peer: Peer) -> bool:
        """Whether a peer is away, and its grace period has begun."""
        return peer in self._timers

    def take_off(self, peer: Peer, event: str) -> bool:
        """Take a peer off, and post that; ``False`` when that event means nothing now."""
        if (peer.state, event) not in TRANSITIONS:
            return False
        peer.outbound.close()
        peer.requests.forget_all()
        # Taken off before the event is posted: another thread may be telling events already.
        departure = self._release(peer, self.unlist(peer))
        self._enter(peer, event, departure.if_mine)
        if departure.may_be_last:
            condition, then = departure.if_last, departure.then
            user_offline = SiteEvent("user_offline", peer.username, condition, then)
            self._events.post(peer.username, user_offline)
        return True

    def enlist(self, peer: Peer) -> dict[str, Peer]:
        """List a peer, without an event; returns all devices of its user."""
        devices = self._users.setdefault(peer.username, {})
        devices[peer.uuid] = peer
        return devices

    def unlist(self, peer: Peer) -> bool:
        """List a peer no more, without an event; tells whether it was the last of its user."""
        self._stop_timer(peer)
        if peer.workload.depart(partial(self._forget_departed, peer.username, peer.uuid)):
            self._departed.setdefault(peer.username, {})[peer.uuid] = peer.workload
        if peer.workload.is_held:
            # Nobody waits for the answers that were too many. Not here: links are called.
            self._runtime.scheduler.spawn(peer.workload.release)
        devices = self._users[peer.username]
        del devices[peer.uuid]
        if not devices:
            del self._users[peer.username]
        return not devices

    # A cluster decides these ----------------------------------------------------------

    def _is_first(self, peer: Peer, count: int) -> bool:
        """Whether the user of a new peer comes online with it."""
        return count == 1

    def _release(self, peer: Peer, is_last_here: bool) -> Departure:
        """Take note that a peer has gone, and maybe the last one of its user."""
        return Departure(may_be_last=is_last_here)

    def take_departed(self, identity: Identity) -> Workload | None:
        """Return the requests that a device has left to be handled: it is back."""
        workload = self._departed.get(identity.username, {}).get(identity.uuid)
        if workload is not None:
            workload.come_back()
            self._forget_departed(identity.username, identity.uuid)
        return workload

    def _forget_departed(self, username: str, uuid: str) -> None:
        """Count a device no more: its requests have been handled, or it is back."""
        with self._lock:
            devices = self._departed.get(username, {})
            workload = devices.get(uuid)
            if workload is None or workload.has_departed:
                return  # it has come back, and gone again
            del devices[uuid]
            if not devices:
                del self._departed[username]
            is_idle = not self._departed and not self._users
        if is_idle:
            self._runtime.progress.rest()

    def _stop_timer(self, peer: Peer) -> None:
        timer = self._timers.pop(peer, None)
        if timer is not None:
            timer.cancel()

    def _enter(self, peer: Peer, event: str, condition: Condition | None = None) -> bool:
        """Follow the table; ``False`` when the event means nothing now."""
        state = TRANSITIONS.get((peer.state, event))
        if state is None:
            return False
        signal = SIGNALS.get((peer.state, state))
        peer.state = state
        if signal == "peer_reconnect" and self._withdraw_disconnect(peer):
            return True
        if signal is not None:
            self._events.post(peer.username, SiteEvent(signal, peer, condition))
        return True

    def _withdraw_disconnect(self, peer: Peer) -> bool:
        """Take the event back that a peer is away, if nobody has been told of it."""
        return self._events.withdraw(peer.username, SiteEvent("peer_disconnect", peer))


def _may_give_way(peer: Peer) -> bool:
    """Whether a peer is away, and has nothing to do that would go on without it."""
    return not peer.online and not peer.workload.running
