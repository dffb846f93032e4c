"""The rooms of an app: which there are, and who is in which.

Whatever changes who is in a room happens while holding one lock, with the sending that
belongs to it, which never blocks: so members are told of joins, leaves and messages in
the order in which they happened, and nobody hears of a room before the answer to its
join or after the answer to its leave. Code of the application never runs inside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core.errors import Reject
from ...core.events import EventQueues, SiteEvent
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.scheduling import Scheduler
from .room import CLOSING, OPEN, Room


class _Happening(NamedTuple):
    """The subject of an event: what happened to whom, and where."""

    room: Room
    peer: Peer


class Rooms:
    """``{path: room}`` and ``{peer: its rooms}``, which always say the same.

    :param max_peers: members of one room.
    :param max_rooms: rooms that one peer may be in.
    """

    def __init__(self, scheduler: Scheduler, max_peers: int, max_rooms: int) -> None:
        self.lock = scheduler.lock()
        self._max_peers = max_peers
        self._max_rooms = max_rooms
        self._rooms: dict[str, Room] = {}
        self._rooms_of: dict[Peer, set[Room]] = {}
        self._events = EventQueues(self._tell_event, scheduler.lock())

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, path: str) -> Room | None:
        """Return the room of a path when it is open."""
        room = self._rooms.get(path)
        return room if room is not None and room.state is OPEN else None

    # Joining -------------------------------------------------------------------------

    def come_in(self, path: str, id: str, peer: Peer) -> tuple[Room, bool]:
        """Return the room of a path, made if there is none, and whether it was made now.

        Whoever made it asks the application and calls :meth:`settle`; then, or when
        somebody else has made it, :meth:`admit`. In the end each calls :meth:`go_on`.

        :raises Reject: when the peer is in too many rooms, or this one is full.
        """
        with self.lock:
            room = self._rooms.get(path)
            self._check_space(room, peer)
            is_new = room is None
            if room is None:
                room = self._rooms[path] = Room(id, path, self, peer)
            room.joining += 1
            room.latest = peer
            return room, is_new

    def settle(self, room: Room, accepted: bool) -> None:
        """Take note that the application has been asked about a new room."""
        with self.lock:
            if not accepted and room.enter_state("refuse"):
                self._conclude(room)
            elif room.enter_state("open"):
                room.settled.set()

    def admit(self, room: Room, req: Request) -> None:
        """Let a peer in that the application does not refuse, answer it and tell the others.

        :raises Reject: when there is no room for it any more.
        """
        peer = _peer_of(req)
        with self.lock:
            if req.ended:  # by the time limit, while the application looked things up
                return
            if room.state is not OPEN:
                raise Reject(410, "room closed")
            # The peer may be leaving in another thread, or may have left while the
            # application was asked. It is taken off the directory first, and "offline" is
            # told next. If it is still listed now, that event is still to come, and
            # forget() will find it here, for which it needs the lock; if not, forget()
            # may have been here already, and nobody else would ever let it out.
            if not peer.is_listed:
                raise Reject(410, "peer offline")
            self._check_space(room, peer)
            address = (peer.username, peer.uuid)
            former = room.members.get(address)
            if former is not None and former is not peer:
                # The same device has come back before its going was told (a listener of
                # the site may block). Told later, to clients that go by the address, it
                # would be the one who is in now that has left.
                self._let_out(room, former)
            others = [other.address for other in room.peers if other is not peer]
            req.reply(200, "joined", room.add_path({"peers": others}))
            if former is peer:
                return
            room.broadcast("join", {"peer": peer.address})
            room.members[address] = peer
            self._rooms_of.setdefault(peer, set()).add(room)
            self._post("join", room, peer)
        self._tell(room, peer)

    def go_on(self, room: Room, peer: Peer) -> None:
        """Take note that a join is through, in whichever way."""
        with self.lock:
            room.joining -= 1
            is_over = self._release_if_empty(room)
        if is_over:
            self._tell(room, peer)

    def _check_space(self, room: Room | None, peer: Peer) -> None:
        if room is not None and (peer.username, peer.uuid) in room.members:
            return
        count = len(self._rooms_of.get(peer, ()))
        if count >= self._max_rooms:
            raise Reject(403, f"you are in {count} rooms already, which is the limit")
        if room is not None and len(room.members) >= self._max_peers:
            raise Reject(403, "room is full")

    # Leaving -------------------------------------------------------------------------

    def leave(self, room: Room, req: Request) -> None:
        """Let a member out that wants to go, and answer it.

        :raises Reject: when it is not in.
        """
        peer = _peer_of(req)
        with self.lock:
            self.check_member(room, peer)
            self._let_out(room, peer)
            req.reply(200, "left")
        self._tell(room, peer)

    def remove(self, room: Room, peer: Peer, reason: str) -> bool:
        """See :meth:`Room.remove`."""
        with self.lock:
            if not room.has(peer):
                return False
            self._let_out(room, peer)
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
            self._wind_up(room)
        self._tell(room, room.latest)
        return len(peers)

    def forget(self, peer: Peer) -> None:
        """Let a peer that has gone out of all its rooms."""
        with self.lock:
            rooms = list(self._rooms_of.get(peer, ()))
            for room in rooms:
                self._let_out(room, peer)
        for room in rooms:
            self._tell(room, peer)

    def check_member(self, room: Room, peer: Peer) -> None:
        """:raises Reject: when a peer is not in a room."""
        if not room.has(peer):
            raise Reject(403, "you are not in this room")

    def _let_out(self, room: Room, peer: Peer) -> None:
        """Let a member out and tell the others."""
        del room.members[(peer.username, peer.uuid)]
        self._forget_membership(room, peer)
        room.broadcast("leave", {"peer": peer.address})
        self._post("leave", room, peer)
        self._release_if_empty(room)

    def _forget_membership(self, room: Room, peer: Peer) -> None:
        rooms = self._rooms_of[peer]
        rooms.discard(room)
        if not rooms:
            del self._rooms_of[peer]

    # The end of a room ---------------------------------------------------------------

    def _release_if_empty(self, room: Room) -> bool:
        if room.members or room.joining or not room.enter_state("empty"):
            return False
        self._wind_up(room)
        return True

    def _wind_up(self, room: Room) -> None:
        """Let the application be told that a room is closing, if it listens."""
        if room.state is CLOSING and room.is_observed:
            room.settled = room.latest.runtime.scheduler.event()
            self._post("close", room, room.latest)
        else:
            self._conclude(room)

    def _conclude(self, room: Room) -> None:
        """Make place for the next room of that path: everything has been told of this one."""
        room.enter_state("told")
        if self._rooms.get(room.path) is room:
            del self._rooms[room.path]
        room.settled.set()

    # What the application is told ----------------------------------------------------

    def _post(self, name: str, room: Room, peer: Peer) -> None:
        if room.is_observed:
            # By its path: what is told of the next room there comes after it.
            self._events.post(room.path, SiteEvent(name, _Happening(room, peer)))

    def _tell(self, room: Room, peer: Peer) -> None:
        """Tell what has been posted of a room; not while holding the lock."""
        if room.is_observed:
            # In a greenlet of its own: this one may be in the middle of a handler or view,
            # whose Flask contexts are those of somebody else.
            peer.runtime.scheduler.spawn(self._events.drain, room.path)

    def _tell_event(self, event: SiteEvent) -> None:
        room, peer = event.subject
        arguments = (room,) if event.name == "close" else (room, peer)
        try:
            for function in room.listeners(event.name):
                # Each by itself: one that fails must not keep the others from being told.
                peer.runtime.call_back(peer, _call_with(function, *arguments), event)
        finally:
            if event.name == "close":
                with self.lock:
                    self._conclude(room)


def _call_with(function: Any, *arguments: Any) -> Any:
    return lambda event: function(*arguments)


def _peer_of(req: Request) -> Peer:
    assert req.peer is not None  # only a request to be sent has none
    return req.peer


def _send_end(room: Room, peer: Peer, reason: str) -> None:
    # Who is away, and is not told, would take itself to be in the room for ever.
    room.send(peer, "end", {"reason": reason}, timeout=peer.runtime.time_limits.delivery)
