"""Rooms: sessions with many members, for group chats and meshes of calls."""

from __future__ import annotations

from ...core.functions import check_function
from ...core.routing.router import Router
from ...extension import Protoo
from ..limits import check_limit
from .handlers import OnRoom, RoomHandlers
from .path_template import PathTemplate

#: Members of a room, by default. In a mesh of calls each member sends to all others, which
#: works with far fewer. The site may allow larger group chats.
MAX_PEERS = 50

#: Rooms that one peer may be in: more than a person follows. An untrusted client makes
#: rooms by joining them, so the limit bounds the memory that it can use up.
MAX_ROOMS_PER_PEER = 100


def room_handler(
    protoo: Protoo,
    on_room: OnRoom | None = None,
    *,
    path: str = "/rooms/:room_id",
    max_peers: int = MAX_PEERS,
    max_rooms: int = MAX_ROOMS_PER_PEER,
) -> Router:
    """Return a router for rooms; a room exists for as long as it has members.

    ::

        def on_room(room, req):
            @room.on("join_request")
            def check(room, req):
                if not may_enter(req.peer.username, room.id):
                    raise Reject(403, "members only")

        protoo.use("/chat", room_handler(protoo, on_room))

    ===========  ======================================================================
    ``session``  joins: 200 with ``sessionPath``, and the other members as ``peers``
    ``message``  goes to the other members as a notification; 200 with their number as
                 ``sent``
    ``private``  goes to the member ``data.peer`` (``username``, ``uuid``), whose
                 responses come back unchanged; 404 when that peer is not a member
    ``end``      leaves: 200
    any other    goes to ``@room.on("request")``, else 405
    ===========  ======================================================================

    A peer that is not a member gets 403, and for an unknown room 404. Members get the
    notifications ``join`` and ``leave`` with ``data.peer``. A member that is removed gets an
    ``end`` request.

    :param on_room: ``fn(room, req)``, called with each new
        :class:`~protoo_flask.features.rooms.room.Room` and the request of the first peer
        that joins it. It may register listeners, ``room.on(...)``. It may refuse the room, by
        a reply or an exception. The ``room_id`` is untrusted.
    :param path: the path below the mount, with ``:room_id`` and any other parameters.
    :param max_peers: members of one room; the next peer gets 503 "room is full".
    :param max_rooms: rooms that one peer may be in; then 429.
    :raises UsageError: for a path with patterns, or a limit that is not an integer of at
        least 1.
    """
    if on_room is not None:
        check_function(on_room, "fn(room, req)")
    template = PathTemplate(path)
    check_limit(
        max_peers, "room_handler(max_peers=...) takes the number of members that a room may have"
    )
    check_limit(
        max_rooms, "room_handler(max_rooms=...) takes the number of rooms that a peer may be in"
    )
    handlers = RoomHandlers(on_room, template, max_peers, max_rooms)
    handlers.service = protoo.add_service("rooms", handlers)
    protoo.on("offline", handlers.note_offline)
    router = Router()
    router.session(path, handlers.join)
    router.method("message", path, handlers.message)
    router.method("private", path, handlers.private)
    router.end(path, handlers.leave)
    router.all(path, handlers.pass_on)
    return router
