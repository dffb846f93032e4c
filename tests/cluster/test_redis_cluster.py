"""Whole nodes on a real Redis, among greenlets and among threads: connections, bus, bad input."""

from __future__ import annotations

import builtins
import contextlib
import os
import re
import socket
import threading
from typing import Any

import msgspec
import pytest

from protoo_flask.cluster import make_cluster
from protoo_flask.cluster.bus import MAX_FRAME, MAX_ITEM
from protoo_flask.cluster.frames import FrameCodec
from protoo_flask.core.cluster.items import Answer, Cancel
from protoo_flask.core.cluster.protocol import AWAY, EVERY_NODE, UP, ClaimRefused, ClusterAway
from protoo_flask.core.errors import UsageError
from tests.transport.test_forked_child import run_in_child
from tests.transport.worlds import Greenlets

from .redis_nodes import RedisNode, Start


@pytest.fixture
def a(start: Start) -> RedisNode:
    return start()


@pytest.fixture
def b(start: Start, a: RedisNode) -> RedisNode:
    return start()


# The bus


def test_items_arrive_in_order(a, b):
    items = [Cancel(number) for number in range(3000)]
    for item in items:
        a.cluster.send(b.id, item)
    b.until(lambda: len(b.received) == 3000)
    assert b.received == items
    assert a.lost == []


def count_publishes(redis_server: Any) -> int:
    found = re.search(r"cmdstat_publish:calls=(\d+)", redis_server.ask("INFO", "commandstats"))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("world", [Greenlets], indirect=True)  # threads have no rounds
def test_items_of_a_round_are_one_frame(a, b, redis_server):
    redis_server.ask("CONFIG", "RESETSTAT")
    for number in range(100):
        a.cluster.send(b.id, Cancel(number))
    b.until(lambda: len(b.received) == 100)
    assert count_publishes(redis_server) < 10  # some are the nodes' own signs of life


def test_many_large_items_are_split_into_frames_and_arrive(a, b):
    items = [Answer(number, 200, "ok", b"x" * 50_000) for number in range(30)]
    assert sum(len(item.data) for item in items) > 5 * MAX_FRAME
    for item in items:
        a.cluster.send(b.id, item)
    b.until(lambda: len(b.received) == 30)
    assert b.received == items
    assert b.host.noted("may_have_lost") == []


def test_an_item_that_is_too_large_is_lost_and_the_others_arrive(a, b, caplog):
    large = Answer(1, 200, "ok", b"x" * MAX_ITEM)
    for item in (Cancel(1), large, Cancel(2)):
        a.cluster.send(b.id, item)
    b.until(lambda: len(b.received) == 2)
    a.until(lambda: a.lost)
    assert a.lost == [large]
    assert b.received == [Cancel(1), Cancel(2)]
    assert "Answer for node" in caplog.text


def test_an_item_that_cannot_be_encoded_is_lost_and_the_others_arrive(a, b, caplog):
    wrong = Answer(1, 200, object(), b"")  # type: ignore[arg-type]
    for item in (Cancel(1), wrong, Cancel(2)):
        a.cluster.send(b.id, item)
    b.until(lambda: len(b.received) == 2)
    a.until(lambda: a.lost)
    assert a.lost == [wrong]
    assert "Answer" in caplog.text


def test_frames_of_answers_alone_and_others_arrive_in_order(a, b):
    items: list[Any] = []
    for number in range(300):
        items += [Answer(number, 200, "ok")] * (number % 4) + [Cancel(number)] * (number % 3)
    for item in items:
        a.cluster.send(b.id, item)
    b.until(lambda: len(b.received) == len(items))
    assert b.received == items
    assert b.host.noted("may_have_lost") == []


def test_an_item_to_all_reaches_all_but_the_sender(a, b, start):
    c = start()
    a.cluster.send(EVERY_NODE, Cancel(1))
    b.until(lambda: b.received and c.received)
    assert a.reaches(b)
    assert a.received == []


def test_an_item_to_the_node_itself_needs_no_redis(a, redis_server):
    redis_server.stop()
    a.until(lambda: a.cluster.status == AWAY)
    a.cluster.send(a.id, Cancel(1))
    a.until(lambda: a.received == [Cancel(1)])


def test_a_host_that_fails_loses_one_item(a, b, caplog):
    receive = b.host.receive

    def fail_for_one(node: str, item: Any) -> None:
        if item == Cancel(1):
            raise LookupError("a defect")
        receive(node, item)

    b.cluster._parts.bus._receive = b.host.receive = fail_for_one
    for number in range(3):
        a.cluster.send(b.id, Cancel(number))
    b.until(lambda: b.received == [Cancel(0), Cancel(2)])
    assert "a defect" in caplog.text


# Strangers


