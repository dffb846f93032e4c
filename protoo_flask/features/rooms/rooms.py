"""The rooms of one app, and their members.

Every change of the members of a room happens under one lock, together with the messages
about it; sending never blocks. So members get joins, leaves and messages in the order in
which they happened. A peer hears nothing of a room before the answer to its join, and
nothing after the answer to its leave. Code of the application never runs under the lock.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ...core.errors import Reject
from ...core.events import EventQueues, SiteEvent
from ...core.peers.homes import Homes
from ...core.peers.peer import Peer, tell_about
from ...core.request import Request
from ...core.scheduling import Scheduler
from ..limits import refuse
from ..missed_news import MissedNews
from ..sending_peer import sending_peer
from .room import CLOSING, OPEN, Room
from .room_homes import SERVER_LOST, RoomHomes

#: Events of rooms about one user that listeners have not been told of, before no more devices of
#: the user may join. All 16 devices of a user may come back to 100 rooms at once.
MAX_UNTOLD = 2000

#: Seconds after which a device that was refused for that may try again.
RETRY_AFTER = 5


class _EventSubject(NamedTuple):
    """The subject of a room event: the room, and the peer that lends its contexts."""

    room: Room
    peer: Peer


class _Member(NamedTuple):
    """A device in a room, or one that has left: the subject of a "join" or "leave"."""

    room: Room
    username: str
    uuid: str


class Rooms:
    """Two indexes of the same memberships: ``{path: room}`` and ``{peer: its rooms}``.

    :param scheduler: of the app.
    :param max_peers: members of one room.
    :param max_rooms: rooms that one peer may be in.
    :ivar homes: in a cluster, the homes of its rooms; else ``None``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        max_peers: int,
        max_rooms: int,
        homes: Homes | None = None,
        service: str = "",
    ) -> None:
        self.scheduler = scheduler
        self.lock = scheduler.lock()
        self._max_peers = max_peers
        self._max_rooms = max_rooms
        self._rooms: dict[str, Room] = {}
        self._rooms_of: dict[Peer, set[Room]] = {}
        #: {username: how many rooms the user's peers are in, each counted for each peer}
        self._memberships: dict[str, int] = {}
        #: {username: how many events about the user listeners have not been told of}
        self._untold: dict[str, int] = {}
        self._events = EventQueues(self._tell_event, scheduler.lock())
        #: The joins and leaves that members have not been told of, as they read too slowly.
        self._news: MissedNews[_Member] = MissedNews(scheduler, self.lock, self._send_news)
        self.homes: RoomHomes | None = None
        if homes is not None:
            self.homes = RoomHomes(homes, service, max_rooms, self)

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, path: str) -> Room | None:
        """Return the open room of a path, or ``None``."""
        room = self._rooms.get(path)
        return room if room is not None and room.state is OPEN else None

    # Joining -------------------------------------------------------------------------

    def begin_join(self, path: str, id: str, peer: Peer) -> tuple[Room, bool]:
        """Return the room of a path, and whether it was made by this call.

        The maker of a room asks the application about it and calls :meth:`finish_opening`.
        Every join then goes on with :meth:`admit`, and ends with :meth:`end_join`.

        :raises Reject: when the peer is in too many rooms, or the room is full.
        """
        with self.lock:
            room = self._rooms.get(path)
            self._check_limits(room, peer)
            is_new = room is None
            if room is None:
                room = self._rooms[path] = Room(id, path, self, peer)
                if self.homes is not None:
                    self.homes.begin_visit(path)
            room.joins_in_progress += 1
            room.last_joiner = peer
            return room, is_new

    def finish_opening(self, room: Room, accepted: bool) -> None:
        """Open a new room, or close it when the application has refused it."""
        with self.lock:
            if not accepted and room.enter_state("refuse"):
                self._release(room)
            elif room.enter_state("open"):
                room.join_gate.set()

    def admit(self, room: Room, req: Request) -> None:
        """Add the sender of a join to the members, answer it and notify the others.

        :raises Reject: when the room has closed or is full, or the peer has gone offline.
        """
        peer = sending_peer(req)
        with self.lock:
            # The time limit may have answered while the application was being asked.
            if req.ended:
                return
            if room.state is not OPEN:
                raise Reject(410, "room closed")
            # The peer may be leaving in another thread, or may have left while the
            # application was asked. A leaving peer is removed from the directory first, and
            # its "offline" is told next. If the peer is still listed here, that event is
            # still to come, and forget(), which needs the lock, will remove the member. If
            # it is not, forget() may have run already, and nothing else would remove it.
            if not peer.is_listed:
                raise Reject(410, "peer offline")
            self._check_limits(room, peer)
            address = (peer.username, peer.uuid)
            former = room.members.get(address)
            if former is not None and former is not peer:
                # The same device is back before its "offline" was told, as a listener of the
                # site may block. The former peer leaves now. Clients tell members apart by
                # their address, so a "leave" after the "join" would look like the new one's.
                self._remove_member(room, former)
            others = [other.address for other in room.peers if other is not peer]
            if self.homes is not None:
                # Before the answer: with it, the client may send its next request.
                self.homes.engage(peer, room.path)
            req.reply(200, "joined", room.add_path({"peers": others}))
            if former is peer:
                return
            others_now = room.peers
            room.members[address] = peer
            self._news.tell(_Member(room, *address), others_now)
            self._rooms_of.setdefault(peer, set()).add(room)
            _count(self._memberships, peer.username, 1)
            self._post("join", room, peer)
            if self.homes is not None:
                self.homes.departures.watch(peer)
        self._tell(room, peer)
        if self.homes is not None:
            self.homes.departures.check(peer)

    def end_join(self, room: Room, peer: Peer) -> None:
        """Count a join as ended, whether it was admitted or not."""
        with self.lock:
            room.joins_in_progress -= 1
            was_released = self._close_if_empty(room)
        if was_released:
            self._tell(room, peer)

    def _check_limits(self, room: Room | None, peer: Peer) -> None:
        if room is not None and (peer.username, peer.uuid) in room.members:
            return
        count = len(self._rooms_of.get(peer, ()))
        if count >= self._max_rooms:
            reason = f"you are in {count} rooms already, which is the limit"
            raise refuse("rooms", peer, 429, reason)
        # Peers that have gone are in their rooms until their departure is told, behind listeners
        # that may block. Without this limit, a user that comes and goes would be in any number.
        devices = peer.runtime.limits.peers_per_user
        if self._memberships.get(peer.username, 0) >= devices * self._max_rooms:
            raise refuse("rooms", peer, 429, "your devices are in too many rooms already")
        if self._untold.get(peer.username, 0) > MAX_UNTOLD:
            # Listeners of the site are slow, and the user joins and leaves all the time.
            reason = "you have joined and left too often for the site to follow"
            raise refuse("events", peer, 429, reason, RETRY_AFTER)
        if room is not None and len(room.members) >= self._max_peers:
            raise refuse("members", peer, 503, "room is full")

    # Leaving -------------------------------------------------------------------------

    def leave(self, room: Room, req: Request) -> None:
        """Remove the sender of an ``end`` from the members, and answer it.

        :raises Reject: when the sender is not a member.
        """
        peer = sending_peer(req)
        with self.lock:
            self.check_member(room, peer)
            self._remove_member(room, peer)
            req.reply(200, "left")
        self._tell(room, peer)

    def remove(self, room: Room, peer: Peer, reason: str) -> bool:
        """See :meth:`Room.remove`."""
        with self.lock:
            if not room.has(peer):
                return False
            self._remove_member(room, peer)
            _send_end(room, peer, reason)
        self._tell(room, peer)
        return True

    def close(self, room: Room, reason: str) -> int:
        """See :meth:`Room.close`."""
        with self.lock:
            if not room.enter_state("close"):
                return 0
            peers = room.peers
            room.members.clear()
            for peer in peers:
                self._forget_membership(room, peer)
                _send_end(room, peer, reason)
                self._post("leave", room, peer)
            self._begin_closing(room)
        self._tell(room, room.last_joiner)
        return len(peers)

    def forget(self, peer: Peer) -> None:
        """Remove a peer that has gone offline from all its rooms."""
        with self.lock:
            rooms = list(self._rooms_of.get(peer, ()))
            for room in rooms:
                self._remove_member(room, peer)
        for room in rooms:
            self._tell(room, peer)

    def regain(self, path: str) -> None:
        """Let a room go on that is at home here again, after this node was taken for dead."""
        room = self._drop_guests(path)
        if room is not None:
            assert self.homes is not None
            with self.lock:
                for peer in room.peers:
                    self.homes.engage(peer, path)

    def lose(self, path: str) -> None:
        """End a room that is at home elsewhere by now, after this node was taken for dead."""
        room = self._drop_guests(path)
        if room is not None:
            self.close(room, SERVER_LOST)

    def _drop_guests(self, path: str) -> Room | None:
        """Remove the members of other nodes, which have told them that the room is lost."""
        with self.lock:
            room = self.find(path)
            if room is None:
                return None
            guests = [peer for peer in room.peers if not peer.is_local]
            for peer in guests:
                self._remove_member(room, peer)
        for peer in guests:
            self._tell(room, peer)
        return room

    def check_member(self, room: Room, peer: Peer) -> None:
        """:raises Reject: when a peer is not a member of a room."""
        if not room.has(peer):
            if self.homes is not None:
                # Its node may have missed that it has left.
                self.homes.disengage(peer, room.path)
            raise Reject(403, "you are not in this room")

    def _remove_member(self, room: Room, peer: Peer) -> None:
        """Remove a member, and notify the others."""
        del room.members[(peer.username, peer.uuid)]
        self._forget_membership(room, peer)
        self._news.tell(_Member(room, peer.username, peer.uuid), room.peers)
        self._post("leave", room, peer)
        self._close_if_empty(room)

    def _send_news(self, member: _Member, peers: Sequence[Peer]) -> list[Peer]:
        """Send a "join" or "leave" to members; returns those without room for it."""
        room, username, uuid = member
        method = "join" if (username, uuid) in room.members else "leave"
        address = {"username": username, "uuid": uuid}
        members = [peer for peer in peers if room.has(peer)]
        data = room.add_path({"peer": address})
        if self.homes is None:
            return tell_about(address, members, method, data)
        news = self.homes.name_news(room.path, username, uuid)
        return tell_about(address, members, method, data, news)

    def _forget_membership(self, room: Room, peer: Peer) -> None:
        _count(self._memberships, peer.username, -1)
        rooms = self._rooms_of[peer]
        rooms.discard(room)
        if self.homes is not None:
            self.homes.disengage(peer, room.path)
        if not rooms:
            del self._rooms_of[peer]
            if self.homes is not None:
                self.homes.departures.unwatch(peer)

    # The end of a room ---------------------------------------------------------------

    def _close_if_empty(self, room: Room) -> bool:
        if room.members or room.joins_in_progress or not room.enter_state("empty"):
            return False
        self._begin_closing(room)
        return True

    def _begin_closing(self, room: Room) -> None:
        """Post "close" for the listeners of a room; without listeners, release it at once."""
        if room.state is CLOSING and room.is_observed:
            room.join_gate = room.last_joiner.runtime.scheduler.event()
            self._post("close", room, room.last_joiner)
        else:
            self._release(room)

    def _release(self, room: Room) -> None:
        """Make place for the next room of the same path; all events of this one are told."""
        room.enter_state("told")
        if self._rooms.get(room.path) is room:
            del self._rooms[room.path]
            if self.homes is not None:
                self.homes.end_visit(room.path)
        room.join_gate.set()

    # Telling the application ---------------------------------------------------------

    def _post(self, name: str, room: Room, peer: Peer) -> None:
        if room.is_observed:
            _count(self._untold, peer.username, 1)
            # The queue belongs to the path, so the events of the next room there follow.
            self._events.post(room.path, SiteEvent(name, _EventSubject(room, peer)))

    def _tell(self, room: Room, peer: Peer) -> None:
        """Tell the posted events of a room; the lock must be free."""
        if room.is_observed:
            # The current greenlet may be in a handler or view, in the Flask contexts of
            # another peer. So the events are told in a greenlet of their own.
            peer.runtime.scheduler.spawn(self._events.drain, room.path)

    def _tell_event(self, event: SiteEvent) -> None:
        room, peer = event.subject
        arguments = (room,) if event.name == "close" else (room, peer)
        try:
            for function in room.listeners(event.name):
                # One call for each listener: if one fails, the others are still called.
                peer.runtime.call_back(peer, _call_with(function, *arguments), event)
        finally:
            with self.lock:
                _count(self._untold, peer.username, -1)
                if event.name == "close":
                    self._release(room)


def _count(numbers: dict[str, int], key: str, change: int) -> None:
    """Change a number; a table has no entries for 0."""
    numbers[key] = numbers.get(key, 0) + change
    if not numbers[key]:
        del numbers[key]


def _call_with(function: Any, *arguments: Any) -> Any:
    return lambda event: function(*arguments)


def _send_end(room: Room, peer: Peer, reason: str) -> None:
    # The timeout is long enough for a peer that is away. Without the "end", that peer would
    # believe to be in the room for ever.
    room.send(peer, "end", {"reason": reason}, timeout=peer.runtime.time_limits.delivery)
