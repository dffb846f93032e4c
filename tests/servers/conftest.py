"""One server of each kind for the whole run. A failed test shows the server's output."""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.cluster.redis_servers import RedisServer

from . import sites
from .clients import Site
from .processes import ATTACHED, CLUSTER, COMMANDS, SITES, Server, start, start_server
from .server_cluster import ServerCluster, SpreadSite, runs_on_cluster
from .shared import SHARED


@pytest.fixture(scope="session", params=[*COMMANDS, CLUSTER])
def running_server(request: Any, tmp_path_factory: Any) -> Iterator[Server | ServerCluster]:
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("database")
        server: Server | ServerCluster
        if request.param == CLUSTER:
            server = stack.enter_context(run_cluster(folder))
        else:
            server = start_server(request.param, **{sites.DATABASE: str(folder / "db.sqlite")})
            stack.callback(server.stop)
        yield server
    # Only the output after the last test; the tests have checked the rest.
    assert server.complaints(server.first_line) == []  # type: ignore[arg-type]


@contextlib.contextmanager
def run_cluster(folder: Path) -> Iterator[ServerCluster]:
    """Run two servers that are one site, with a Redis of their own."""
    redis = RedisServer(folder)
    env = {
        sites.DATABASE: str(folder / "db.sqlite"),
        sites.CLUSTER_URL: redis.url,
        SHARED: str(folder),
    }
    cluster = ServerCluster([start_server("gunicorn", **env) for _ in range(2)])
    try:
        yield cluster
    finally:
        cluster.stop()
        redis.stop()


#: The files of tests that also run where all connections are attached: those about what is read,
#: written and closed, about the handshake, and about the contexts and threads of handlers. The
#: other files are about the core and the features, which do not know how a connection is served.
ON_ATTACHED = {
    *("test_admission", "test_coming_and_going", "test_contexts_of_messages", "test_database"),
    *("test_early_bytes", "test_fairness", "test_gone_clients", "test_grace_period"),
    *("test_places", "test_rates", "test_raw_bytes", "test_reauthorization"),
    *("test_slow_readers",),
    *("test_talking_messages", "test_talking_wire_format", "test_welcome", "test_workloads"),
}


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out the tests that do not run on a cluster, or where all connections are attached."""
    items[:] = [item for item in items if _runs(item, _kind_of(item))]


def _kind_of(item: Any) -> str:
    return item.callspec.params.get("running_server", "") if hasattr(item, "callspec") else ""


def _runs(item: Any, kind: str) -> bool:
    if kind == CLUSTER:
        return bool(runs_on_cluster(item))
    return kind != ATTACHED or item.module.__name__.rpartition(".")[2] in ON_ATTACHED


@pytest.fixture
def server(running_server: Any) -> Iterator[Any]:
    """Return the server. Its output must not have a traceback that the test does not expect."""
    running_server.first_line = running_server.line_count
    yield running_server
    assert running_server.complaints(running_server.first_line) == []


@pytest.fixture
def site(site_at: Callable[[str], Site]) -> Site:
    """Return the main site."""
    return site_at("")


@pytest.fixture
def site_at(server: Server | ServerCluster) -> Callable[[str], Site]:
    """Return a function that returns the site below a prefix."""
    if isinstance(server, ServerCluster):
        return partial(SpreadSite, server)
    return partial(Site, server.port)


@pytest.fixture
def start_gunicorn(tmp_path):
    with contextlib.ExitStack() as stack:

        def start_gunicorn(*options):
            command = ["-m", "gunicorn", *options, SITES + "()"]
            server = start("gunicorn", command, **{sites.DATABASE: str(tmp_path / "database")})
            stack.callback(server.stop)
            return server

        yield start_gunicorn


_numbers = itertools.count(1)


@pytest.fixture
def alice() -> str:
    """Return a username that no other test uses, because the tests share the servers."""
    return f"alice-{next(_numbers)}"


@pytest.fixture
def bob() -> str:
    return f"bob-{next(_numbers)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if server is not None and report.failed:
        output = server.output(server.first_line)
        report.sections.append((f"output of {server.kind}", output))
    return report
