"""Waiting on gevent's hub."""

from __future__ import annotations

import socket
import threading
from typing import Any

import gevent
import gevent.event
import gevent.queue
import gevent.socket
import pytest

from protoo_flask.transport.channel import READ_SIZE
from protoo_flask.transport.greenlets.channel import GreenletChannel
from protoo_flask.transport.greenlets.greenlet_pool import Workers
from protoo_flask.transport.greenlets.loop import GreenletLoop

from ..wire import PATIENCE
from ..worlds import connect_tcp

#: libuv, on Windows, does not count what it watches.
counts_watchers = pytest.mark.skipif(
    "libuv" in gevent.config.loop.__module__, reason="libuv does not count its watchers"
)


@pytest.fixture
def loop() -> GreenletLoop:
    return GreenletLoop()


@pytest.fixture
def pair() -> Any:
    """A channel and the socket at its other end."""
    server, client = connect_tcp()
    client.settimeout(PATIENCE)
    channel = GreenletChannel(server, True, Workers())
    yield channel, client
    client.close()
    channel.close()


def read(channel: GreenletChannel) -> bytes | None:
    """Wait until there is something to read, and read it."""
    gevent.socket.wait_read(channel._sock.fileno(), timeout=PATIENCE)
    return channel.recv()


def collect(queue: Any, size: int) -> bytes:
    """Take what comes until it is so many bytes."""
    data = b""
    while len(data) < size:
        data += queue.get(timeout=PATIENCE)
    return data


def test_a_timer_fires_once_in_a_greenlet_of_its_own(loop):
    fired = loop.event()

    def fire(value: str) -> None:
        gevent.sleep(0)  # which the hub itself could not
        assert value == "value"
        fired.set()

    timer = loop.call_later(0.001, fire, "value")
    assert fired.wait(PATIENCE)
    timer.cancel()


def test_a_timer_that_was_cancelled_does_not_fire(loop):
    fired = []
    timer = loop.call_later(0.001, fired.append, 1)
    timer.cancel()
    timer.cancel()
    later = loop.event()
    loop.call_later(0.02, later.set)
    assert later.wait(PATIENCE)
    assert fired == []


@counts_watchers
def test_timers_leave_no_watcher_behind(loop):
    gevent.sleep(0)
    before = gevent.get_hub().loop.activecnt
    timers = [loop.call_later(1000, print) for _ in range(10)]
    assert gevent.get_hub().loop.activecnt == before + 10
    for timer in timers:
        timer.cancel()
    assert gevent.get_hub().loop.activecnt == before


def test_blocking_is_noticed_when_it_happens(loop):
    seen = []
    blocked = loop.when_blocked(seen.append, "blocked")
    assert seen == []
    gevent.sleep(0)
    assert seen == ["blocked"]
    blocked.stop()
    gevent.sleep(0)
    assert seen == ["blocked"]


def test_blocking_is_not_noticed_when_it_does_not_happen(loop):
    seen = []
    blocked = loop.when_blocked(seen.append, "blocked")
    blocked.stop()
    gevent.sleep(0)
    assert seen == []


def test_the_clock_does_not_go_back(loop):
    assert loop.now() <= loop.now()


def test_nothing_to_read_is_not_the_end(pair):
    channel, client = pair
    assert channel.recv() is None
    client.sendall(b"hello")
    assert read(channel) == b"hello"


def test_a_watch_calls_for_what_is_read_and_for_what_is_left(pair):
    channel, client = pair
    turns = gevent.queue.Queue()
    channel.watch(lambda: turns.put(channel._sock.recv(2)))
    for data in (b"hello", b"bye"):
        client.sendall(data)
        assert collect(turns, len(data)) == data


def test_what_comes_while_a_turn_blocks_is_another_turns(pair):
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


def test_nobody_is_called_until_the_watch_goes_on(pair):
    channel, client = pair
    turns = gevent.queue.Queue()
    channel.watch(lambda: turns.put(channel.recv()))
    channel.unwatch()
    client.sendall(b"hello")
    gevent.sleep(0.01)
    assert turns.empty()
    channel.watch(lambda: turns.put(channel.recv()))
    assert turns.get(timeout=PATIENCE) == b"hello"


def test_other_greenlets_get_their_turn_while_there_is_always_more_to_read(pair):
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


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_end_and_an_error_are_no_bytes(pair, how):
    channel, client = pair
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + b"\x00" * 7)
    client.close()
    assert read(channel) == b""


def test_sending_never_blocks(pair):
    channel, client = pair
    sent = 0
    while True:
        now = channel.send(memoryview(b"x" * 1_000_000))
        if now == 0:
            break
        sent += now
    assert sent > 0
    writable = gevent.event.Event()
    channel.when_writable(writable.set)
    gevent.sleep(0)
    assert not writable.is_set()
    received = 0
    while received < sent:
        received += len(client.recv(1_000_000))
    assert writable.wait(PATIENCE)


def test_a_writable_socket_is_told_once(pair):
    channel, _ = pair
    told: list[int] = []
    first = gevent.event.Event()
    channel.when_writable(lambda: (told.append(1), first.set()))
    assert first.wait(PATIENCE)
    for _ in range(3):
        gevent.sleep(0.001)
    assert told == [1]


def test_sending_to_one_who_has_gone_is_an_error(pair):
    channel, _ = pair
    channel.abort()
    with pytest.raises(OSError, match="pipe"):
        channel.send(b"x")


def test_an_abort_wakes_the_reader(pair):
    channel, client = pair
    ended = gevent.event.AsyncResult()
    channel.watch(lambda: (ended.set(channel.recv()), channel.unwatch()))
    channel.abort()
    assert ended.get(timeout=PATIENCE) == b""
    assert client.recv(1) == b""


def test_shutting_down_writing_leaves_the_other_direction_open(pair):
    channel, client = pair
    channel.shut_down_writing()
    assert client.recv(1) == b""
    client.sendall(b"late")
    assert read(channel) == b"late"


@counts_watchers
def test_closing_gives_everything_back(pair):
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


def test_a_socket_that_is_the_servers_is_not_closed():
    server, client = connect_tcp()
    with client, gevent.socket.socket(fileno=server.detach()) as sock:
        channel = GreenletChannel(sock, False, Workers())
        client.sendall(b"hello")
        assert read(channel) == b"hello"
        channel.close()
        assert sock.fileno() != -1
        assert client.recv(1) == b""


def test_replies_do_not_wait_for_acknowledgements(pair):
    channel, _ = pair
    assert channel._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_unix_socket_will_do_as_well():
    server, client = socket.socketpair()
    with client:
        channel = GreenletChannel(server, True, Workers())
        client.sendall(b"hello")
        assert read(channel) == b"hello"
        channel.close()


def test_an_app_may_be_served_by_the_hub_of_another_thread(loop):
    done: list[threading.Thread] = []

    def serve() -> None:
        event = loop.event()
        loop.call_later(0, loop.spawn, event.set)
        if event.wait(PATIENCE):
            done.append(threading.current_thread())
        gevent.get_hub().destroy(destroy_loop=True)

    for _ in range(2):
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join(PATIENCE)
    assert len(done) == 2
