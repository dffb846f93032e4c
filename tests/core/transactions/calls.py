"""A request to a client, in a state of the table; and the responses that end it."""

from __future__ import annotations

from protoo_flask.core.request import Request
from protoo_flask.core.transactions.client import CALLING, PROCEEDING, TERMINATED
from tests.fakes import Core

PROVISIONAL = (183, "progress", False)
FINAL = (200, "OK", False)
TIMEOUT = (408, "request timeout", True)
OFFLINE = (410, "peer offline", True)
CANCELED = (487, "canceled", True)


def describe(response):
    return (response.status, response.reason, response.is_local)


class Call:
    """A request to a client, in a state of the table; collects what is told."""

    def __init__(self, state=CALLING, **options):
        self.core = Core(**options)
        self.client = self.core.connect("bob", "b1")
        self.peer = self.client.peer
        self.told = []
        self.request = Request("session", {"offer": 1})
        self.transaction = self.peer.send(self.request, self.told.append)
        self.sent = self.client.take()
        if state is PROCEEDING:
            self.client.respond(self.sent, 180, "ringing")
        elif state is TERMINATED:
            self.client.respond(self.sent, 200, "OK")
        assert self.transaction.state is state
        self.told.clear()

    def happen(self, event):
        {
            "provisional": lambda: self.client.respond(self.sent, 183, "progress"),
            "final": lambda: self.client.respond(self.sent, 200, "OK"),
            "timeout": lambda: self.core.scheduler.advance(10),
            "peer offline": lambda: self.client.drop(),
            "cancel": lambda: self.transaction.cancel(),
        }[event]()
