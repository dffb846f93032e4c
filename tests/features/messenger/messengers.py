"""A messenger with its peers, joined in memory."""

from __future__ import annotations

from protoo_flask.middleware import p2p_messenger
from tests.fakes import Core


class Messenger:
    """A core whose messenger is mounted at /users, with peers named "username/uuid"."""

    def __init__(self, *names, **options):
        self.core = Core()
        # Stands for the Protoo, of which the messenger asks only for peers.
        self.peers = self.core.application.directory.find
        self.core.router.use("/users", p2p_messenger(self, **options))
        self.clients = {}
        for name in names:
            self.connect(name)

    def __getitem__(self, name):
        return self.clients[name]

    def connect(self, name):
        self.clients[name] = self.core.connect(*name.split("/"))
        return self.clients[name]

    def who_got_something(self):
        """Return the names of those who have received anything, and make them forget it."""
        return sorted(name for name, client in self.clients.items() if client.take_all())

    def recipients(self):
        """Return the names of those who have received a message."""
        return sorted(
            name
            for name, client in self.clients.items()
            if [message for message in client.take_all() if "method" in message]
        )

    def take_requests(self):
        """Take the one request that each of Bob's devices has received: ``{uuid: request}``."""
        requests = {}
        for name, client in self.clients.items():
            if name.startswith("bob/"):
                (requests[client.peer.uuid],) = client.take_all()
        return requests

    def left_behind(self):
        """Return what the messages have left: timers, and transactions by peer."""
        left = {
            name: len(client.peer.outbound)
            for name, client in self.clients.items()
            if len(client.peer.outbound)
        }
        return self.core.scheduler.pending_timers, left


#: What has left nothing.
NOTHING = (0, {})


def spoil_requests(client):
    """Let data that cannot be written get into the requests of a client, as a handler may."""
    handler = client.inbox._handler

    class Spoiler:
        def handle(self, request):
            request.data["x"] = object()
            handler.handle(request)

    client.inbox._handler = Spoiler()
