"""A site, and handshakes that are over, kept in each of the ways that this Flask allows."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Flask, session

from protoo_flask.site.contexts import HandshakeContext
from protoo_flask.site.fast_contexts import FastHandshakeContext, probe

#: Where the probe fails, nobody gets the fast way.
WAYS = [HandshakeContext, FastHandshakeContext] if probe() else [HandshakeContext]


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
