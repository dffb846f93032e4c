"""A site with rooms, and helpers that join them and read their notifications."""

from __future__ import annotations

from protoo_flask.middleware import room_handler
from tests.features.sites import Site, address

ALICE, BOB, CAROL = "alice/a1", "bob/b1", "carol/c1"

#: The path of a room.
ROOM = "/chat/rooms/42"

#: The sizes of rooms without members.
EMPTY = [(0, 0, 0)]


class RoomSite(Site):
    """A site with rooms at /chat.

    :param on_room: may be replaced during a test.
    """

    def __init__(self, *names, on_room=None, **options):
        self.made = []
        self.on_room = on_room
        super().__init__(*names, **options)

    def mount(self, router, **options):
        router.use("/chat", room_handler(self, self._remember, **options))

    def _remember(self, room, req):
        self.made.append(room)
        if self.on_room is not None:
            self.on_room(room, req)

    @property
    def room(self):
        """The newest room."""
        return self.made[-1]

    def sizes(self):
        """Return the numbers of rooms, peers that are in rooms, and events not yet told."""
        kept = list(self.services().values())
        return [(len(rooms), len(rooms._rooms_of), len(rooms._events)) for rooms in kept]


def make_site(*names, **options):
    """Return a site with all clients in room 42."""
    site = RoomSite(*names, **options)
    join_all(site, *names)
    return site


def listen(**listeners):
    """Return an on_room() that registers listeners."""

    def on_room(room, req):
        for event, function in listeners.items():
            room.on(event, function)

    return on_room


def keep_books(books):
    """Return an on_room() that writes all events of its rooms into a list."""

    def on_room(room, req):
        books.append(f"room {room.id}")
        room.on("join", lambda room, peer: books.append(f"join {peer.uuid}"))
        room.on("leave", lambda room, peer: books.append(f"leave {peer.uuid}"))
        room.on("close", lambda room: books.append(f"close {room.id}"))

    return on_room


def join(client, path=ROOM):
    """Join a room; returns the names of the other members."""
    answer = client.request("session", path)
    assert (answer["status"], answer["reason"]) == (200, "joined"), answer
    assert set(answer["data"]) == {"sessionPath", "peers"}
    return [f"{peer['username']}/{peer['uuid']}" for peer in answer["data"]["peers"]]


def join_all(site, *names, path=ROOM):
    """Let clients join one after the other, and take their notifications."""
    for name in names:
        join(site[name], path)
    for client in site.clients.values():
        client.take_all()


def notification(method, path=ROOM, sender=None, **data):
    """Return a notification as a member gets it."""
    message = {"method": method, "data": {**data, "sessionPath": path}}
    if sender is not None:
        message["sender"] = address(sender)
    return message


def told(client, path=ROOM):
    """Take all notifications, which must be joins and leaves: ["join bob/b1"]."""
    found = []
    for message in client.take_all():
        peer = message["data"]["peer"]
        assert message == notification(message["method"], path, peer=peer)
        found.append(f"{message['method']} {peer['username']}/{peer['uuid']}")
    return found