def publish(redis_server: Any, node: str, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", redis_server.port)) as sock:
        channel = b"protoo:n:" + node.encode()
        parts = (b"PUBLISH", channel, data)
        sock.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
        assert sock.recv(100).startswith(b":1")


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (b"hello", "not a frame"),
        (b"", "not a frame"),
        (msgspec.msgpack.encode([2, "x", "", 1, 0, []]), "has version 2"),
        (FrameCodec("key").encode("x", "", 1, 0, []), "no PROTOO_CLUSTER_KEY"),
        (FrameCodec().encode("x", "another", 1, 0, [Cancel(1)]), "for node another"),
        (msgspec.msgpack.encode([1, "x", "", 2**60, 0, [[99]]]), "a newer version"),
    ],
    ids=["text", "nothing", "version", "key", "forged", "items"],
)
def test_a_strange_frame_is_one_line_of_the_log_and_nothing_is_lost(
    a, b, redis_server, caplog, frame, line
):
    for _ in range(3):
        publish(redis_server, b.id, frame)
    assert a.reaches(b)
    lines = [record.getMessage() for record in caplog.records if line in record.getMessage()]
    assert len(lines) == 1


def test_nodes_with_different_keys_do_not_understand_each_other(start, caplog):
    a, b, c = start(key="one"), start(key="one"), start(key="another")
    a.cluster.send(c.id, Cancel(1))
    assert a.reaches(b)
    c.until(lambda: "wrong MAC" in caplog.text)
    assert c.received == []


def test_a_recorded_frame_is_not_taken_once_more(start, redis_server, caplog):
    a, b = start(key="one"), start(key="one")
    taken: list[bytes] = []
    bus = b.cluster._parts.bus
    take = bus.take
    bus.take = lambda data: (taken.append(data), take(data))
    a.cluster.send(b.id, Cancel(1))
    b.until(lambda: b.received)
    frames = [(data, FrameCodec("one").decode(data)[0]) for data in taken]
    recorded = next(data for data, frame in frames if Cancel(1) in frame.items)
    publish(redis_server, b.id, recorded)
    assert a.reaches(b)
    assert b.received.count(Cancel(1)) == 1
    assert "has come once more" in caplog.text


def test_a_frame_to_all_is_not_taken_by_a_node_that_came_later(
    start, redis_server, caplog, monkeypatch
):
    a, b = start(key="one"), start(key="one")
    taken: list[bytes] = []
    bus = b.cluster._parts.bus
    take = bus.take
    bus.take = lambda data: (taken.append(data), take(data))
    a.cluster.send(EVERY_NODE, Cancel(1))
    b.until(lambda: b.received)
    frames = [(data, FrameCodec("one").decode(data)[0]) for data in taken]
    recorded = next(data for data, frame in frames if Cancel(1) in frame.items)
    # What was recorded is older than the delay of a frame that is on its way.
    monkeypatch.setattr("protoo_flask.cluster.bus.DELAY_US", 50_000)
    end = a.world.loop.now() + 0.1
    a.until(lambda: a.world.loop.now() > end)
    c = start(key="one")
    assert a.reaches(c)
    publish(redis_server, c.id, recorded)
    a.cluster.send(EVERY_NODE, Cancel(2))
    c.until(lambda: Cancel(2) in c.received)
    assert Cancel(1) not in c.received
    assert "has come once more" in caplog.text


# A Redis that fails


def test_a_redis_that_is_not_there_yet_is_joined_when_it_is(start, redis_server, caplog):
    redis_server.stop()
    a = start()
    assert a.cluster.status == AWAY
    assert "cannot be reached" in a.cluster.reason
    with pytest.raises(ClusterAway):
        a.cluster.find("bob")
    redis_server.start()
    a.until(lambda: a.cluster.status == UP)
    assert len([line for line in caplog.messages if "The cluster is away" in line]) == 1


def test_that_only_local_peers_are_found_is_told_once(start, redis_server, caplog):
    a = start()
    redis_server.ask("ACL", "SETUSER", "default", "-hgetall")
    for number in range(3):
        with pytest.raises(ClusterAway, match=r"(?i)hgetall"):
            a.cluster.find(f"user{number}")
    lines = [line for line in caplog.messages if "peers of this process only" in line]
    assert len(lines) == 1
    assert "hgetall" in lines[0].lower()
    redis_server.ask("ACL", "SETUSER", "default", "+hgetall")
    assert a.cluster.find("bob") == []


def test_a_redis_that_hangs_is_away_until_it_goes_on(a, b, redis_server):
    redis_server.pause()
    a.until(lambda: a.cluster.status == AWAY)
    a.cluster.send(b.id, Cancel(1))
    a.until(lambda: a.lost == [Cancel(1)])
    redis_server.resume()
    a.until(lambda: a.cluster.status == UP)
    b.until(lambda: b.cluster.status == UP)
    assert a.reaches(b)
    a.until(lambda: (b.id,) in a.host.noted("may_have_lost"))


def test_a_reader_that_was_cut_off_is_opened_anew_and_says_what_may_be_lost(a, b, redis_server):
    assert a.reaches(b)
    assert b.reaches(a)
    redis_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    a.until(lambda: a.host.noted("may_have_lost"))
    a.until(lambda: a.cluster.status == UP)
    b.until(lambda: b.cluster.status == UP and (a.id,) in b.host.noted("may_have_lost"))
    assert a.reaches(b)
    assert a.host.noted("fenced") == []


