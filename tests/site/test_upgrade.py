"""How a socket leaves its server, on gevent's hub."""

from __future__ import annotations

import errno

import gevent
import gevent.socket
import pytest

from protoo_flask.site.upgrade import UpgradeResponse
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.threads.loop import ThreadLoop


class Connection:
    """Sends the handshake that it was started with, and leaves."""

    def __init__(self, channel, handshake):
        self.channel = channel
        self.handshake = handshake

    def serve(self):
        self.channel.send(self.handshake)
        self.channel.close()


@pytest.fixture
def sockets():
    pairs = []

    def make():
        pairs.append(gevent.socket.socketpair())
        return pairs[-1]

    yield make
    for pair in pairs:
        for sock in pair:
            sock.close()


def answer(sock):
    """Answer a request for an upgrade as a server does, in a greenlet of its own."""
    response = UpgradeResponse([("Upgrade", "websocket")], GreenletLoop(), Connection)
    environ = {"gunicorn.socket": sock}
    greenlet = gevent.spawn(lambda: list(response(environ, lambda status, headers: None)))
    greenlet.get(timeout=5)


def read_all(sock):
    received = b""
    with gevent.Timeout(5):
        while True:
            data = sock.recv(4096)
            if not data:
                return received
            received += data


def test_the_connection_begins_when_the_server_has_ended(sockets):
    served, client = sockets()

    answer(served)

    assert read_all(client).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


def test_the_server_is_left_with_a_socket_whose_other_end_is_closed(sockets):
    served, client = sockets()

    answer(served)

    assert read_all(served) == b""
    with pytest.raises(BrokenPipeError):
        served.send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert b"200 OK" not in read_all(client)


def test_without_a_descriptor_left_the_server_keeps_its_socket_to_say_so(sockets, monkeypatch):
    def fail(fd):
        raise OSError(errno.EMFILE, "Too many open files")

    served, client = sockets()
    monkeypatch.setattr("os.dup", fail)
    with pytest.raises(OSError, match="Too many"):
        answer(served)
    monkeypatch.undo()
    served.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    served.close()
    assert read_all(client).startswith(b"HTTP/1.1 500")


def test_a_server_that_closes_or_shuts_down_its_socket_harms_no_other_connection(sockets):
    for _ in range(3):
        served, client = sockets()
        answer(served)
        read_all(client)
        assert read_all(served) == b""
        served.shutdown(gevent.socket.SHUT_RDWR)
        served.close()


def test_a_body_that_a_middleware_throws_away_leaves_the_socket_to_the_server(sockets):
    def refuse_to_start(channel, handshake):
        raise AssertionError("nobody has asked for the body")

    served, client = sockets()
    timeout = served.gettimeout()
    response = UpgradeResponse([("Upgrade", "websocket")], ThreadLoop(), refuse_to_start)
    response({"werkzeug.socket": served}, lambda status, headers: None)
    assert served.gettimeout() == timeout
    served.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    served.close()
    assert read_all(client).startswith(b"HTTP/1.1 500")
