"""What every channel does, among greenlets and among threads, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from typing import Any, Iterator

import pytest

from protoo_flask.transport.channel import READ_SIZE

from .tls_pairs import connect_tls
from .wire import PATIENCE
from .worlds import connect_tcp


class Pair:
    """A channel, and the client at its other end.

    :ivar received: a queue of the results of ``recv``, filled while the channel is watched.
    """

    def __init__(self, world: Any, server: socket.socket, client: socket.socket) -> None:
        self.world = world
        self.server = server
        self.channel = world.make_channel(server)
        self.client = world.wrap_client(client)
        self.client.settimeout(PATIENCE)
        self.received: Any = world.make_queue()

    def watch(self) -> None:
        """Receive until the end."""
        self.channel.watch(self._receive)

    def _receive(self) -> None:
        data = self.channel.recv()
        self.received.put(data)
        if data == b"":
            self.channel.unwatch()

    def get(self) -> Any:
        return self.received.get(timeout=PATIENCE)

    def get_bytes(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.get()
        return data

    def fill(self) -> int:
        """Send until the socket takes nothing more; returns how many bytes it took."""
        sent = 0
        while True:
            now: int = self.channel.send(memoryview(b"x" * 1_000_000))
            if now == 0:
                return sent
            sent += now

    def drain(self, size: int) -> None:
        """Let the client read so many bytes."""
        while size:
            size -= len(self.client.recv(min(size, 1_000_000)))

    def close(self) -> None:
        self.client.close()
        self.channel.close()
        self.world.settle()
        self.server.close()


@pytest.fixture
def pair(world: Any) -> Iterator[Pair]:
    with world.check_leaks():
        pair = Pair(world, *connect_tcp())
        yield pair
        pair.close()


# Reading ---------------------------------------------------------------------------------------


def test_without_bytes_recv_returns_none(pair):
    assert pair.channel.recv() is None


def test_the_watch_calls_whenever_bytes_arrive(pair):
    pair.watch()
    for data in (b"hello", b"bye"):
        pair.client.sendall(data)
        assert pair.get_bytes(len(data)) == data


def test_the_watch_calls_again_for_bytes_that_are_left(pair):
    pair.client.sendall(b"x" * (3 * READ_SIZE))
    pair.watch()
    assert pair.get_bytes(3 * READ_SIZE) == b"x" * (3 * READ_SIZE)


def test_one_recv_returns_a_limited_number_of_bytes(pair):
    pair.client.sendall(b"x" * (3 * READ_SIZE))
    pair.watch()
    assert len(pair.get()) <= READ_SIZE


def test_unread_bytes_wait_until_the_channel_is_watched_again(pair):
    pair.watch()
    pair.client.sendall(b"hello")
    assert pair.get() == b"hello"
    pair.channel.unwatch()
    pair.client.sendall(b"again")
    pair.watch()
    assert pair.get() == b"again"


def test_unwatch_may_be_called_at_any_time(pair):
    pair.channel.unwatch()
    pair.watch()
    pair.channel.unwatch()
    pair.channel.unwatch()


def test_an_error_in_a_turn_is_reported_and_the_watch_goes_on(pair, monkeypatch):
    errors = pair.world.errors
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.put(args.exc_value))

    def fail_at_the_first() -> None:
        pair._receive()
        if pair.received.get() == b"hello":
            raise ValueError("no")
        pair.received.put(b"gone on")

    pair.channel.watch(fail_at_the_first)
    pair.client.sendall(b"hello")
    assert str(errors.get(timeout=PATIENCE)) == "no"
    pair.client.sendall(b"bye")
    assert pair.get() == b"gone on"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_end_and_an_error_are_no_bytes(pair, how):
    if how == "reset":
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + b"\x00" * 7)
    pair.watch()
    pair.client.close()
    assert pair.get() == b""


def test_a_plain_socket_buffers_no_input(pair):
    assert not pair.channel.buffers_input


# Writing ---------------------------------------------------------------------------------------


def test_a_batched_write_is_uncorked_soon_and_any_other_not_at_all(pair):
    class Corked:
        def uncork(self) -> None:
            pair.received.put(b"uncorked")

    def take_turn() -> None:
        pair._receive()
        if not pair.channel.batch_writes(Corked()):
            pair.received.put(b"write now")

    pair.channel.watch(take_turn)
    pair.client.sendall(b"hello")
    assert pair.get() == b"hello"
    assert pair.get() in (b"uncorked", b"write now")
    pair.client.sendall(b"bye")
    assert pair.get() == b"bye"


def test_outside_of_a_turn_writes_are_not_batched(pair):
    assert not pair.channel.batch_writes(None)


def test_sending_never_blocks(pair):
    sent = pair.fill()
    assert sent > 0
    writable = pair.world.loop.event()
    pair.channel.when_writable(writable.set)
    assert not writable.wait(0.001)
    pair.drain(sent)
    assert writable.wait(PATIENCE)


def test_a_writable_socket_is_told_once(pair):
    told = pair.world.make_queue()
    pair.channel.when_writable(lambda: told.put(1))
    assert told.get(timeout=PATIENCE) == 1
    pair.watch()
    for data in (b"1", b"2", b"3"):
        pair.client.sendall(data)
        assert pair.get() == data
    assert told.empty()


def test_a_writable_socket_is_told_again_when_asked_again(pair):
    told = pair.world.make_queue()
    for number in range(3):
        pair.channel.when_writable(lambda number=number: told.put(number))
        assert told.get(timeout=PATIENCE) == number


def test_sending_after_the_end_is_an_error(pair):
    pair.channel.abort()
    with pytest.raises(OSError, match="pipe"):
        pair.channel.send(b"x")


def test_replies_do_not_wait_for_acknowledgements(pair):
    assert pair.server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# Its end ---------------------------------------------------------------------------------------


def test_shutting_down_writing_leaves_the_other_direction_open(pair):
    pair.channel.shut_down_writing()
    assert pair.client.recv(1) == b""
    pair.watch()
    pair.client.sendall(b"late")
    assert pair.get() == b"late"


def test_an_abort_wakes_the_reader_and_the_writer(pair):
    pair.fill()
    writable = pair.world.loop.event()
    pair.watch()
    pair.channel.when_writable(writable.set)
    pair.channel.abort()
    assert pair.get() == b""
    assert writable.wait(PATIENCE)


def test_close_ends_the_connection_and_may_be_called_twice(pair):
    pair.watch()
    pair.channel.close()
    assert pair.client.recv(1) == b""
    pair.channel.close()
    pair.channel.abort()
    pair.channel.shut_down_writing()


def test_a_unix_socket_will_do_as_well(world):
    with world.check_leaks():
        pair = Pair(world, *socket.socketpair())
        pair.watch()
        pair.client.sendall(b"hello")
        assert pair.get() == b"hello"
        assert pair.channel.send(b"bye") == 3
        assert pair.client.recv(3) == b"bye"
        pair.close()


# The bytes on their way --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["TCP", "Unix"])
def test_the_channel_knows_how_many_bytes_have_not_arrived(world, kind):
    sockets = connect_tcp(8192) if kind == "TCP" else socket.socketpair()
    with world.check_leaks():
        pair = Pair(world, *sockets)
        assert pair.channel.count_unacknowledged() == 0
        sent = pair.fill()
        waiting = pair.channel.count_unacknowledged()
        assert waiting > 0
        pair.drain(sent)
        assert pair.channel.count_unacknowledged() == 0
        pair.close()


def test_a_closed_channel_has_nothing_on_its_way(pair):
    pair.fill()
    pair.channel.close()
    pair.server.close()
    assert pair.channel.count_unacknowledged() == 0


def test_a_channel_with_tls_knows_it_too(world):
    with world.check_leaks():
        server, client = connect_tls(8192)
        channel = world.make_channel(server)
        while channel.send(b"x" * 100_000):
            pass
        waiting = channel.count_unacknowledged()
        assert waiting > 0
        read = 0
        with contextlib.suppress(ssl.SSLWantReadError):
            while read < waiting // 2:
                read += len(client.recv(16_384))
        assert read > 0
        assert channel.count_unacknowledged() < waiting
        assert not channel.has_hung_up()
        client.close()
        wait_for_hang_up(channel)
        channel.close()
        world.settle()
        server.close()


# The end, seen without reading -------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("kind", ["TCP", "Unix"])
def test_the_channel_knows_the_end_behind_bytes_that_nobody_has_read(world, kind, how):
    sockets = connect_tcp() if kind == "TCP" else socket.socketpair()
    with world.check_leaks():
        pair = Pair(world, *sockets)
        pair.client.sendall(b"unread")
        assert not pair.channel.has_hung_up()
        assert not pair.channel.is_unanswered()
        if how == "half-close":
            pair.client.shutdown(socket.SHUT_WR)
        else:
            if how == "reset":
                pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.client.close()
        wait_for_hang_up(pair.channel)
        assert pair.channel.recv() == b"unread"
        assert pair.channel.recv() == b""
        pair.close()


def wait_for_hang_up(channel: Any) -> None:
    """Wait until the kernel has passed the end on to the other side."""
    deadline = time.monotonic() + PATIENCE
    while not channel.has_hung_up():
        assert time.monotonic() < deadline
