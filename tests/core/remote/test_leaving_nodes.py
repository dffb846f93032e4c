"""A node that leaves the cluster: its peers may come back to other nodes."""

from __future__ import annotations

from functools import partial

import pytest

from protoo_flask.core.remote.awaited_gifts import GIFT_TIME
from protoo_flask.core.request import Request
from protoo_flask.core.routing.router import Router
from tests.cluster.nodes import Nodes

GRACE = 10
OFFLINE = [("peer_offline", "alice"), ("user_offline", "alice")]


@pytest.fixture
def two():
    with Nodes(2, grace_period=GRACE) as nodes:
        yield nodes


@pytest.fixture
def three():
    with Nodes(3, grace_period=GRACE) as nodes:
        yield nodes


def close(core):
    """End a node as its worker does."""
    core.application.close()
    core.application.directory.close()
    core.hub.run()


def owner(nodes):
    """Return the node that has Alice."""
    (found,) = [
        core for core in nodes if core.cluster.is_connected and core.application.directory._users
    ]
    return found


def test_the_peers_of_a_node_that_leaves_wait_at_others(three):
    a, b, c = three
    first = a.connect()
    bob = a.connect("bob", "b1")
    transaction = c.peers("alice")[0].send(Request("get"), timeout=1000)
    request = first.take()
    c.peers("alice")[0].notify("before")
    three.run()
    assert first.take()["method"] == "before"
    first.link.is_stuck = True
    c.peers("alice")[0].notify("unsent")
    three.run()
    close(a)
    assert first.link.closed == (1001, "shutting down")
    assert bob.link.closed == (1001, "shutting down")
    assert [event for event in three.told if event[0] == "peer_offline"] == []
    assert [peer.online for peer in c.peers("alice")] == [False]
    c.peers("alice")[0].notify("after")
    second = b.connect()
    assert [message["method"] for message in second.take_all()] == ["get", "unsent", "after"]
    second.respond(request, 200)
    assert transaction.wait().status == 200
    assert b.told.count(("peer_online", "alice")) == 0
    c.connect("bob", "b1")
    assert ("peer_online", "bob") not in c.told


@pytest.mark.parametrize("is_back", [False, True])
def test_a_request_survives_the_node_that_leaves_though_its_new_owner_is_slow_to_tell(is_back):
    with Nodes(3, grace_period=GRACE) as three:
        a, b, c = three
        first = a.connect()
        transaction = c.peers("alice")[0].send(Request("get"), timeout=1000)
        request = first.take()
        # The asker hears that the former owner has gone before it hears of the new one.
        three.hub.delay(b.cluster, c.cluster, 1)
        if is_back:
            second = b.connect()
        close(a)
        if not is_back:
            second = b.connect()
        assert second.take() == request
        second.respond(request, 200)
        assert transaction.wait().status == 200


def test_a_peer_that_does_not_come_back_is_offline_once(three):
    a, b, c = three
    a.connect()
    close(a)
    three.advance(GRACE)
    assert sorted([*b.told, *c.told]) == OFFLINE
    assert b.peers("alice") == c.peers("alice") == []


def test_the_time_of_an_absence_goes_on(three):
    a, b, c = three
    a.connect().drop()
    three.advance(GRACE - 2)
    close(a)
    three.advance(1)
    assert len(c.peers("alice")) == 1
    three.advance(1)
    assert c.peers("alice") == []
    assert sorted([*b.told, *c.told]) == OFFLINE


def test_code_of_the_site_runs_for_a_peer_that_waits(three):
    a, _b, _c = three
    a.connect(data=None)
    close(a)
    heir = owner(three)
    told = []
    peer = heir.peers("alice")[0]
    transaction = peer.send(Request("get"), told.append, timeout=1)
    three.advance(1)
    assert transaction.wait().status == 408
    assert len(told) == 1
    assert told[0].peer is peer


def test_a_repeated_request_is_known_after_two_nodes_have_left():
    handled = []
    router = Router()

    @router.get("/")
    def handle(req, next):
        handled.append(req)
        req.reply(200)

    routers = [router, Router(), Router()]
    with Nodes(3, routers=routers, grace_period=GRACE) as three:
        a, _b, _c = three
        first = a.connect()
        request = {"method": "get", "path": "/", "id": 5}
        first.send(request)
        answer = first.take()
        close(a)
        heir = owner(three)
        close(heir)
        (last,) = [core for core in three if core.cluster.is_connected]
        second = last.connect()
        second.send(request)
        assert second.take() == answer
        assert len(handled) == 1


def test_a_device_that_comes_back_while_its_node_leaves_finds_everything(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    request = first.take()
    a.application.close()
    three.run()
    # Its place is given away, and the estate is on its way.
    three.hub.delay(a.cluster, b.cluster, 0.1)
    three.hub.delay(a.cluster, c.cluster, 0.1)
    a.application.directory.close_links(1001, "shutting down")
    peers = [a.application.directory.get_local("alice", "a1")]
    a.application.directory.parting_gifts.give_all(peers, a.cluster.others())
    second = c.connect()
    assert second.take() == request
    second.respond(request, 200)
    assert transaction.wait().status == 200
    assert ("peer_offline", "alice") not in three.told


def test_the_last_node_waits_for_nobody():
    with Nodes(1, grace_period=GRACE) as (a,):
        a.connect()
        close(a)
        assert a.told[2:] == OFFLINE


def test_without_a_grace_period_peers_are_offline_at_once():
    with Nodes(2) as (a, b):
        a.connect()
        close(a)
        assert a.told[2:] == OFFLINE
        assert b.peers("alice") == []


def test_a_handler_that_runs_while_its_node_leaves_may_answer():
    open = []
    router = Router()
    router.get("/", lambda req, next: open.append(req))
    with Nodes(2, routers=[router, Router()], grace_period=GRACE) as (a, b):
        first = a.connect()
        first.send({"method": "get", "path": "/", "id": 5})
        a.application.close()
        a.hub.run()
        second = b.connect()
        open[0].reply(200)
        assert second.take()["id"] == 5
        close(a)


def test_peers_that_nobody_takes_in_time_are_told_to_be_offline(three, monkeypatch):
    a, b, _ = three
    first = a.connect()
    # Redis is too slow for the time that a process has to leave.
    monkeypatch.setattr(a.cluster, "give", lambda *args: None)
    close(a)
    assert first.link.closed == (1001, "shutting down")
    assert [event for event in three.told if event in OFFLINE] == OFFLINE
    b.connect()
    assert three.told.count(("peer_online", "alice")) == 2


@pytest.fixture
def watched(two):
    """Return what a home at the other node is told of the devices of a user."""
    a, b = two
    a.connect()
    two.run()
    seen = []
    watch = partial(list.append, seen)
    b.application.directory.homes.watch("alice", watch)
    yield seen
    b.application.directory.homes.unwatch("alice", watch)


def test_a_home_takes_a_peer_for_gone_only_when_its_estate_does_not_come(two, watched):
    (a, b), seen = two, watched
    two.run()
    # The directory names the new owner before that one has what the former one has left behind.
    two.hub.delay(a.cluster, b.cluster, 1000)
    close(a)
    two.advance(GIFT_TIME - 1)
    assert [] not in seen
    two.advance(2)
    assert seen[-1] == []
    b.connect().link.close(1000, "")
    two.advance(GRACE + 1)


def test_a_home_hears_of_a_peer_when_its_estate_has_come(two, watched):
    (a, _), seen = two, watched
    close(a)
    two.run()
    (peer,) = seen[-1]
    assert not peer.online
    two.advance(GRACE + 1)
    assert seen[-1] == []
