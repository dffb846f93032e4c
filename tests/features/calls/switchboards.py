"""Calls between peers that are joined in memory."""

from __future__ import annotations

import itertools

from protoo_flask.middleware import session_handler
from protoo_flask.site.flask_framework import EVENTS
from tests.fakes import Core

ALICE = {"username": "alice", "uuid": "a1"}

#: Where the first call is, and the second.
S1 = "/users/sessions/s1"
S2 = "/users/sessions/s2"


class Switchboard:
    """A core whose calls are mounted at /users, with peers named "username/uuid".

    The ids of calls are s1, s2, ...; the time is the scheduler's.
    """

    def __init__(self, *names, core=None, mount="/users", ids=None, **options):
        self.core = core or Core(**options.pop("core_options", {}))
        self.listeners = []
        self.core.framework.on_event.append(self._tell)
        ids = ids or (f"s{number}" for number in itertools.count(1))
        options.setdefault("now", self.core.scheduler.now)
        options.setdefault("new_id", lambda: next(ids))
        self.core.router.use(mount, session_handler(self, **options))
        self.clients = {}
        for name in names:
            self.connect(name)

    def on(self, event, function):
        """Stand for the Protoo, of which calls ask nothing else."""
        self.listeners.append((EVENTS[event], function))

    def _tell(self, event):
        for name, function in self.listeners:
            if name == event.name:
                function(event.subject)

    def __getitem__(self, name):
        return self.clients[name]

    def connect(self, name):
        self.clients[name] = self.core.connect(*name.split("/"))
        return self.clients[name]

    def call(self, caller="alice/a1", path="/users/bob", **data):
        """Call; returns the id of the request and the requests that ring, ``{uuid: request}``."""
        client = self[caller]
        id = client.start_request("session", path, data)
        answer = client.take()
        assert (answer["status"], answer["reason"], answer["id"]) == (100, "connecting", id), answer
        rung = {}
        for other in self.clients.values():
            if other is not client:
                for message in other.take_all():
                    assert message["method"] == "session"
                    rung[other.peer.uuid] = message
        return id, rung

    def open_call(self, caller="alice/a1", callee="bob/b1"):
        """Call one device, which answers; returns the path."""
        id, rung = self.call(caller, f"/users/{callee}")
        (request,) = rung.values()
        self[callee].respond(request, 200, "OK")
        answer = self[caller].take()
        assert (answer["status"], answer["id"]) == (200, id)
        path: str = request["data"]["sessionPath"]
        return path

    def sessions(self, name):
        """Return the calls that a peer is told it is in."""
        answer = self[name].request("get", "/users/sessions")
        assert answer["status"] == 200
        return answer["data"]["sessions"]

    def states(self, name):
        return {session["path"]: session["state"] for session in self.sessions(name)}

    def all_calls(self):
        """Return what session_handler() keeps for this app."""
        (_, leave) = (function for name, function in self.listeners)
        (handlers,) = (cell.cell_contents for cell in leave.__closure__)
        return handlers.calls_of(next(iter(self.clients.values())).peer)

    def left_behind(self):
        """Return what is kept of calls, of how many kinds; what happens next has happened."""
        calls = self.all_calls()
        tables = [calls._calls, calls._engaged, calls._joinable, calls._events, calls._changed]
        return [len(table) for table in tables]

    def unfinished(self):
        """Return how many requests, in either direction, wait for an answer: by peer."""
        return {
            name: (len(client.peer.outbound), len(client.peer.requests))
            for name, client in self.clients.items()
            if len(client.peer.outbound) or len(client.peer.requests)
        }


#: What is kept when there is no call.
NOTHING = [0, 0, 0, 0, 0]


class Deaf:
    """Stands for a Protoo that tells nothing."""

    def on(self, event, function): ...


def end(path=S1, **data):
    """Return an ``end`` of the server's, without its id."""
    return {"method": "end", "data": {"sessionPath": path, **data}}


def without_id(message):
    return {key: value for key, value in message.items() if key != "id"}


def take_end(client):
    """Take the ``end`` that must have come, without its id, and accept it."""
    message = client.take()
    assert message["method"] == "end", message
    client.respond(message, 200)
    return without_id(message)


def summary(message):
    """Return the status and reason of a response."""
    return message["status"], message["reason"]
