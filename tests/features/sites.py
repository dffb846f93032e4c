"""A site in memory: a core with one feature mounted in it, and clients joined to it."""

from __future__ import annotations

from protoo_flask.site.flask_framework import EVENTS
from tests.fakes import Core


class Site:
    """A core and its clients, which are named "username/uuid"; a subclass mounts the feature.

    The site stands for the Protoo of the feature: it has ``on()``, ``peers()`` and
    ``add_service()``.

    :param names: of the clients that are connected at the start.
    :param core: or, for a new one, ``core_options``.
    :param options: of the feature.
    """

    def __init__(self, *names, core=None, core_options=None, **options):
        self.core = core or Core(**(core_options or {}))
        self.listeners = []
        self.clients = {}
        self.core.framework.on_event.append(self._tell)
        self.mount(self.core.router, **options)
        for name in names:
            self.connect(name)

    def mount(self, router, **options):
        raise NotImplementedError

    # The Protoo, as the feature sees it

    def on(self, event, function):
        self.listeners.append((EVENTS[event], function))

    def add_service(self, name, service):
        # Of a node of a cluster: its core hands the requests of other nodes to them.
        services = getattr(self.core, "services", {})
        services[name] = service
        return name

    def peers(self, username=None, uuid=None):
        return self.core.application.directory.find(username, uuid)

    def _tell(self, event):
        for name, function in self.listeners:
            if name == event.name:
                function(event.subject)

    # Clients and time

    def __getitem__(self, name):
        return self.clients[name]

    def connect(self, name):
        """Connect a client, or connect it again."""
        self.clients[name] = self.core.connect(*name.split("/"))
        return self.clients[name]

    def advance(self, seconds):
        self.core.scheduler.advance(seconds)

    # Sizes that must be as before when a test is over

    def services(self):
        """Return the live services of the app, ``{key: service}``."""
        return self.core.application.runtime._services

    def unfinished(self):
        """Return the unanswered requests, ``{name: (from the server, from the client)}``."""
        counts = {
            name: (len(client.peer.outbound), len(client.peer.requests))
            for name, client in self.clients.items()
        }
        return {name: count for name, count in counts.items() if any(count)}

    @property
    def pending_timers(self):
        return self.core.scheduler.pending_timers


def address(name):
    """Return ``{"username": ..., "uuid": ...}`` of "username/uuid"."""
    username, uuid = name.split("/")
    return {"username": username, "uuid": uuid}


def status_line(answer):
    """Return the status and the reason of a response."""
    return answer["status"], answer["reason"]


class Deaf:
    """Stands for a Protoo without events."""

    def on(self, event, function): ...

    def add_service(self, name, service):
        return name
