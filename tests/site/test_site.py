"""The site: the state of one Flask app with a Protoo."""

from __future__ import annotations

from protoo_flask import Protoo
from protoo_flask.core.observer import Observer

from ..joining import join, make_app


class Counter(Observer):
    """Counts a few things, as a site's metrics would."""

    def __init__(self):
        self.connections = 0
        self.answers = []

    def connected(self, peer):
        self.connections += 1

    def closed(self, peer, code):
        self.connections -= 1

    def answered(self, request, status):
        self.answers.append((request.method, request.path, status))


def test_the_observer_of_a_site_is_told_of_its_clients():
    app = make_app()
    protoo = Protoo(app)
    protoo.get("/time", lambda req, next: req.reply(200))
    observer = app.extensions["protoo"].observer = Counter()
    alice, bob = join(app, "alice", "a1"), join(app, "bob", "b1")
    assert observer.connections == 2
    alice.receive(b'{"method": "get", "path": "/time", "id": 1}')
    bob.receive(b'{"method": "get", "path": "/nowhere", "id": 1}')
    bob.closed(1000)
    assert observer.answers == [("get", "/time", 200), ("get", "/nowhere", 404)]
    assert observer.connections == 1
    protoo.close()


def test_a_site_has_no_observer_unless_it_is_given_one():
    app = make_app()
    protoo = Protoo(app)
    assert join(app).peer.runtime.observer is None
    protoo.close()
