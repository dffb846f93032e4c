"""The worlds in which the contract is tested."""

from __future__ import annotations

from typing import Iterator

import pytest

from .worlds import GreenletRedisWorld, HubWorld, Node, RedisWorld, World

#: Tests of deaths, and of a Redis that is away, wait for long. They run among threads alone.
SLOW = "test_nodes"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        names = ["hub", "redis", "greenlets"]
        if metafunc.module.__name__.endswith(SLOW):
            names.remove("greenlets")
        metafunc.parametrize("world", names, indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return a world without nodes."""
    made: World
    if request.param == "hub":
        made = HubWorld()
    else:
        kind = RedisWorld if request.param == "redis" else GreenletRedisWorld
        made = kind(request.getfixturevalue("redis_server"))
    yield made
    made.close()
    assert [entry for node in made.made for entry in node.host.overlaps] == []


@pytest.fixture
def a(world: World) -> Node:
    """Return a node."""
    return world.join()


@pytest.fixture
def b(world: World, a: Node) -> Node:
    """Return another node, which joins after the first."""
    return world.join()
