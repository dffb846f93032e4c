"""Rooms: sessions with many members, for group chats and meshes of calls."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping
from urllib.parse import quote

from ...core.errors import ProtocolError, Reject, UsageError
from ...core.functions import check_function
from ...core.inbox import MAX_PATH_LENGTH
from ...core.peers.peer import Peer
from ...core.request import Request
from ...core.routing.registration import Next
from ...core.routing.router import Router
from ...core.runtime import Runtime
from ...extension import Protoo
from .room import OPEN, Room
from .rooms import Rooms

OnRoom = Callable[[Room, Request], Any]

#: Members of a room, by default. In a mesh of calls everybody sends to everybody, which
#: ends well before that; a larger group chat is for the site to allow.
MAX_PEERS = 50

#: Rooms that one peer may be in. An untrusted client makes rooms by joining them; this is
#: more than anybody follows, and bounds what one can make the server keep.
MAX_ROOMS_PER_PEER = 100

#: Paths from which the path of a room can be written again: no patterns.
_PATH = re.compile(r"(/(:\w+|[\w.~-]+))+", re.ASCII)


def room_handler(
    protoo: Protoo,
    on_room: OnRoom | None = None,
    *,
    path: str = "/rooms/:room_id",
    max_peers: int = MAX_PEERS,
) -> Router:
    """Return a router for rooms, which are there as long as somebody is in.

    ::

        def on_room(room, req):
            @room.on("join_request")
            def check(room, req):
                if not may_enter(req.peer.username, room.id):
                    raise Reject(403, "members only")

        protoo.use("/chat", room_handler(protoo, on_room))

    ===========  ======================================================================
    ``session``  joins: 200 with ``sessionPath`` and ``peers``, who else is in
    ``message``  goes to the other members as a notification; 200 with ``sent``, how many
    ``private``  goes to the member ``data.peer`` (``username``, ``uuid``), whose
                 responses come back as they are; 404 when it is not in
    ``end``      leaves: 200
    any other    goes to ``@room.on("request")``, else 405
    ===========  ======================================================================

    Who is not in gets 403, an unknown room 404. Members are sent notifications ``join``
    and ``leave`` with ``data.peer``, and an ``end`` request when they are put out.

    :param on_room: ``fn(room, req)``, called when a :class:`~protoo_flask.features.rooms.room.Room`
        is made, with the request of the first who joins. It may listen, ``room.on(...)``,
        and refuse: by a reply, or by raising. The ``room_id`` is untrusted.
    :param path: where below the mount; with ``:room_id``, and other parameters if need be.
    :param max_peers: members of one room; who comes then gets 403 "room is full".
    :raises UsageError: for a path with patterns, or a number of peers that cannot be.
    """
    if on_room is not None:
        check_function(on_room, "fn(room, req)")
    if not (isinstance(path, str) and _PATH.fullmatch(path) and "room_id" in _names(path)):
        raise UsageError(
            "room_handler(path=...) takes a path of plain segments and whole parameters, one of "
            f'which is :room_id, like "/rooms/:room_id" or "/:team/:room_id", not {path!r}'
        )
    if isinstance(max_peers, bool) or not (isinstance(max_peers, int) and max_peers > 0):
        raise UsageError(
            "room_handler(max_peers=...) takes how many may be in a room, "
            f"an integer of at least 1, not {max_peers!r}"
        )
    handler = _RoomHandler(on_room, path, max_peers)
    protoo.on("offline", handler.forget)
    router = Router()
    router.session(path, handler.join)
    router.method("message", path, handler.message)
    router.method("private", path, handler.private)
    router.end(path, handler.leave)
    router.all(path, handler.request)
    return router


class _RoomHandler:
    """What stands at the path of the rooms."""

    def __init__(self, on_room: OnRoom | None, path: str, max_peers: int) -> None:
        self._on_room = on_room
        self._path = path
        self._max_peers = max_peers

    def forget(self, peer: Peer) -> None:
        """Let a peer that has gone offline out of its rooms."""
        self._rooms_of(peer).forget(peer)

    def join(self, req: Request, next: Next) -> None:
        """Let a peer in, if the application does."""
        peer, path = _peer_of(req), self._write_path(req)
        if len(path) > MAX_PATH_LENGTH:
            # Escaping has made it longer: nothing could be sent to it.
            raise Reject(414, f"a path has at most {MAX_PATH_LENGTH} characters")
        rooms = self._rooms_of(peer)
        while not req.ended:
            room, is_new = rooms.come_in(path, req.params["room_id"], peer)
            try:
                if is_new:
                    self._open(rooms, room, req)
                elif room.state is not OPEN:
                    room.settled.wait()
                if req.ended:
                    return
                if is_new or room.state is OPEN:
                    self._ask(room, req)
                    rooms.admit(room, req)
                    return
                # It was refused to the one who made it, or is over: another may be made.
            finally:
                rooms.go_on(room, peer)

    def _open(self, rooms: Rooms, room: Room, req: Request) -> None:
        accepted = False
        try:
            if self._on_room is not None:
                self._on_room(room, req)
            accepted = not req.ended
        finally:
            rooms.settle(room, accepted)

    def _ask(self, room: Room, req: Request) -> None:
        """Ask the application whether a peer may join: whatever it replies, it may not."""
        if room.state is not OPEN or room.has(req.peer):
            return
        for function in room.listeners("join_request"):
            function(room, req)
            if req.ended:
                return

    def message(self, req: Request, next: Next) -> None:
        """Pass a message on to all other members."""
        rooms = self._rooms_of(_peer_of(req))
        # One step: after this member's "leave", nobody hears from it any more.
        with rooms.lock:
            room = self._find(rooms, req)
            sent = room.broadcast("message", req.data, skip=req.peer, sender=req.sender)
            req.reply(200, f"message sent to {sent} peers", {"sent": sent})

    def private(self, req: Request, next: Next) -> None:
        """Pass a request on to one member, and its responses back."""
        rooms = self._rooms_of(_peer_of(req))
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
        rooms = self._rooms_of(_peer_of(req))
        rooms.leave(self._find(rooms, req), req)

    def request(self, req: Request, next: Next) -> None:
        """Let the application have what the room itself does not know."""
        room = self._find(self._rooms_of(_peer_of(req)), req)
        functions = room.listeners("request")
        if not functions:
            raise Reject(405, "method not allowed")
        for function in functions:
            function(room, req)
            if req.ended:
                return

    def _find(self, rooms: Rooms, req: Request) -> Room:
        """Return the room that a request is for, which must come from a member."""
        room = rooms.find(self._write_path(req))
        if room is None:
            raise Reject(404, "room not found")
        rooms.check_member(room, _peer_of(req))
        return room

    def _write_path(self, req: Request) -> str:
        """Return the path of a room, the same however its client has written it."""
        # Except for the mount: what of it are parameters, and so must be told apart by
        # case, is not known here. Better two rooms than one for two teams.
        filled = re.sub(
            r":(\w+)", lambda match: quote(req.params[match.group(1)], safe=""), self._path
        )
        return req.base_path + filled

    def _rooms_of(self, peer: Peer) -> Rooms:
        # Several apps may share this router; each has rooms of its own.
        return peer.runtime.service(self, self._make_rooms)

    def _make_rooms(self, runtime: Runtime) -> Rooms:
        return Rooms(runtime.scheduler, self._max_peers, MAX_ROOMS_PER_PEER)


def _names(path: str) -> list[str]:
    return re.findall(r":(\w+)", path)


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


def _peer_of(req: Request) -> Peer:
    assert req.peer is not None  # only a request to be sent has none
    return req.peer
