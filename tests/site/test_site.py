"""The site: the state of one Flask app with a Protoo."""

from __future__ import annotations

import gc
import weakref

from protoo_flask import Protoo
from protoo_flask.core.observer import Observer

from ..joining import HANDSHAKE, join, make_app


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
    observer = protoo.observe(Counter())
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


def test_a_forked_process_has_no_handshakes_in_progress():
    app = make_app()
    site = Protoo(app)._site
    with site.arrivals._lock:  # a thread that the child does not have
        site.arrivals.begin()
    former = site.arrivals

    site.leave_to_parent()

    assert site.arrivals is not former
    assert site.arrivals._lock is not former._lock
    assert site.disconnect("alice") == 0
    assert len(site.arrivals) == 0, "nobody is in progress, so nothing is remembered"


def test_refusing_a_server_that_cannot_work_keeps_no_requests():
    app = make_app()
    protoo = Protoo(app)
    client = app.test_client()
    with client.session_transaction() as session:
        session["username"] = "alice"
    kept = []

    class Mark:
        """Is in the environ of a request."""

    for headers in [HANDSHAKE, *[{}] * 20]:
        mark = Mark()
        kept.append(weakref.ref(mark))
        environ = {"mark": mark}
        # The test client has no socket, as a server without access to it.
        answer = client.get("/protoo", headers=headers, environ_overrides=environ)
        assert answer.status_code == 500
        del mark, environ, answer
    client.get("/nowhere")  # the client keeps its latest request
    gc.collect()
    assert [ref for ref in kept if ref() is not None] == []
    protoo.close()
