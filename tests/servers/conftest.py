"""One server of each kind for the whole run. A failed test shows the server's output."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, Callable, Iterator

import pytest

from . import sites
from .clients import Site
from .processes import KINDS, SITES, Server, start, start_server


@pytest.fixture(scope="session", params=KINDS)
def running_server(request: Any, tmp_path_factory: Any) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("database") / f"{request.param}.sqlite"
    server = start_server(request.param, **{sites.DATABASE: str(database)})
    yield server
    server.stop()
    # Only the output after the last test; the tests have checked the rest.
    assert server.complaints(server.first_line) == []


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """Return the server. Its output must not have a traceback that the test does not expect."""
    running_server.first_line = running_server.line_count
    yield running_server
    assert running_server.complaints(running_server.first_line) == []


@pytest.fixture
def site(server: Server) -> Site:
    """Return the main site."""
    return Site(server.port)


@pytest.fixture
def site_at(server: Server) -> Callable[[str], Site]:
    """Return a function that returns the site below a prefix."""
    return lambda prefix: Site(server.port, prefix)


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
