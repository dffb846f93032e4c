"""Waiting in threads."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

import pytest

from protoo_flask.transport.threads.channel import ThreadChannel
from protoo_flask.transport.threads.loop import ThreadLoop

from ..wire import PATIENCE
from ..worlds import connect_tcp


@pytest.fixture
def loop() -> Any:
    before = set(threading.enumerate())
    yield ThreadLoop()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


@pytest.fixture
def pair() -> Any:
    """A channel and the socket at its other end."""
    server, client = connect_tcp()
    client.settimeout(PATIENCE)
    with server, client:
        yield ThreadChannel(server), client


def test_timers_fire_in_the_order_in_which_they_are_due(loop):
    fired: list[int] = []
    done = threading.Event()
    loop.call_later(0.06, lambda: (fired.append(3), done.set()))
    loop.call_later(0.001, fired.append, 1)
    loop.call_later(0.03, fired.append, 2)
    assert done.wait(PATIENCE)
    assert fired == [1, 2, 3]


def test_a_timer_may_block_without_delaying_another(loop):
    go_on, fired = threading.Event(), threading.Event()
    loop.call_later(0, go_on.wait, PATIENCE)
    loop.call_later(0.001, fired.set)
    assert fired.wait(PATIENCE)
    go_on.set()


def test_a_timer_that_was_cancelled_does_not_fire(loop):
    fired = []
    timer = loop.call_later(0.3, fired.append, 1)
    timer.cancel()
    timer.cancel()
    later = threading.Event()
    loop.call_later(0.35, later.set)
    assert later.wait(PATIENCE)
    assert fired == []


def test_the_thread_that_waits_for_timers_ends_with_the_last_of_them(loop):
    timers = [loop.call_later(1000, print) for _ in range(3)]
    waiting = [thread for thread in threading.enumerate() if thread.name == "protoo"]
    assert len(waiting) == 1
    for timer in timers:
        timer.cancel()
    waiting[0].join(PATIENCE)
    assert not waiting[0].is_alive()
    fired = threading.Event()
    loop.call_later(0.001, fired.set)
    assert fired.wait(PATIENCE)


def test_a_lock_may_be_taken_again_by_its_holder(loop):
    lock = loop.lock()
    with lock, lock:
        pass


def test_blocking_is_not_noticed(loop):
    assert loop.preempts
    with pytest.raises(NotImplementedError, match="nobody notices"):
        loop.when_blocked(print)


def watch(channel: ThreadChannel) -> queue.Queue[bytes | None]:
    """Have what there is to read put into a queue, up to the end."""
    received: queue.Queue[bytes | None] = queue.Queue()

    def take_turn() -> None:
        data = channel.recv()
        received.put(data)
        if data == b"":
            channel.unwatch()

    channel.watch(take_turn)
    return received


def test_nothing_to_read_is_not_the_end(pair):
    channel, _ = pair
    assert channel.recv() is None


def test_a_watch_calls_until_it_is_told_to_stop(pair):
    channel, client = pair
    received = watch(channel)
    for data in (b"hello", b"bye"):
        client.sendall(data)
        assert received.get(timeout=PATIENCE) == data
    channel.unwatch()
    client.sendall(b"again")
    received = watch(channel)
    assert received.get(timeout=PATIENCE) == b"again"
    client.close()
    assert received.get(timeout=PATIENCE) == b""


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_end_and_an_error_are_no_bytes(pair, how):
    channel, client = pair
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + b"\x00" * 7)
    received = watch(channel)
    client.close()
    assert received.get(timeout=PATIENCE) == b""


def test_sending_never_blocks(pair):
    channel, client = pair
    sent = 0
    while True:
        now = channel.send(memoryview(b"x" * 1_000_000))
        if now == 0:
            break
        sent += now
    writable = threading.Event()
    channel.when_writable(writable.set)
    received = 0
    while received < sent:
        received += len(client.recv(1_000_000))
    assert writable.wait(PATIENCE)


def test_an_abort_wakes_the_reader_and_the_writer(pair):
    channel, _ = pair
    while channel.send(b"x" * 1_000_000):
        pass
    writable = threading.Event()
    received = watch(channel)
    channel.when_writable(writable.set)
    channel.abort()
    assert received.get(timeout=PATIENCE) == b""
    assert writable.wait(PATIENCE)


def test_shutting_down_writing_leaves_the_other_direction_open(pair):
    channel, client = pair
    channel.shut_down_writing()
    assert client.recv(1) == b""
    received = watch(channel)
    client.sendall(b"late")
    assert received.get(timeout=PATIENCE) == b"late"
    client.close()


def test_the_socket_stays_the_servers(pair):
    channel, client = pair
    channel.close()
    assert client.recv(1) == b""
    assert channel._sock.fileno() != -1


def test_a_socket_that_the_server_has_closed_is_at_its_end(pair):
    channel, _ = pair
    channel._sock.close()
    assert channel.recv() == b""
    channel.abort()
    writable = threading.Event()
    channel.when_writable(writable.set)
    assert writable.wait(PATIENCE)


def test_replies_do_not_wait_for_acknowledgements(pair):
    channel, _ = pair
    assert channel._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
