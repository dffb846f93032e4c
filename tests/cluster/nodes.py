"""Nodes: applications that are joined in one hub, and clients that are joined to them.

::

    with Nodes(2) as nodes:
        a, b = nodes
        alice, bob = a.connect("alice", "a1"), b.connect("bob", "b1")
        alice.peer ...
        nodes.hub.kill(b)
        nodes.advance(BURIAL_TIME)

At the end, all clients leave, time passes, and all tables of all nodes and of the hub are empty.

A site of a feature is spread over nodes by :func:`spread`: ``spread(Switchboard)("alice/a1",
"bob/b1")`` is a Switchboard whose clients are connected to two nodes in turn.
"""

from __future__ import annotations

from typing import Any, Iterator

from protoo_flask.core.routing.router import Router
from tests.fakes import Core, FakeClient, FakeContext, FakeLink

from .clock import HubClock
from .in_process import BURIAL_TIME, Hub
from .in_process_cluster import InProcessCluster

#: Seconds after which nothing of a peer that has gone is remembered any more: longer than each of
#: the time limits of a :class:`Core`.
LONG_AFTER = 1000.0


class HubLink(FakeLink):
    """A link whose client sees what the nodes have sent until it looks."""

    def __init__(self, clock: HubClock) -> None:
        super().__init__()
        self._clock = clock

    def take(self) -> dict[str, Any]:
        self._clock.run()
        return super().take()

    def take_all(self) -> list[dict[str, Any]]:
        self._clock.run()
        return super().take_all()


class NodeClient(FakeClient):
    """A client of a node. All nodes do what there is to be done before its methods return."""

    def __init__(
        self,
        core: NodeCore,
        username: str,
        uuid: str,
        data: Any = None,
        link: FakeLink | None = None,
    ) -> None:
        self._clock = core.hub.clock
        self.core = core
        super().__init__(core, username, uuid, data, HubLink(self._clock) if link is None else link)
        core.clients.append(self)
        self._clock.run()

    def send_raw(self, payload: bytes) -> None:
        self._clock.run()
        super().send_raw(payload)
        self._clock.run()

    def drop(self, *args: Any, **kwargs: Any) -> None:
        self._clock.run()
        super().drop(*args, **kwargs)
        self._clock.run()


