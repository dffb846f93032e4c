"""Code of the site runs for a peer of another node in the contexts of that peer's handshake."""

from __future__ import annotations

import pytest

from protoo_flask.core.request import Request
from tests.cluster.nodes import BURIAL_TIME

from .pairs import Pair


@pytest.fixture
def pair():
    with Pair(grace_period=10) as pair:
        pair.restored = []
        contexts = pair.a.application.directory.contexts
        restore = contexts.framework.restore

        def remember(text):
            pair.restored.append(text)
            return restore(text)

        contexts.framework = contexts.framework._replace(restore=remember)
        yield pair


def test_the_handshake_is_fetched_once(pair):
    told = []
    for _ in range(2):
        pair.remote_bob.send(Request("get"), told.append)
        pair.bob.respond(pair.bob.take(), 200)
        pair.run()
    assert len(told) == 2
    assert pair.restored == [b'{"PATH_INFO": "/"}']


def test_a_relay_needs_no_contexts(pair):
    pair.message()
    pair.bob.respond(pair.bob.take(), 200)
    assert pair.alice.take()["status"] == 200
    assert pair.restored == []


def test_without_its_owner_the_code_runs_in_contexts_without_a_handshake(pair):
    told = []
    pair.remote_bob.send(Request("get"), told.append)
    pair.hub.kill(pair.b.cluster)
    pair.nodes.advance(BURIAL_TIME)
    assert [response.status for response in told] == [503]
    assert pair.restored == [b""]


def test_a_peer_that_was_here_keeps_its_contexts_while_the_new_owner_cannot_be_asked(pair):
    bob = pair.bob.peer
    pair.a.connect("bob", "b1")
    pair.run()
    assert not bob.is_local
    pair.hub.kill(pair.a.cluster)
    used = []
    pair.b.framework.run = lambda function, *args: used.append(function)
    bob.context.run(print)
    assert used == [print]
    pair.nodes.advance(BURIAL_TIME)
