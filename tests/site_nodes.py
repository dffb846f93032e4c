"""Sites that are nodes of one cluster, each in a process of its own as far as it knows."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest

from protoo_flask import Protoo
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.wire.dialect import PROTOO

from .cluster.in_process import Hub
from .fakes import FakeLink
from .joining import make_app

URL = "redis://not-asked.example"


class Node:
    """One process: an app with a Protoo, whose cluster is a hub within the process of the test.

    :ivar asked: how often the site has made a cluster.
    """

    def __init__(self, hub, register=lambda protoo: None, **options):
        self.hub = hub
        self.app = make_app()
        self.protoo = Protoo(self.app, cluster_url=URL, **options)
        register(self.protoo)
        self.site = self.app.extensions["protoo"]
        self.site.make_cluster = self._make_cluster
        self.asked = 0

    def _make_cluster(self, settings, loop, logger):
        assert settings.cluster_url == URL
        self.asked += 1
        self.cluster = self.hub.new_node(loop)
        return self.cluster

    def open(self):
        return self.site.open(self.hub.clock.new_scheduler())

    def connect(self, username, uuid="a1", data=None):
        """Let a client in, past the handshake; return its link."""
        application = self.open() if self.site.loop is None else self.site.open(self.site.loop)
        cookie = self.app.session_interface.get_signing_serializer(self.app)
        headers = {"Cookie": "session=" + cookie.dumps({"username": username})}
        with self.app.test_request_context(f"/protoo?uuid={uuid}", headers=headers) as context:
            kept = self.site.service.context_class(self.app, context.request, context.session)
        link = FakeLink()
        identity = Identity(username, uuid, data)
        link.inbox = application.connect(identity, link, kept, dialect=PROTOO)
        link.inbox.open()
        self.hub.run()
        return link


def make_nodes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Node]]:
    """Give a function that makes nodes; at the end they leave, and nothing is left of them."""
    # Code of a site that has no client here guesses its world; here, it is that of the test.
    monkeypatch.setattr(
        "protoo_flask.site.site.guess_loop", lambda environ: hub.clock.new_scheduler()
    )
    nodes: list[Node] = []

    def make_node(*args: Any, **options: Any) -> Node:
        nodes.append(Node(hub, *args, **options))
        return nodes[-1]

    yield make_node
    for node in nodes:
        node.protoo.close()
        hub.run()
    for cluster in hub.nodes:
        assert not cluster.is_connected, "a node has not left"
    assert hub.leftovers == {}
