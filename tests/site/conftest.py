"""Fixtures: a site with an authorizer that is asked again, and handshakes that are over."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Flask, request, session

from protoo_flask import Protoo, Reject
from protoo_flask.core.wire.dialect import PROTOO
from protoo_flask.site.context_choice import probe
from protoo_flask.site.contexts import HandshakeContext, preprocess_request
from protoo_flask.site.fast_contexts import FastHandshakeContext
from protoo_flask.site.views import Views
from protoo_flask.transport.websocket.handshake import Handshake

from ..fakes import FakeLink, FakeScheduler
from ..joining import make_app

#: Where the probe fails, nobody gets the fast way.
WAYS = [HandshakeContext, FastHandshakeContext] if probe() else [HandshakeContext]


class MemoryConnection(FakeLink):
    """A connection that begins when it is made, and ends when a test says so."""

    def __init__(self, channel, loop, codec, handshake, *, connect, disconnect, **options):
        super().__init__()
        self._disconnect = disconnect
        self.inbox = connect(self)
        self.peer = self.inbox.peer

    def open(self):
        """Nothing was held back."""

    def drop(self):
        self._disconnect(self.inbox, 1006)


class Site:
    """A Flask app with an authorizer that is asked every ten seconds; the clock stands still."""

    def __init__(self, scheduler, **options):
        self.app = make_app()
        self.protoo = Protoo(self.app, **options)
        self.scheduler = scheduler
        #: ``(username, seconds)`` for each time that the authorizer was asked.
        self.asked = []
        #: ``{username: function}``: how the authorizer answers; users not here may stay.
        self.answers = {}
        self._start = scheduler.now()
        self.protoo.authorize(self._authorize)

    def _authorize(self):
        if "username" not in session:
            raise Reject(403, "not logged in")
        username, uuid = session["username"], request.args.get("uuid")
        self.asked.append((username, self.scheduler.now() - self._start))
        answer = self.answers.get(username)
        return (username, uuid) if answer is None else answer()

    def connect(self, username="alice", uuid="a1"):
        """Let somebody in, past the transport."""
        app, door = self.app, self.app.extensions["protoo"]
        cookie = app.session_interface.get_signing_serializer(app).dumps({"username": username})
        url = f"/protoo?uuid={uuid}" if uuid else "/protoo"
        headers = {"Cookie": f"session={cookie}"}
        with app.test_request_context(url, headers=headers) as context:
            preprocess_request(app)
            identity = Views(door)._identify()
            kept = HandshakeContext(app, context.request, context.session)
        door.open(self.scheduler)
        return door.service.connector(
            identity, kept, Handshake([], None, PROTOO), kind=MemoryConnection
        )(None, b"")

    def names(self):
        return sorted(peer.username for peer in self.protoo.peers())


@pytest.fixture
def make_site(monkeypatch):
    sites = []

    def make_site(scheduler=None, reauthorize_interval=10, **options):
        options["reauthorize_interval"] = reauthorize_interval
        sites.append(Site(scheduler or FakeScheduler(), **options))
        return sites[-1]

    yield make_site
    for site in sites:
        site.protoo.close()
        assert site.scheduler.pending_timers == 0


@pytest.fixture
def site(make_site):
    return make_site()


@pytest.fixture
def app():
    """Return a site that notes the calls of its teardown functions in ``torn_down``."""
    app = Flask("site")
    app.secret_key = "secret"
    app.torn_down = []
    app.add_url_rule("/protoo", "protoo", lambda: "")
    app.add_url_rule("/page", "page", lambda: "")

    @app.teardown_request
    def note_request(error):
        app.torn_down.append(("request", error))

    @app.teardown_appcontext
    def note_app_context(error):
        app.torn_down.append(("app", error))

    return app


@pytest.fixture(params=WAYS)
def make_context(request):
    """Return a function that lets alice in and returns the context of her handshake."""
    return partial(keep_handshake, request.param)


def keep_handshake(way, app, url="/protoo?uuid=a1", **environ):
    headers = {"X-Agent": "tests", "Cookie": "sid=1a2b"}
    with app.test_request_context(url, headers=headers, environ_overrides=environ) as context:
        session["username"] = "alice"
        kept = way(app, context.request, context.session)
    # The teardowns of the handshake are no concern of the tests.
    vars(app).get("torn_down", []).clear()
    return kept