def test_a_node_that_is_connected_and_deaf_notices_it(a, b, world, caplog):
    bus = a.cluster._parts.bus
    channel = bus._channel(a.id)
    world.loop.call(bus._reader.ask, None, b"UNSUBSCRIBE", channel)
    a.until(lambda: "delivered no message" in caplog.text)
    a.until(lambda: a.cluster.status == UP)
    assert b.reaches(a)


def test_a_gap_is_told(a, b):
    a.cluster.send(b.id, Cancel(1))
    b.until(lambda: b.received)
    ways = a.cluster._parts.bus._ways
    number, start = ways[b.id]
    ways[b.id] = number + 1, start  # a frame that has not arrived
    a.cluster.send(b.id, Cancel(2))
    b.until(lambda: b.received == [Cancel(1), Cancel(2)])
    b.until(lambda: b.host.noted("may_have_lost") == [(a.id,)])


# Rights


def test_a_redis_that_takes_no_more_devices_is_told_once(a, redis_server, caplog):
    redis_server.ask("CONFIG", "SET", "maxmemory", "1")
    for _ in range(2):
        with pytest.raises(ClaimRefused):
            a.cluster.claim("bob", "b1", b"", 16)
    [line] = [line for line in caplog.messages if "New devices are answered 503" in line]
    assert "maxmemory" in line


def test_the_log_of_a_node_is_that_of_the_site(a, redis_server, caplog):
    redis_server.ask("FLUSHALL")
    a.until(lambda: "Redis has lost its data" in caplog.text)
    assert {record.name for record in caplog.records} == {"tests.cluster"}


def test_a_right_that_is_missing_is_told_with_the_rule(start, redis_server, caplog):
    redis_server.ask("ACL", "SETUSER", "site", "on", ">pw", "~other:*", "+@all", "resetchannels")
    url = f"redis://site:pw@127.0.0.1:{redis_server.port}"
    a = start(url)
    assert a.cluster.status == AWAY
    assert "lacks a right" in caplog.text
    rule = re.search(r"ACL (SETUSER site .*)", a.cluster.reason)
    assert rule is not None
    redis_server.ask("ACL", *rule[1].split())
    a.until(lambda: a.cluster.status == UP)
    b = start(url)
    assert a.reaches(b)
    assert a.cluster.claim("alice", "a1", b"", 4).is_first
    assert [place.uuid for place in b.cluster.find("alice")] == ["a1"]


# Beginning and end


def test_close_leaves_at_once(a, b):
    b.cluster.claim("bob", "b1", b"", 4)
    former = b.id
    b.cluster.close()
    a.until(lambda: (former,) in a.host.noted("node_gone"))
    assert a.cluster.find("bob") == []
    assert b.cluster.status == AWAY
    b.cluster.close()


def test_nothing_goes_on_to_listen_when_the_connections_end_as_it_starts(a, redis_server):
    ear = a.cluster._parts.ear
    start, started = ear.start, []
    is_killed = threading.Event()

    def start_too_late():
        assert is_killed.wait(20)  # Redis has answered
        redis_server.stop()
        a.until(lambda: not a.cluster._open)
        start()
        started.append(ear._is_on)

    ear.start = start_too_late
    redis_server.ask("CLIENT", "KILL", "TYPE", "normal")
    is_killed.set()
    a.until(lambda: started)
    ear.start = start
    assert started == [True]
    a.until(lambda: not ear._is_on)


def test_close_does_not_wait_for_a_redis_that_is_away(a, redis_server):
    redis_server.stop()
    a.until(lambda: a.cluster.status == AWAY)
    a.cluster.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_away_and_its_parent_stays(a, b):
    descriptors = [connection._channel._sock.fileno() for connection in a.cluster._open]
    sockets = [os.fstat(descriptor).st_ino for descriptor in descriptors]

    def look() -> None:
        assert a.cluster.status == AWAY
        assert "forked" in a.cluster.reason
        for descriptor, inode in zip(descriptors, sockets):
            with contextlib.suppress(OSError):
                assert os.fstat(descriptor).st_ino != inode
        with pytest.raises(ClusterAway):
            a.cluster.get_presence("nobody-asked-before")

    run_in_child(look)
    assert a.reaches(b)
    assert b.reaches(a)
    assert a.host.noted("may_have_lost") == []


def test_a_wrong_url_or_prefix_is_told_before_anything_is_opened():
    with pytest.raises(UsageError, match="its scheme is 'http'"):
        make_cluster("http://localhost")
    with pytest.raises(UsageError, match="braces"):
        make_cluster("redis://localhost", prefix="{site}")


def test_a_missing_package_is_told(monkeypatch):
    import_module = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if "redis_cluster" in name or name.endswith("opening"):
            raise ImportError("No module named 'redis'")
        return import_module(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install protoo_flask\[redis\]"):
        make_cluster("redis://localhost")
