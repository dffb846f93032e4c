"""Rooms with those who come to them, joined in memory."""

from __future__ import annotations

from protoo_flask.middleware import room_handler
from protoo_flask.site.flask_framework import EVENTS
from tests.fakes import Core


class RoomSite:
    """A core whose rooms are mounted at /chat, with peers named "username/uuid"."""

    def __init__(self, *names, on_room=None, core=None, **options):
        self.core = core or Core()
        self.listeners = []
        self.core.framework.on_event.append(self._tell)
        self.made = []
        self._on_room = on_room

        self.core.router.use("/chat", room_handler(self, self.on_room, **options))
        self.clients = {name: self.connect(name) for name in names}

    def on_room(self, room, req):
        """Remember the room, and let the test say more."""
        self.made.append(room)
        if self._on_room is not None:
            self._on_room(room, req)

    @property
    def room(self):
        """The room that was made last."""
        return self.made[-1]

    def __getitem__(self, name):
        return self.clients[name]

    def on(self, event, function):
        """Stand for the Protoo, of which rooms ask nothing else."""
        self.listeners.append((EVENTS[event], function))

    def _tell(self, event):
        for name, function in self.listeners:
            if name == event.name:
                function(event.subject)

    def connect(self, name):
        return self.core.connect(*name.split("/"))

    def rooms(self):
        """Return the rooms of the app, as its services."""
        return self.core.application.runtime._services

    def sizes(self):
        """Return the numbers of rooms, peers that are in some, events not yet told."""
        kept = list(self.rooms().values())
        return [(len(rooms), len(rooms._rooms_of), len(rooms._events)) for rooms in kept]


def _is_ours(function):
    return hasattr(getattr(function, "__self__", None), "_rooms")


#: What has left nothing.
EMPTY = [(0, 0, 0)]


def join(client, path="/chat/rooms/42"):
    """Join a room; returns the names of those who are in."""
    answer = client.request("session", path)
    assert (answer["status"], answer["reason"]) == (200, "joined"), answer
    assert set(answer["data"]) == {"sessionPath", "peers"}
    return [f"{peer['username']}/{peer['uuid']}" for peer in answer["data"]["peers"]]


def join_all(site, *names, path="/chat/rooms/42"):
    """Let some join one after the other; what they were told of each other is taken."""
    for name in names:
        join(site[name], path)
    for client in site.clients.values():
        client.take_all()


def address(name):
    username, uuid = name.split("/")
    return {"username": username, "uuid": uuid}


def notification(method, path="/chat/rooms/42", sender=None, **data):
    """Return what is sent to a member."""
    message = {"method": method, "data": {**data, "sessionPath": path}}
    if sender is not None:
        message["sender"] = address(sender)
    return message


def told(client, path="/chat/rooms/42"):
    """Take what came, which must be joins and leaves: ["join bob/b1"]."""
    found = []
    for message in client.take_all():
        peer = message["data"]["peer"]
        assert message == notification(message["method"], path, peer=peer)
        found.append(f"{message['method']} {peer['username']}/{peer['uuid']}")
    return found
