"""The contract of a cluster: items between nodes."""

from __future__ import annotations

from protoo_flask.core.cluster.items import (
    Answer,
    Ask,
    Cancel,
    Close,
    Done,
    Engage,
    Engagement,
    Estate,
    GetContext,
    GetTold,
    Half,
    HandOver,
    Heir,
    Inherited,
    InProgress,
    Moved,
    Remembered,
    Sync,
    Tell,
    ToHome,
    WaitingMessage,
)
from protoo_flask.core.cluster.protocol import EVERY_NODE

ITEMS = [
    Ask(1, "bob", "b1", b'{"method":"m"}', "alice", "of-user", Engagement("calls", "k", b"{}")),
    Ask(2**48 - 1, "bob", "b1", b"x" * 100_000, None, "of-site"),
    Answer(1, 200, "OK", b'{"a":1}'),
    Answer(1, 408, "timeout", is_local=True),
    Cancel(1),
    Moved(1),
    Tell([("bob", "b1"), ("bob", "b2")], b"{}", "alice", ("presence", "alice")),
    Close("bob", None, 3001, "banned", True),
    HandOver("bob", "b1", 7, 8, "protoo"),
    HandOver("bob", "b1", 7, gave_way=True),
    Estate("bob", "b1", 7, False),
    Estate(
        "bob",
        "b1",
        7,
        True,
        [WaitingMessage(b"", 1), WaitingMessage(b"2", None)],
        [Half(1, "node", 2, b"{}", {"username": "alice", "uuid": "a1"}, "of-user")],
        [Remembered(1, 2**63 - 1, b""), Remembered(2, 3, b"200", b"100")],
        [InProgress(2, 3, [b"100", b"180"], "node")],
        [("calls", "k", "node")],
        Heir(5, b"null", b"{}", 4.5),
    ),
    Done("bob", "b1", 5, 6, 200, b"{}"),
    ToHome(3, "rooms", "join", "bob", "b1", "post", ("/a/b", "/a", "/b"), b"{}", b"[]"),
    Engage("bob", "b1", "rooms", "/chat/42", True),
    Engage("bob", "b1", "rooms", "/chat/42", False, "node"),
    GetTold(5, 6),
    Sync([1, 2, 3]),
    GetContext(4, "bob", "b1"),
    Inherited([1, 2]),
]


def test_every_item_arrives_as_it_was_sent(world, a, b):
    for item in ITEMS:
        a.cluster.send(b.id, item)

    world.until(lambda: len(b.host.items) == len(ITEMS))
    assert b.host.items == ITEMS
    assert {node for node, _ in b.host.all("receive")} == {a.id}
    assert a.host.items == []


def test_items_arrive_in_the_order_of_sending(world, a, b):
    for number in range(1000):
        a.cluster.send(b.id, Moved(number))
        b.cluster.send(a.id, Cancel(number))

    world.until(lambda: len(b.host.items) == len(a.host.items) == 1000)
    assert [item.ask for item in b.host.items] == list(range(1000))
    assert [item.ask for item in a.host.items] == list(range(1000))


def test_the_traffic_of_both_sides_is_counted(world, a, b):
    world.settle()
    sent, received = a.cluster.traffic.sent, b.cluster.traffic.received
    for number in range(10):
        a.cluster.send(b.id, Moved(number))
        world.until(lambda number=number: len(b.host.items) == number + 1)

    assert a.cluster.traffic.sent >= sent + 10
    assert b.cluster.traffic.received >= received + 10
    assert a.cluster.traffic.gaps == b.cluster.traffic.gaps == 0


def test_items_to_every_node_arrive_at_all_others(world, a, b):
    c = world.join()

    a.cluster.send(EVERY_NODE, Cancel(1))
    a.cluster.send(EVERY_NODE, Cancel(2))

    world.until(lambda: len(b.host.items) == len(c.host.items) == 2)
    assert b.host.items == c.host.items == [Cancel(1), Cancel(2)]
    world.settle()
    assert a.host.items == []


def test_an_item_to_every_node_comes_after_those_to_one_that_were_sent_before(world, a, b):
    for number in range(100):
        a.cluster.send(b.id, Moved(number))
        a.cluster.send(EVERY_NODE, Cancel(number))

    world.until(lambda: len(b.host.items) == 200)
    expected = [kind(number) for number in range(100) for kind in (Moved, Cancel)]
    assert b.host.items == expected


def test_an_item_to_the_node_itself_is_received(world, a, b):
    a.cluster.send(a.id, Moved(1))

    world.until(lambda: a.host.items)
    assert a.host.all("receive") == [(a.id, Moved(1))]
    assert b.host.items == []


def test_items_to_a_node_that_does_not_exist_come_back(world, a, b):
    a.cluster.send("no-such-node", Moved(1))
    a.cluster.send("no-such-node", Moved(2))

    world.until(lambda: len(a.host.lost_items) == 2)
    assert a.host.lost_items == [Moved(1), Moved(2)]
    assert {node for node, _ in a.host.all("lost")} == {"no-such-node"}


def test_items_to_a_node_that_has_left_come_back(world, a, b):
    former = b.id
    world.leave(b)

    a.cluster.send(former, Moved(1))

    world.until(lambda: a.host.lost_items)
    assert a.host.lost_items == [Moved(1)]


def test_items_to_a_killed_node_come_back_before_it_is_taken_for_dead(world, a, b):
    former = b.id
    world.kill(b)

    # It takes a moment until the bus knows.
    def ask() -> bool:
        a.cluster.send(former, Moved(1))
        return bool(a.host.lost_items)

    world.until(ask)
    assert a.host.all("node_gone") == []


def test_items_that_were_sent_while_nothing_passes_come_back(world, a, b):
    world.cut(a)

    a.cluster.send(b.id, Moved(1))

    world.until(lambda: a.host.lost_items == [Moved(1)])
    assert b.host.items == []


def test_items_come_back_at_once_while_the_directory_is_away(world, a, b):
    world.go_away()
    world.until(lambda: a.cluster.status == "away")
    a.host.log.clear()

    a.cluster.send(b.id, Moved(1))
    a.cluster.send(EVERY_NODE, Moved(2))
    a.cluster.send(a.id, Moved(3))

    world.until(lambda: a.host.lost_items and a.host.items)
    assert Moved(1) in a.host.lost_items
    assert a.host.items == [Moved(3)]
    world.come_back(empty=True)


def test_both_nodes_are_told_that_items_may_have_been_lost(world, a, b):
    a.cluster.send(b.id, Moved(1))
    b.cluster.send(a.id, Moved(2))
    world.until(lambda: a.host.items and b.host.items)
    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)

    world.until(lambda: a.host.all("may_have_lost") and b.host.all("may_have_lost"))
    assert (b.id,) in a.host.all("may_have_lost")
    assert (a.id,) in b.host.all("may_have_lost")


def test_items_arrive_again_when_the_directory_is_back(world, a, b):
    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    a.cluster.send(b.id, Moved(1))
    b.cluster.send(a.id, Moved(2))

    world.until(lambda: b.host.items and a.host.items)
    assert (a.host.items, b.host.items) == ([Moved(2)], [Moved(1)])
