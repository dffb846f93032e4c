"""A forked child has none of the connections of its parent."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from typing import Any, Callable

import pytest

from protoo_flask.core.errors import ServerStopped

from .wire import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")


def run_in_child(look: Callable[[], Any]) -> None:
    """Fork, and fail if ``look()`` raises in the child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            look()
            code = 0
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0, "see above for the error of the child"


# Python warns of forks in processes with threads, as these are.
pytestmark = [pytestmark, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_the_child_has_no_descriptor_of_a_client(site):
    clients = [site.connect(), site.connect("bob")]
    descriptors = [client.connection._channel._sock.fileno() for client in clients]
    sockets = [os.fstat(descriptor).st_ino for descriptor in descriptors]

    def look() -> None:
        for descriptor, inode in zip(descriptors, sockets):
            with contextlib.suppress(OSError):
                assert os.fstat(descriptor).st_ino != inode

    run_in_child(look)
    for client in clients:
        assert client.request("get")["status"] == 404


def test_the_child_can_neither_send_nor_close(site):
    client = site.connect()
    link = client.connection

    def touch() -> None:
        if not site.world.loop.preempts:
            # A thread that the child does not have may hold a lock of the core for ever.
            with pytest.raises(ServerStopped, match="this process was forked"):
                site.peer().notify("from the child")
        link._channel.shut_down_writing()
        link._channel.abort()
        link._channel.close()
        assert link._channel.recv() == b""

    run_in_child(touch)
    assert client.request("get")["status"] == 404


def test_a_connection_that_ends_in_the_parent_ends_while_a_child_lives(site):
    client = site.connect()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    try:
        client.connection.close(1000, "bye")
        assert client.receive().close == (1000, "bye")
        client.send_bytes(b"\x88\x80\x00\x00\x00\x00")
        client.take_end()
        # Not close(): the child has a copy of the client's socket, too.
        client.sock.shutdown(socket.SHUT_RDWR)
        assert client.closed.wait(PATIENCE)
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_functions_that_were_about_to_run_do_not_run_in_the_child(world):
    if world.loop.preempts:
        pytest.skip("other threads do not exist in a forked child")
    import gevent

    with world.check_leaks():
        ran: list[int] = []
        world.loop.spawn(lambda: ran.append(os.getpid()))
        timer = world.loop.call_later(0, lambda: ran.append(os.getpid()))

        def look() -> None:
            gevent.sleep(0.01)
            assert ran == []

        run_in_child(look)
        gevent.sleep(0.01)
        assert ran == [os.getpid()] * 2
        timer.cancel()
