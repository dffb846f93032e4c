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
from .processes import CLUSTER, KINDS, SITES, Server, start, start_server
from .server_cluster import ServerCluster, SpreadSite, runs_on_cluster
from .shared import SHARED


@pytest.fixture(scope="session", params=[*KINDS, CLUSTER])
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


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out the tests that do not run on a cluster."""
    items[:] = [
        item
        for item in items
        if not (
            hasattr(item, "callspec")
            and item.callspec.params.get("running_server") == CLUSTER
            and not runs_on_cluster(item)
        )
    ]


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
