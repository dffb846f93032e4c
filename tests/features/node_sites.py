"""The same site at several nodes of a cluster."""

from __future__ import annotations

from typing import Any, Callable, Iterator

from tests.cluster.nodes import NodeCore, Nodes


class NodeSites(Nodes):
    """Nodes with a site each; as a context manager, it checks at the end that nothing is left.

    :param make_site: called with ``core=...`` for each node.
    :ivar sites: one for each node.
    """

    def __init__(self, make_site: Callable[..., Any], count: int = 2, **core_options: Any) -> None:
        self._make_site = make_site
        self.sites: list[Any] = []
        super().__init__(count, **core_options)

    def add(self, *args: Any, **options: Any) -> NodeCore:
        core = super().add(*args, **options)
        self.sites.append(self._make_site(core=core))
        return core

    def __getitem__(self, index: int) -> Any:
        return self.sites[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sites)

    def connect(self, name: str, node: int) -> Any:
        """Connect a client, "username/uuid", to a node."""
        return self.sites[node].connect(name)

    def kill(self, node: int) -> None:
        self.hub.kill(self.cores[node].cluster)

    def bury(self, node: int) -> None:
        """Kill a node, and wait until the others know."""
        self.kill(node)
        self.advance(BURIED)


#: Seconds after which all is told of a node that was killed.
BURIED = 10.0
