"""Two servers that are one site by a Redis, and a site whose clients are spread over them."""

from __future__ import annotations

import importlib.util
import itertools
import time
from functools import partial
from typing import Any

from .clients import Site, eventually
from .processes import CLUSTER, DEADLINE, Server

#: The modules whose tests run on a cluster, too: those of what peers do with each other.
MODULES = {
    "test_calls",
    "test_coming_and_going",
    "test_contexts_of_messages",
    "test_grace_period",
    "test_presence",
    "test_rooms",
    "test_talking_messages",
    "test_threats",
    "test_welcome",
}

#: Single tests of other modules.
TESTS = {
    "test_the_seventeenth_device_is_refused_for_now_with_a_reason",
    "test_a_user_is_found_and_disconnected_by_the_id_of_a_database",
}

#: Tests of those modules that are about one process.
OF_ONE_PROCESS = {
    # The log of the server that a client happens to be connected to.
    "test_a_teardown_function_that_needs_before_request_is_explained_in_the_log",
    "test_a_closing_site_tells_its_clients_and_refuses_new_ones",  # so is protoo.close()
    "test_a_page_of_another_site_with_the_cookie_of_a_user_is_refused",  # it is of one address
}


def has_cluster() -> bool:
    """Whether the parts of a cluster are there."""
    parts = ("cluster.redis_cluster", "core.remote.cluster_directory")
    try:
        return all(importlib.util.find_spec(f"protoo_flask.{part}") for part in parts)
    except ModuleNotFoundError:
        return False


def runs_on_cluster(item: Any) -> bool:
    """Whether a test is one of those that run on a cluster."""
    if not has_cluster():
        return False
    module = item.module.__name__.rpartition(".")[2]
    name = item.originalname
    return name not in OF_ONE_PROCESS and (module in MODULES or name in TESTS)


class ServerCluster:
    """Servers that are one site; it has the methods of a :class:`Server` that tests use."""

    kind = CLUSTER

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.first_line = self.line_count
        self._turns: dict[str, itertools.cycle[int]] = {}

    def next_port(self, purpose: str) -> int:
        """Return the port of the next server in turn; each purpose has turns of its own."""
        ports = [server.port for server in self.servers]
        return next(self._turns.setdefault(purpose, itertools.cycle(ports)))

    @property
    def line_count(self) -> tuple[int, ...]:
        return tuple(server.line_count for server in self.servers)

    def complaints(self, start: tuple[int, ...]) -> list[str]:
        pairs = zip(self.servers, start)
        return [line for server, first in pairs for line in server.complaints(first)]

    def output(self, start: tuple[int, ...] | None = None) -> str:
        parts = zip(self.servers, start or (0,) * len(self.servers))
        return "\n---\n".join(server.output(first) for server, first in parts)

    def allow_traceback(self, pattern: str) -> None:
        for server in self.servers:
            server.allow_traceback(pattern)

    def expect_traceback(self, pattern: str) -> None:
        """Wait for a traceback with this end at one of the servers."""
        self.allow_traceback(pattern)
        pairs = list(zip(self.servers, self.first_line))
        deadline = time.monotonic() + DEADLINE
        while not any(server.has_printed(pattern, first) for server, first in pairs):
            assert time.monotonic() < deadline, f"no server has printed {pattern!r}"
            time.sleep(0.01)

    def stop(self) -> None:
        for server in self.servers:
            server.interrupt()
        for server in self.servers:
            server.stop()


class SpreadSite(Site):
    """A site whose clients are connected to the servers in turn; so are requests over HTTP."""

    def __init__(self, cluster: ServerCluster, prefix: str = "") -> None:
        super().__init__(cluster.next_port("http"), prefix)
        self._cluster = cluster

    def choose_server(self, purpose: str) -> None:
        self.port = self._cluster.next_port(purpose)
        self.host = f"127.0.0.1:{self.port}"

    def expect(self, path: str, expected: Any) -> None:
        # What a server remembers of the directory is true again in a moment.
        for server in self._cluster.servers:
            eventually(partial(Site(server.port, self.prefix).get, path), expected)
