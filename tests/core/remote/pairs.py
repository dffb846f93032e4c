"""Alice at one node and Bob at another, both with a messenger."""

from __future__ import annotations

from typing import Any

from protoo_flask.core.request import Request
from protoo_flask.middleware import p2p_messenger
from tests.cluster.nodes import Nodes


class Pair:
    """The two nodes ``a`` and ``b``, with their clients ``alice`` and ``bob``.

    At the end, all clients leave, and all tables are empty.
    """

    def __init__(self, **options: Any) -> None:
        self.nodes = Nodes(2, **options)
        self.hub = self.nodes.hub
        self.a, self.b = self.nodes
        for core in self.nodes:
            core.router.use("/users", p2p_messenger(core.owner))
        self.alice = self.a.connect("alice", "a1")
        self.bob = self.b.connect("bob", "b1")
        self.forget_events()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.nodes.__exit__(kind, error, traceback)

    @property
    def remote_bob(self) -> Any:
        """Bob, as Alice's node knows him."""
        [bob] = self.a.peers("bob", "b1")
        return bob

    def message(self, data: Any = None, path: str = "/users/bob") -> None:
        """Alice sends Bob a message."""
        self.alice.start_request("message", path, data)

    def ask(self) -> Any:
        """Alice's node asks Bob something."""
        return self.remote_bob.send(Request("get"))

    def run(self) -> None:
        self.nodes.run()

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """The events since the last look: ``(node, name, username)``."""
        names = dict(zip(self.nodes, "abcd"))
        told = [(names[core], *event) for core in self.nodes for event in core.told]
        self.forget_events()
        return told

    def forget_events(self) -> None:
        for core in self.nodes:
            core.told.clear()
