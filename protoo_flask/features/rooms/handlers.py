"""The handlers of rooms: they answer the requests that are sent to the path of a room."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping

from ...core.cluster.items import Engagement
from ...core.errors import ProtocolError, Reject
from ...core.inbox import MAX_PATH_LENGTH
from ...core.names import check_length
from ...core.peers.homes import Homes, HomeUnknown
from ...core.peers.peer import Peer
from ...core.request import Request, answer
from ...core.response import Response
from ...core.routing.registration import Next
from ...core.runtime import Runtime
from ..sending_peer import sending_peer
from .path_template import PathTemplate
from .room import OPEN, Room
from .room_homes import SERVER_LOST
from .rooms import Rooms

OnRoom = Callable[[Room, Request], Any]


class RoomHandlers:
    """The handlers of one ``room_handler()``; each app that shares it has rooms of its own.

    :param on_room: called with each new room, if given.
    :param template: writes the paths of rooms.
    :param max_peers: members of one room.
    :param max_rooms: rooms that one peer may be in.
    """

    def __init__(
        self, on_room: OnRoom | None, template: PathTemplate, max_peers: int, max_rooms: int
    ) -> None:
        self._on_room = on_room
        self._template = template
        self._limits = max_peers, max_rooms
        #: The name in a cluster; given by :meth:`.Protoo.add_service`.
        self.service = ""

    def join(self, req: Request, next: Next) -> None:
        """Let a peer into a room, unless the application refuses."""
        peer, path = sending_peer(req), self._path_of(req)
        if len(path) > MAX_PATH_LENGTH:
            # Escaping has made the path longer than a request may have.
            raise Reject(414, f"a path has at most {MAX_PATH_LENGTH} characters")
        for name, value in req.params.items():
            check_length(value, f"a {name}")
        homes = self._rooms_of(peer).homes
        if homes is None:
            self._join(req, path)
            return
        try:
            homes.join(req, path, self._join)
        except HomeUnknown as error:
            _answer_unknown(req, error)

    def _join(self, req: Request, path: str) -> None:
        """Let a peer into a room that is at home here."""
        peer = sending_peer(req)
        rooms = self._rooms_of(peer)
        while not req.ended:
            room, is_new = rooms.begin_join(path, req.params["room_id"], peer)
            try:
                if is_new:
                    self._open(rooms, room, req)
                elif room.state is not OPEN:
                    room.join_gate.wait()
                if req.ended:
                    return
                if is_new or room.state is OPEN:
                    self._ask(room, req)
                    rooms.admit(room, req)
                    return
                # The application refused the room to its maker, or the room has closed.
                # The next turn of the loop may make another one.
            finally:
                rooms.end_join(room, peer)

    def _open(self, rooms: Rooms, room: Room, req: Request) -> None:
        """Ask the application about a new room; a reply or an exception refuses it."""
        accepted = False
        try:
            if self._on_room is not None:
                self._on_room(room, req)
            accepted = not req.ended
        finally:
            rooms.finish_opening(room, accepted)

    def _ask(self, room: Room, req: Request) -> None:
        """Ask the application whether a peer may join; any final reply keeps the peer out."""
        if room.state is not OPEN or room.has(req.peer):
            return
        room.ask("join_request", req)

    def message(self, req: Request, next: Next) -> None:
        """Send a message to all other members."""
        rooms = self._rooms_of(sending_peer(req))
        if self._is_forwarded(rooms, req, "message"):
            return
        # Checked and sent in one step: nothing of a member arrives after its "leave".
        with rooms.lock:
            room = self._find(rooms, req)
            sent = room.broadcast("message", req.data, skip=req.peer, sender=req.sender)
            req.reply(200, f"message sent to {sent} peers", {"sent": sent})

    def private(self, req: Request, next: Next) -> None:
        """Send a request on to one member; its responses answer the request."""
        rooms = self._rooms_of(sending_peer(req))
        if self._is_forwarded(rooms, req, "private"):
            return
        with rooms.lock:
            room = self._find(rooms, req)
            peer = room.members.get(_check_address(req.data.get("peer")))
            if peer is None:
                raise Reject(404, "peer not found")
            forward = Request("private", room.add_path(req.data))
            forward.sender = req.sender
            if req.is_notification:
                peer.notify(forward.method, forward.data, forward.sender)
                req.reply(200)
            else:
                peer.send(forward, on_response=req.reply)

    def leave(self, req: Request, next: Next) -> None:
        """Let a member out."""
        rooms = self._rooms_of(sending_peer(req))
        if self._is_forwarded(rooms, req, "leave"):
            return
        rooms.leave(self._find(rooms, req), req)

    def pass_on(self, req: Request, next: Next) -> None:
        """Pass a request of any other method on to the application."""
        rooms = self._rooms_of(sending_peer(req))
        if self._is_forwarded(rooms, req, "pass_on"):
            return
        room = self._find(rooms, req)
        if not room.ask("request", req):
            raise Reject(405, "method not allowed")

    def note_offline(self, peer: Peer) -> None:
        """Let a peer that has gone offline out of all its rooms."""
        rooms = self._rooms_of(peer)
        rooms.forget(peer)
        if rooms.homes is not None:
            rooms.homes.forget_joins(peer)

    # Of a cluster ------------------------------------------------------------------------

    def handle_at_home(self, verb: str, request: Request) -> None:
        """See :class:`.HomeService`."""
        handlers = {
            "join": self._join_at_home,
            "message": self.message,
            "private": self.private,
            "leave": self.leave,
        }
        handler = handlers.get(verb, self.pass_on)
        if self._on_room is None or verb in ("message", "private", "leave"):
            handler(request, _no_next)
        else:
            # The application has registered the listeners that may be called now.
            sending_peer(request).context.run(handler, request, _no_next)

    def _join_at_home(self, req: Request, next: Next) -> None:
        """Let a peer of another node into a room."""
        homes = self._rooms_of(sending_peer(req)).homes
        assert homes is not None
        try:
            homes.join_at_home(req, self._path_of(req), self._join)
        except HomeUnknown as error:
            _answer_unknown(req, error)

    def check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        """See :class:`.HomeService`: a request of a room is never refused."""
        return None

    def home_lost(self, peer: Peer, key: str) -> None:
        """Tell a local peer that the node of its room is gone; see :class:`.HomeService`."""
        homes = self._rooms_of(peer).homes
        assert homes is not None
        if not homes.take_back(peer, key):
            data = {"reason": SERVER_LOST, "sessionPath": key}
            peer.send(Request("end", data), timeout=peer.runtime.time_limits.delivery)

    def _is_forwarded(self, rooms: Rooms, req: Request, verb: str) -> bool:
        """Whether a request is handled at another node, or cannot be: then it is answered."""
        if rooms.homes is None:
            return False
        try:
            return rooms.homes.forward(req, self._path_of(req), verb)
        except HomeUnknown as error:
            _answer_unknown(req, error)
            return True

    # -------------------------------------------------------------------------------------

    def _find(self, rooms: Rooms, req: Request) -> Room:
        """Return the room that a request is for.

        :raises Reject: when there is no such room, or the sender is not in it.
        """
        room = rooms.find(self._path_of(req))
        if room is None:
            raise Reject(404, "room not found")
        rooms.check_member(room, sending_peer(req))
        return room

    def _path_of(self, req: Request) -> str:
        return self._template.write(req.base_path, req.params)

    def _rooms_of(self, peer: Peer) -> Rooms:
        if peer.directory.homes is None:
            return peer.runtime.service(self, self._make_rooms)
        return peer.runtime.service(self, partial(self._make_rooms, homes=peer.directory.homes))

    def _make_rooms(self, runtime: Runtime, homes: Homes | None = None) -> Rooms:
        return Rooms(runtime.scheduler, *self._limits, homes, self.service)


def _no_next(error: Any = None) -> None:
    """Stands for the next function of a request that was forwarded to the home of its room."""


def _check_address(address: Any) -> tuple[str, str]:
    """Return the username and the uuid of untrusted ``data.peer``.

    :raises ProtocolError: when it is not the address of a peer.
    """
    if isinstance(address, Mapping):
        username, uuid = address.get("username"), address.get("uuid")
        if isinstance(username, str) and isinstance(uuid, str):
            return username, uuid
    raise ProtocolError(
        'data.peer must be the member it is for: {"username": "...", "uuid": "..."}'
    )


def _answer_unknown(req: Request, error: HomeUnknown) -> None:
    # Here, and not by the router: no code of the site has failed, and the log would be full of it.
    answer(req, Response(error.code, str(error.reason)))
