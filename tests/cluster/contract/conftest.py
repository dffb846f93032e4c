"""The worlds in which the contract is tested."""

from __future__ import annotations

from typing import Iterator

import pytest

import protoo_flask.cluster

from .worlds import HubWorld, Node, RedisWorld, World

WORLDS = ["hub"]
if hasattr(protoo_flask.cluster, "make_cluster"):
    WORLDS.append("redis")


@pytest.fixture(params=WORLDS)
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
