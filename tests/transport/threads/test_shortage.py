"""A process that can start no more threads for a while."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.transport.threads import loop as loop_module
from protoo_flask.transport.threads.channel import ThreadChannel
from protoo_flask.transport.threads.loop import ThreadLoop

from ..wire import PATIENCE
from ..worlds import connect_tcp


class Shortage:
    """Lets no thread start while it is on."""

    def __init__(self, monkeypatch):
        start = threading.Thread.start
        self.on = False

        def start_or_fail(thread):
            if self.on:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_fail)


@pytest.fixture
def shortage(monkeypatch):
    monkeypatch.setattr(loop_module, "RETRY", 0.001)
    return Shortage(monkeypatch)


def test_work_is_done_as_soon_as_there_is_a_thread(shortage):
    loop = ThreadLoop()
    timer = loop.call_later(1000, print)  # there is a thread for the timers
    done = threading.Event()
    shortage.on = True
    loop.spawn(done.set)
    assert not done.wait(0.02)
    shortage.on = False
    assert done.wait(PATIENCE)
    timer.cancel()


def test_without_a_thread_for_the_timers_the_next_timer_starts_one(shortage):
    loop = ThreadLoop()
    done, late = threading.Event(), threading.Event()
    shortage.on = True
    loop.spawn(done.set)
    loop.call_later(0.001, late.set)
    shortage.on = False
    timer = loop.call_later(1000, print)
    assert done.wait(PATIENCE)
    assert late.wait(PATIENCE)
    timer.cancel()


def test_a_slow_reader_is_cut_if_no_thread_can_wait_for_it(shortage):
    server, client = connect_tcp(8192)
    with server, client:
        channel = ThreadChannel(server)
        shortage.on = True
        channel.when_writable(print)
        assert channel.has_hung_up()
        assert channel.recv() == b""
        shortage.on = False
        channel.close()


def test_a_channel_keeps_the_thread_that_reads_for_it(shortage):
    server, client = connect_tcp()
    with server, client:
        channel = ThreadChannel(server, has_reader=True)
        reader = threading.Thread(target=channel.read)
        reader.start()
        shortage.on = True
        for _ in range(3):
            turns = threading.Event()

            def turn(turns=turns):
                channel.recv()
                turns.set()

            channel.watch(turn)
            client.sendall(b"x")
            assert turns.wait(PATIENCE)
            channel.unwatch()
        channel.close()
        reader.join(PATIENCE)
        assert not reader.is_alive()
