"""A connection to a real Redis, among greenlets and among threads."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Iterator

import pytest

from protoo_flask.cluster.connection import (
    ConnectionLost,
    RedisConnection,
    RedisError,
    SharedRedisConnection,
    pack,
)
from tests.transport.wire import PATIENCE
from tests.transport.worlds import Greenlets


class Wire:
    """A connection, and what came over it beside replies.

    :ivar pushes: a queue of push messages.
    :ivar ends: a queue of the reasons of its end.
    """

    def __init__(self, world: Any, sock: socket.socket) -> None:
        sock.sendall(pack("HELLO", 3))
        assert sock.recv(10_000).startswith(b"%")
        self.sock = sock
        self.pushes: Any = world.make_queue()
        self.ends: Any = world.make_queue()
        self.replies: Any = world.make_queue()
        self.channel = world.make_channel(sock)
        kind = SharedRedisConnection if world.loop.preempts else RedisConnection
        self.connection = kind(self.channel, world.loop, self.pushes.put, self.ends.put)
        self.connection.start()

    def ask(self, *args: Any) -> None:
        self.connection.ask(self.replies.put, *args)

    def get(self) -> Any:
        return self.replies.get(timeout=PATIENCE)


@pytest.fixture
def wire(world: Any, redis_server: Any) -> Iterator[Wire]:
    wire = Wire(world, socket.create_connection(("127.0.0.1", redis_server.port)))
    yield wire
    if wire.connection.is_open:
        wire.connection.close()
        wire.ends.get(timeout=PATIENCE)
    wire.channel.closed.wait(PATIENCE)
    wire.sock.close()


def test_a_call_returns_the_reply(wire):
    assert wire.connection.call("HSET", "key", "field", 7) == 1
    assert wire.connection.call(b"HGETALL", b"key") == {b"field": b"7"}


def test_an_error_is_raised_and_the_connection_goes_on(wire):
    with pytest.raises(RedisError, match=r"unknown command ['`]NOSUCH"):
        wire.connection.call("NOSUCH")
    assert wire.connection.call("PING") == b"PONG"


def test_replies_come_in_the_order_of_the_commands(wire):
    for number in range(1000):
        wire.ask("ECHO", number)
    assert [wire.get() for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_a_command_needs_no_function_for_its_reply(wire):
    wire.connection.ask(None, "SET", "key", "value")
    assert wire.connection.call("GET", "key") == b"value"


def test_a_command_without_a_reply_does_not_shift_those_of_others(wire):
    for number in range(10):
        wire.ask("ECHO", number)
        wire.connection.tell_packed(pack("SET", "key", number))
    assert [wire.get() for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert wire.connection.call("GET", "key") == b"9"


def test_when_the_right_to_get_no_reply_is_gone_no_reply_goes_to_another(wire, redis_server):
    wire.connection.tell_packed(pack("SET", "key", 1))
    assert wire.connection.call("GET", "key") == b"1"
    redis_server.ask("ACL", "SETUSER", "default", "-client")
    wire.connection.tell_packed(pack("SET", "key", 2))
    wire.ask("ECHO", "mine")
    assert isinstance(wire.get(), ConnectionLost)
    assert "refuses what it took before" in wire.ends.get(timeout=PATIENCE)


def test_a_subscription_has_a_reply_and_its_messages_are_pushed(wire):
    assert wire.connection.call("SUBSCRIBE", "news")[:2] == [b"subscribe", b"news"]
    assert wire.connection.call("PUBLISH", "news", "hello") == 1
    assert wire.pushes.get(timeout=PATIENCE) == [b"message", b"news", b"hello"]


def test_a_refused_subscription_does_not_shift_the_replies(wire, redis_server):
    redis_server.ask("ACL", "SETUSER", "default", "-subscribe")
    wire.ask("SUBSCRIBE", "news")
    wire.ask("ECHO", "next")
    assert isinstance(wire.get(), RedisError)
    assert wire.get() == b"next"


def test_a_tracked_key_is_invalidated_by_a_push_message(wire, redis_server):
    wire.connection.call("CLIENT", "TRACKING", "ON")
    wire.connection.call("GET", "key")
    redis_server.ask("SET", "key", "1")
    assert wire.pushes.get(timeout=PATIENCE) == [b"invalidate", [b"key"]]


def test_large_commands_and_replies_arrive_whole(wire):
    data = os.urandom(5_000_000)
    assert wire.connection.call("SET", "key", data) == b"OK"
    assert wire.connection.call("GET", "key") == data


def test_a_function_that_fails_does_not_lose_the_next_reply(wire, caplog):
    def fail(reply: Any) -> None:
        raise LookupError("a defect")

    wire.connection.ask(fail, "PING")
    assert wire.connection.call("ECHO", "next") == b"next"
    assert "a defect" in caplog.text


def test_the_end_comes_once_after_everything_unanswered_got_an_error(wire, redis_server):
    redis_server.pause()
    wire.ask("PING")
    wire.ask("PING")
    redis_server.stop()
    assert [type(wire.get()) for _ in range(2)] == [ConnectionLost, ConnectionLost]
    reason = wire.ends.get(timeout=PATIENCE)
    assert reason
    assert not wire.connection.is_open
    assert wire.ends.empty()


def test_a_command_after_the_end_gets_an_error(wire, redis_server):
    redis_server.stop()
    wire.ends.get(timeout=PATIENCE)
    with pytest.raises(ConnectionLost, match="ended"):
        wire.connection.call("PING")


def test_a_call_gives_up_when_redis_hangs_and_the_connection_stays(wire, redis_server):
    redis_server.pause()
    with pytest.raises(ConnectionLost, match="not replied within"):
        wire.connection.call("ECHO", "slow", timeout=0.05)
    redis_server.resume()
    assert wire.connection.call("ECHO", "next") == b"next"


def test_a_redis_that_takes_nothing_more_is_given_up(wire, redis_server):
    redis_server.pause()
    for _ in range(500):
        wire.connection.ask(None, "SET", "key", b"x" * 100_000)
        if not wire.connection.is_open:
            break
    assert "takes no more commands" in wire.ends.get(timeout=PATIENCE)


def test_close_writes_what_was_asked_before(wire, redis_server):
    wire.ask("SET", "key", "last")
    wire.connection.close()
    wire.ends.get(timeout=PATIENCE)
    assert redis_server.ask("GET", "key") == "last"


def test_bytes_that_are_not_redis_end_the_connection(world):
    ours, theirs = socket.socketpair()
    theirs.sendall(b"%0\r\n")
    wire = Wire(world, ours)
    theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "does not speak Redis' protocol" in wire.ends.get(timeout=PATIENCE)
    wire.channel.closed.wait(PATIENCE)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("world", [Greenlets], indirect=True)
def test_commands_of_a_round_leave_in_one_write(world):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.sendall(b"%0\r\n")
    wire = Wire(world, ours)
    theirs.recv(100)  # HELLO
    for number in range(3):
        wire.connection.ask(None, "ECHO", number)
    redis = world.wrap_client(theirs)
    assert redis.recv(1000) == b"".join(pack("ECHO", number) for number in range(3))
    wire.connection.close()
    wire.ends.get(timeout=PATIENCE)
    wire.channel.closed.wait(PATIENCE)
    redis.close()
    with contextlib.suppress(OSError):
        ours.close()
