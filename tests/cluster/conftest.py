from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.transport.worlds import AttachedThreads, Greenlets

from .redis_nodes import RedisNode, Start
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


@pytest.fixture
def start(world: Any, redis_server: Any) -> Iterator[Start]:
    """Starts nodes, and closes them in the end."""
    nodes: list[RedisNode] = []

    def start(url: str = redis_server.url, **options: Any) -> RedisNode:
        nodes.append(RedisNode(world, url, **options))
        return nodes[-1]

    yield start
    for node in nodes:
        node.cluster.close()