class NodeCore(Core):
    """An application that is a node of a hub.

    :ivar cluster: its connection to the hub.
    :ivar clients: all that were ever connected to it.
    """

    def __init__(self, hub: Hub, router: Router | None = None, **options: Any) -> None:
        self.hub = hub
        self.clients: list[NodeClient] = []
        self.services: dict[str, Any] = options.pop("services", {})
        self.scheduler_class = hub.clock.new_scheduler  # type: ignore[assignment,misc]
        first = 100_000 * (len(hub.nodes) + 1)
        options.setdefault("first_id", lambda: first)
        super().__init__(router, make_directory=self._make_directory, **options)
        self.application.directory.start()

    @property
    def node(self) -> str:
        """The id of the node."""
        return self.cluster.node

    @property
    def is_alive(self) -> bool:
        return self.cluster.is_alive

    @property
    def told(self) -> list[tuple[str, str]]:
        """The events that the site was told at this node: ``(name, username)``."""
        self.hub.run()
        return self.framework.told

    def peers(self, username: str | None = None, uuid: str | None = None) -> list[Any]:
        return self.application.directory.find(username, uuid)

    def connect(self, username: str = "alice", uuid: str = "a1", *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("kind", NodeClient)
        return super().connect(username, uuid, *args, **kwargs)

    def _make_directory(self, runtime: Any, events: Any) -> Any:
        from protoo_flask.core.remote.cluster_directory import ClusterDirectory

        self.cluster = InProcessCluster(self.hub, self.scheduler)
        directory = ClusterDirectory(
            runtime,
            events,
            self.cluster,
            describe_context=_describe_context,
            restore_context=self._restore_context,
            services=self.services,
            owner=self.owner,
        )
        self.host = directory.host
        return directory

    def _restore_context(self, description: bytes) -> FakeContext:
        assert description in (DESCRIPTION, b"")
        return FakeContext(self.framework)


#: What a node tells another of the context of a peer.
DESCRIPTION = b'{"PATH_INFO": "/"}'


def _describe_context(context: Any) -> bytes:
    return DESCRIPTION


class Nodes:
    """Nodes of one hub; as a context manager, it checks at the end that nothing is left.

    :param count: of the nodes.
    :param options: of each :class:`Core`; ``routers``: one for each node.
    """

    def __init__(self, count: int = 2, *, routers: list[Router] | None = None, **options: Any):
        self.hub = Hub()
        self._options = options
        self.cores: list[NodeCore] = []
        for index in range(count):
            self.add(None if routers is None else routers[index])

    def add(self, router: Router | None = None, **options: Any) -> NodeCore:
        """Start one more node."""
        core = NodeCore(self.hub, router, **{**self._options, **options})
        self.cores.append(core)
        return core

    def __getitem__(self, index: int) -> NodeCore:
        return self.cores[index]

    def __iter__(self) -> Iterator[NodeCore]:
        return iter(self.cores)

    def run(self) -> None:
        self.hub.run()

    def advance(self, seconds: float) -> None:
        self.hub.advance(seconds)

    @property
    def told(self) -> list[tuple[str, str]]:
        """The events that the site was told at all nodes; sorted, as nodes have no order."""
        return sorted(event for core in self.cores for event in core.told)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self.finish()

    def finish(self) -> None:
        """Let all clients leave and time pass; then nothing is left."""
        self.hub.run()
        for core in self.cores:
            if core.is_alive:
                for client in core.clients:
                    if client.link.closed is None:
                        client.leave()
                    elif client.peer.link is client.link:
                        client.drop()
        self.hub.advance(LONG_AFTER)
        self.check_empty()

    def check_empty(self) -> None:
        """Check that the tables of all nodes and of the hub are empty."""
        self.hub.run()
        left = {"hub": self.hub.leftovers}
        for index, core in enumerate(self.cores):
            if core.is_alive:
                left[f"node {index}"] = sizes_of(core)
        left = {name: found for name, found in left.items() if found}
        assert not left, f"something is left: {left}"


def sizes_of(core: NodeCore) -> dict[str, int]:
    """Return the tables of a node that are not empty, ``{name: size}``.

    The directory and the host say by themselves what they have: an attribute ``tables``,
    ``{name: table}``.
    """
    tables: dict[str, Any] = {
        "peers": core.peers(),
        "timers": range(core.scheduler.pending_timers),
    }
    for part in (core.application.directory, core.host):
        tables.update(getattr(part, "tables", {}))
    sizes = {name: len(table) for name, table in tables.items()}
    return {name: size for name, size in sizes.items() if size}


# Sites of features -------------------------------------------------------------------


def spread(kind: type[Any], count: int = 2) -> type[Any]:
    """Return a class like ``kind``, a site of a feature, with clients on several nodes in turn.

    :param kind: a subclass of :class:`tests.features.sites.Site`. Its object is the site of the
        first node; those of the others are in ``sites``, and in itself.
    """

    class SpreadSite(kind):  # type: ignore[misc]
        def __init__(self, *names: str, core_options: Any = None, **options: Any) -> None:
            self.hub = Hub()
            self.sites = [self]
            self._turns = 0
            #: ``{name: the node that it is connected to}``, for those that have a fixed one.
            self.fixed: dict[str, int] = {}
            for _ in range(1, count):
                services: dict[str, Any] = {}
                core = NodeCore(self.hub, services=services, **(core_options or {}))
                site = kind(core=core, **options)
                self.sites.append(site)
            core = NodeCore(self.hub, **(core_options or {}))
            super().__init__(*names, core=core, **options)

        def connect(self, name: str, node: int | None = None) -> Any:
            """Connect a client to a node; by default, to the next one in turn."""
            if node is None:
                node = self.fixed.get(name, self._turns % count)
                self._turns += 1
            self.clients[name] = self.sites[node].core.connect(*name.split("/"))
            return self.clients[name]

        def advance(self, seconds: float) -> None:
            self.hub.advance(seconds)

        def finish(self) -> None:
            """Let all clients leave and time pass; then nothing is left."""
            nodes = Nodes(0)
            nodes.hub = self.hub
            nodes.cores = [site.core for site in self.sites]
            nodes.finish()

    return SpreadSite


__all__ = ["BURIAL_TIME", "DESCRIPTION", "NodeClient", "NodeCore", "Nodes", "spread"]
