"""The worlds in which the contract is tested."""

from __future__ import annotations

from typing import Iterator

import pytest

from .worlds import HubWorld, Node, RedisWorld, World


@pytest.fixture(params=["hub", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return a world without nodes."""
    made: World
    if request.param == "hub":
        made = HubWorld()
    else:
        made = RedisWorld(request.getfixturevalue("redis_server"))
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
