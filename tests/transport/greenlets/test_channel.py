"""A socket on gevent's hub; see also ``test_channel_contract``."""

from __future__ import annotations

from typing import Any, Iterator

import gevent
import gevent.event
import gevent.queue
import gevent.socket
import pytest

from protoo_flask.transport.channel import READ_SIZE
from protoo_flask.transport.greenlets.channel import GreenletChannel
from protoo_flask.transport.greenlets.fast_greenlet_pool import FastGreenletPool
from protoo_flask.transport.greenlets.fast_write_batching import FastWriteBatching

from ..wire import PATIENCE
from ..worlds import connect_tcp
from . import counts_watchers


@pytest.fixture
def pair() -> Iterator[Any]:
    """A channel and the socket at its other end."""
    server, client = connect_tcp()
    client.settimeout(PATIENCE)
    channel = GreenletChannel(server, True, FastGreenletPool(FastWriteBatching()))
    yield channel, client
    client.close()
    channel.close()


def read(channel: GreenletChannel) -> bytes | None:
    """Wait until there is something to read, and read it."""
    gevent.socket.wait_read(channel._sock.fileno(), timeout=PATIENCE)
    return channel.recv()


def test_while_a_turn_blocks_another_greenlet_takes_the_next(pair):
    channel, client = pair
    turns = gevent.queue.Queue()
    go_on = gevent.event.Event()

    def take_turn() -> None:
        data = channel.recv()
        turns.put(data)
        if data == b"block":
            assert go_on.wait(PATIENCE)
            turns.put(b"gone on")

    channel.watch(take_turn)
    client.sendall(b"block")
    assert turns.get(timeout=PATIENCE) == b"block"
    client.sendall(b"next")
    assert turns.get(timeout=PATIENCE) == b"next"
    go_on.set()
    assert turns.get(timeout=PATIENCE) == b"gone on"


def test_unwatch_stops_the_calls(pair):
    channel, client = pair
    turns = gevent.queue.Queue()
    channel.watch(lambda: turns.put(channel.recv()))
    channel.unwatch()
    client.sendall(b"hello")
    gevent.sleep(0.01)
    assert turns.empty()
    channel.watch(lambda: turns.put(channel.recv()))
    assert turns.get(timeout=PATIENCE) == b"hello"


def test_a_client_that_always_sends_does_not_stop_other_greenlets(pair):
    channel, client = pair
    client.sendall(b"x" * (10 * READ_SIZE))
    turns = []
    order = gevent.queue.Queue()

    def take_turn() -> None:
        assert len(channel.recv()) <= READ_SIZE
        order.put(len(turns))

    def take_turns() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    channel.watch(take_turn)
    other = gevent.spawn(take_turns)
    first, *_, last = [order.get(timeout=PATIENCE) for _ in range(10)]
    other.kill()
    assert last - first > 5


@counts_watchers
def test_closing_leaves_no_watcher_behind(pair):
    channel, _ = pair
    before = gevent.get_hub().loop.activecnt
    channel.when_writable(lambda: pytest.fail("it is closed"))
    assert gevent.get_hub().loop.activecnt == before + 1
    channel.close()
    assert gevent.get_hub().loop.activecnt == before
    assert channel._sock.fileno() == -1
    channel.close()
    channel.abort()
    gevent.sleep(0)


def test_a_socket_of_the_server_is_not_closed():
    server, client = connect_tcp()
    with client, gevent.socket.socket(fileno=server.detach()) as sock:
        channel = GreenletChannel(sock, False, FastGreenletPool(FastWriteBatching()))
        client.sendall(b"hello")
        assert read(channel) == b"hello"
        channel.close()
        assert sock.fileno() != -1
        assert client.recv(1) == b""
