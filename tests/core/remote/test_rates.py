"""PROTOO_RATE_LIMIT in a cluster: a user has one bucket, and a device takes its own along."""

from __future__ import annotations

from tests.cluster.nodes import Nodes


def make_nodes(rate_limit, count=2, **options):
    nodes = Nodes(count, rate_limit=rate_limit, **options)
    for core in nodes.cores:
        core.router.use(lambda req, next: req.reply(200))
    return nodes


def flood(client, count, path="/"):
    return [client.request("get", path)["status"] for _ in range(count)]


def test_the_devices_of_a_user_at_two_nodes_share_a_bucket():
    with make_nodes({"user": ("1/s", 100)}) as nodes:
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        statuses = [status for _ in range(100) for status in flood(one, 1) + flood(other, 1)]
        # Each node may keep a tenth to itself.
        assert 100 <= statuses.count(200) <= 122
        nodes.hub.advance(20)
        assert (flood(one, 50) + flood(other, 50)).count(200) <= 20 + 22


def test_a_user_at_one_node_has_exactly_a_burst():
    with make_nodes({"user": ("1/s", 100)}) as nodes:
        one, other = (nodes.cores[0].connect("alice", f"a{n}") for n in range(2))
        assert flood(one, 60) + flood(other, 60) == [200] * 100 + [429] * 20


def test_a_device_that_moves_does_not_refill_its_bucket():
    with make_nodes({"peer": ("1/s", 100)}, grace_period=30) as nodes:
        assert flood(nodes.cores[0].connect(), 101) == [200] * 100 + [429]
        for turn in range(6):
            moved = nodes.cores[1 - turn % 2].connect()
            allowed = flood(moved, 60, f"/{turn}").count(200)
            # At its first move, a tenth: then its new node has learned.
            assert allowed <= (11 if turn == 0 else 0)


def test_a_request_that_is_repeated_at_another_node_is_not_refused():
    with make_nodes({"peer": ("1/s", 1)}, grace_period=30) as nodes:
        alice = nodes.cores[0].connect()
        message = b'{"method": "get", "path": "/", "id": 901}'
        alice.send_raw(message)
        answer = alice.take()
        assert answer["status"] == 200
        moved = nodes.cores[1].connect()
        moved.send_raw(message)
        assert moved.take() == answer
        # By now, the node has learned that nothing is left.
        assert flood(moved, 1) == [429]
        moved.send_raw(message)
        assert moved.take() == answer


def test_nobody_is_refused_because_the_directory_is_away():
    with make_nodes({"user": ("1/s", 20)}) as nodes:
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        nodes.hub.go_away()
        assert flood(one, 21) == flood(other, 21) == [200] * 20 + [429]
        nodes.hub.come_back()
        nodes.hub.advance(100)
        assert flood(one, 21) == [200] * 20 + [429]


def test_a_user_who_sends_little_costs_the_directory_nothing():
    with make_nodes("20/s") as nodes:
        alice = nodes.cores[0].connect()
        for _ in range(50):
            assert flood(alice, 1) == [200]
            nodes.hub.advance(1)
        assert nodes.hub.tables._full_at == {}
