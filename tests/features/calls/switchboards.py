"""A site with calls, and helpers that make them and read their messages."""

from __future__ import annotations

import itertools

from protoo_flask.features.calls.calls import Calls
from protoo_flask.middleware import session_handler
from tests.features.sites import Site

ALICE = {"username": "alice", "uuid": "a1"}

#: The paths of the first two calls.
S1 = "/users/sessions/s1"
S2 = "/users/sessions/s2"

#: ``left_behind()`` of a site without calls.
NOTHING = [0, 0, 0, 0, 0]


class Switchboard(Site):
    """A site with calls at ``mount``.

    The ids of calls are s1, s2, ...; the time is that of the scheduler.
    """

    def mount(self, router, *, mount="/users", ids=None, **options):
        ids = ids or (f"s{number}" for number in itertools.count(1))
        options.setdefault("now", self.core.scheduler.now)
        options.setdefault("new_id", lambda: next(ids))
        router.use(mount, session_handler(self, **options))

    def call(self, caller="alice/a1", path="/users/bob", **data):
        """Make a call; returns the request's id, and the ringing requests ``{uuid: request}``."""
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
        """Call one device, which answers; returns the path of the call."""
        id, rung = self.call(caller, f"/users/{callee}")
        (request,) = rung.values()
        self[callee].respond(request, 200, "OK")
        answer = self[caller].take()
        assert (answer["status"], answer["id"]) == (200, id)
        path: str = request["data"]["sessionPath"]
        return path

    def sessions(self, name):
        """Return the list of calls that a client gets."""
        answer = self[name].request("get", "/users/sessions")
        assert answer["status"] == 200
        return answer["data"]["sessions"]

    def states(self, name):
        return {session["path"]: session["state"] for session in self.sessions(name)}

    def all_calls(self):
        """Return the calls of the app; ``None`` before a client has connected."""
        found = [service for service in self.services().values() if isinstance(service, Calls)]
        assert len(found) <= 1
        return found[0] if found else None

    def left_behind(self):
        """Return the sizes of the indexes and queues of the calls."""
        return sizes_of(self.all_calls())


def sizes_of(calls):
    """Return the sizes of the indexes and queues of calls."""
    tables = [calls._calls, calls._engaged, calls._joinable, calls._events, calls._changed]
    return [len(table) for table in tables]


def end(path=S1, **data):
    """Return an ``end`` from the server, without its id."""
    return {"method": "end", "data": {"sessionPath": path, **data}}


def without_id(message):
    return {key: value for key, value in message.items() if key != "id"}


def take_end(client):
    """Take the next message, which must be an ``end``, accept it, and return it without its id."""
    message = client.take()
    assert message["method"] == "end", message
    client.respond(message, 200)
    return without_id(message)


def got(client):
    """Take all messages; returns the status of each, or its method and the reason."""
    return [
        message.get("status") or (message["method"], message["data"].get("reason"))
        for message in client.take_all()
    ]
