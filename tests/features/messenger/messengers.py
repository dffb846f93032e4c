"""A site with a messenger, and helpers that read the messages."""

from __future__ import annotations

from protoo_flask.middleware import p2p_messenger
from tests.features.sites import Site

#: ``left_behind()`` of a site without messages in progress.
NOTHING = (0, {})


class Messenger(Site):
    """A site with a messenger at /users."""

    def mount(self, router, **options):
        router.use("/users", p2p_messenger(self, **options))

    def take_recipients(self):
        """Take all messages; returns the names of the clients that had any."""
        return sorted(name for name, client in self.clients.items() if client.take_all())

    def take_request_recipients(self):
        """Take all messages; returns the names of the clients that had a request among them."""
        return sorted(
            name
            for name, client in self.clients.items()
            if [message for message in client.take_all() if "method" in message]
        )

    def take_requests(self):
        """Take the one request that each of Bob's devices has: ``{uuid: request}``."""
        requests = {}
        for name, client in self.clients.items():
            if name.startswith("bob/"):
                (requests[client.peer.uuid],) = client.take_all()
        return requests

    def left_behind(self):
        """Return the number of timers, and the unanswered requests from the server by client."""
        outbound = {name: len(client.peer.outbound) for name, client in self.clients.items()}
        return self.pending_timers, {name: count for name, count in outbound.items() if count}


class Store:
    """An ``on_offline`` that keeps its arguments, then replies or fails."""

    def __init__(self, reply=(202, "kept"), error=None):
        self.kept = []
        self._reply = reply
        self._error = error

    def __call__(self, req, username):
        self.kept.append((username, req.sender["uuid"], req.data))
        if self._error is not None:
            raise self._error
        if self._reply is not None:
            req.reply(*self._reply)


def spoil_requests(client):
    """Put data that cannot be written into the requests of a client, as a handler may do."""
    handler = client.inbox._handler

    class Spoiler:
        def handle(self, request):
            request.data["x"] = object()
            handler.handle(request)

    client.inbox._handler = Spoiler()
