from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.transport.worlds import AttachedThreads, Greenlets

from .redis_servers import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server of the test's own, which has started."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture(params=[Greenlets, AttachedThreads], ids=lambda world: world.name)
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Greenlets or threads; the test leaves none of them behind."""
    world = request.param()
    with world.check_leaks():
        yield world
