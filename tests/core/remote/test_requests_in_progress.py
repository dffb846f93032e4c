"""A request of a client whose peer has moved ends, whatever happens to the nodes on its way."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing.router import Router
from tests.cluster.nodes import BURIAL_TIME, Nodes

GRACE = 10

REQUEST = {"method": "get", "path": "/open", "id": 7}


class World:
    """Nodes, of which the first one has a request of Alice's open."""

    def __init__(self, count):
        self.requests = []
        router = Router()
        router.get("/open", lambda req, next: self.requests.append(req))
        routers = [router, *(Router() for _ in range(count - 1))]
        self.nodes = Nodes(count, routers=routers, grace_period=GRACE)
        self.hub = self.nodes.hub
        self.nodes[0].connect().send(REQUEST)

    def reply(self):
        self.requests[0].reply(200)
        self.hub.run()


@pytest.fixture
def make_world():
    worlds = []

    def make(count):
        worlds.append(World(count))
        return worlds[-1]

    yield make
    for world in worlds:
        world.nodes.finish()


def statuses(client):
    return [message["status"] for message in client.take_all() if "status" in message]


def test_an_estate_that_comes_after_the_death_of_the_node_that_handles_a_request(make_world):
    world = make_world(3)
    a, b, c = world.nodes
    b.connect()
    world.hub.kill(a)
    world.nodes.advance(BURIAL_TIME - 0.3)
    world.hub.delay(b, c, 0.6)
    third = c.connect()
    assert b.cluster.node not in world.hub.graves
    assert a.cluster.node in world.hub.graves
    assert statuses(third) == [503]


def test_an_answer_by_a_node_that_is_dead_already(make_world):
    world = make_world(3)
    _, b, c = world.nodes
    b.connect()
    third = c.connect()
    world.hub.kill(b)
    world.reply()
    world.nodes.advance(BURIAL_TIME)
    assert statuses(third) == [200]


def test_an_answer_that_dies_with_a_node_on_its_way(make_world):
    world = make_world(3)
    a, b, c = world.nodes
    b.connect()
    third = c.connect()
    world.hub.delay(a, b, 1)
    world.reply()
    world.hub.kill(b)
    world.nodes.advance(BURIAL_TIME)
    assert statuses(third) == [200]


def test_an_answer_that_is_lost_on_its_way_is_repeated(make_world):
    world = make_world(2)
    a, b = world.nodes
    second = b.connect()
    with world.hub.lose_items(a, b):
        world.reply()
    assert statuses(second) == []
    a.peers("alice")[0].notify("hello")
    world.hub.run()
    assert statuses(second) == [200]


def test_an_answer_that_is_not_remembered_any_more(make_world, monkeypatch):
    monkeypatch.setattr("protoo_flask.core.remote.recent_answers.MAX_RECENT", 0)
    world = make_world(2)
    a, b = world.nodes
    second = b.connect()
    with world.hub.lose_items(a, b):
        world.reply()
    a.peers("alice")[0].notify("hello")
    world.hub.run()
    assert statuses(second) == [503]


def test_a_request_that_goes_on_is_not_taken_for_lost(make_world):
    world = make_world(2)
    a, b = world.nodes
    second = b.connect()
    b.host.may_have_lost(a.node)
    world.hub.run()
    assert statuses(second) == []
    world.reply()
    assert statuses(second) == [200]


@pytest.mark.parametrize("index", [1, 0], ids=["the owner of the peer", "its handler's node"])
def test_a_node_is_taken_for_dead(make_world, index):
    world = make_world(2)
    dead, second = world.nodes[index], world.nodes[1].connect()
    world.hub.cut(dead)
    world.nodes.advance(BURIAL_TIME)
    world.hub.mend(dead)
    world.reply()
    assert statuses(second) == [503]


def test_two_losses_within_a_second_are_both_seen(make_world):
    world = make_world(2)
    a, b = world.nodes
    second = b.connect()
    b.host.may_have_lost(a.node)  # of something else
    world.hub.run()
    with world.hub.lose_items(a, b):
        world.reply()
    a.peers("alice")[0].notify("hello")
    world.hub.run()
    world.nodes.advance(1)
    assert statuses(second) == [200]


def test_an_answer_that_waits_for_an_estate_which_never_comes(make_world):
    world = make_world(3)
    a, b, c = world.nodes
    b.connect().drop()
    world.hub.delay(c, b, 0.3)
    clients = []

    def answer():
        assert a.peers("alice")[0].outbound.node == c.node
        world.requests[0].reply(200)

    # While the third node waits for the estate, it gets the answer; then the device is back.
    world.hub.clock.on_wait += [answer, lambda: clients.append(b.connect())]
    with pytest.raises(Exception, match="online elsewhere"):
        c.connect()
    world.nodes.advance(1)
    [last] = clients
    assert statuses(last) == [200]
