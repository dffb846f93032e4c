"""The servers that have a world for connections, and those that are refused."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import gevent.socket
import pytest

from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.server_worlds import check_world, make_loop
from protoo_flask.transport.threads.loop import ThreadLoop
from protoo_flask.transport.websocket.handshake import HandshakeError


@pytest.fixture
def plain():
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def greenlet():
    with gevent.socket.socket() as sock:
        yield sock


def make_in_thread(environ):
    """Make a loop in a thread that is not the main one, as servers do."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make_loop, environ).result()


def test_the_development_server_has_a_thread_for_each_connection(plain):
    environ = {"werkzeug.socket": plain, "wsgi.multithread": True}
    assert isinstance(make_loop(environ), ThreadLoop)


def test_the_development_server_in_a_process_that_gevent_has_patched_has_greenlets(greenlet):
    environ = {"werkzeug.socket": greenlet, "wsgi.multithread": True}
    assert isinstance(make_loop(environ), GreenletLoop)


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
@pytest.mark.parametrize("is_patched", [False, True])
def test_a_server_of_one_request_at_a_time_is_refused(plain, greenlet, key, is_patched):
    environ = {key: greenlet if is_patched else plain, "wsgi.multithread": False}
    with pytest.raises(HandshakeError, match=r"one request at a time.*--worker-class gevent"):
        make_loop(environ)


def test_a_pool_of_threads_is_refused(plain):
    with pytest.raises(HandshakeError, match=r"a few threads.*--worker-class gevent"):
        make_in_thread({"gunicorn.socket": plain, "wsgi.multithread": True})


def test_a_pool_of_threads_that_gevent_has_patched_is_refused(greenlet):
    # In such a process a thread is a greenlet; here it is at least one that Thread has started.
    with pytest.raises(HandshakeError, match=r"a few threads.*--worker-class gevent"):
        make_in_thread({"gunicorn.socket": greenlet, "wsgi.multithread": True})


def test_an_object_in_the_place_of_the_socket_is_refused():
    with pytest.raises(HandshakeError, match="put a object in the place of the server's socket"):
        make_loop({"werkzeug.socket": object(), "wsgi.multithread": True})


def test_greenlets_of_eventlet_are_refused():
    class GreenSocket:
        """A socket of eventlet's is not a subclass of Python's."""

    GreenSocket.__module__ = "eventlet.greenio.base"
    with pytest.raises(HandshakeError, match=r"eventlet's greenlets: use gunicorn"):
        make_loop({"gunicorn.socket": GreenSocket(), "wsgi.multithread": True})


def test_a_server_of_the_other_world_is_refused(plain, greenlet):
    check_world({"werkzeug.socket": plain}, ThreadLoop())
    check_world({"gunicorn.socket": greenlet}, GreenletLoop())
    for key, sock, loop in (
        ("werkzeug.socket", plain, GreenletLoop()),
        ("gunicorn.socket", greenlet, ThreadLoop()),
    ):
        with pytest.raises(HandshakeError, match="by greenlets and by threads"):
            check_world({key: sock}, loop)
