"""How a socket leaves its server, on gevent's hub."""

from __future__ import annotations

import errno
import io
import threading

import gevent
import gevent.socket
import pytest
from flask import Response

from protoo_flask.site.attachment import AttachedResponse
from protoo_flask.site.entrance import EmptyBody
from protoo_flask.site.upgrade import UpgradeResponse
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.tap import Tap
from protoo_flask.transport.threads.loop import ThreadLoop


class Deliberate(Exception):
    pass


class Body:
    """The input of gunicorn, with bytes that were read behind the request."""

    def __init__(self, data):
        self.reader = self
        self.unreader = Unreader()
        self.unreader.buf.write(data)


class Unreader:
    def __init__(self):
        self.buf = io.BytesIO()

    def read(self):
        data, self.buf = self.buf.getvalue(), io.BytesIO()
        return data


class Connection:
    """Sends the handshake that it was started with, and leaves."""

    def __init__(self, channel, handshake):
        self.channel = channel
        self.handshake = handshake

    def serve(self, early):
        self.channel.send(self.handshake + early)
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


def refuse():
    return Response("too many connections", 503)


def answer(sock, body=None):
    """Answer a request for an upgrade as a server does, in a greenlet of its own.

    :returns: the statuses that the server was told, and the body.
    """
    response = UpgradeResponse([("Upgrade", "websocket")], GreenletLoop(), Connection, refuse)
    environ = {"REQUEST_METHOD": "GET", "gunicorn.socket": sock, "wsgi.input": body}
    statuses = []
    greenlet = gevent.spawn(
        lambda: list(response(environ, lambda status, *_: statuses.append(status)))
    )
    return statuses, greenlet.get(timeout=5)


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
    statuses, body = answer(served)
    monkeypatch.undo()
    assert statuses == ["503 SERVICE UNAVAILABLE"]
    assert body == [b"too many connections"]
    served.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    served.close()
    assert read_all(client).startswith(b"HTTP/1.1 503")


def test_a_connection_that_cannot_be_made_gives_its_socket_back(sockets, monkeypatch):
    def fail(channel, handshake):
        raise Deliberate

    errors = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *args: errors.append(args[1]))
    served, client = sockets()
    response = UpgradeResponse([], GreenletLoop(), fail, refuse)
    environ = {"gunicorn.socket": served}
    gevent.spawn(lambda: list(response(environ, lambda *args: None))).get(timeout=5)
    assert read_all(client) == b""
    assert errors == [Deliberate]


def test_bytes_that_gunicorn_has_read_behind_the_handshake_are_handed_over(sockets):
    served, client = sockets()
    body = Body(b"early")
    answer(served, body)
    assert read_all(client).endswith(b"\r\n\r\nearly")
    assert body.unreader.buf.getvalue() == b""


def test_bytes_in_the_buffered_file_of_a_server_are_handed_over(sockets):
    served, client = sockets()
    file = served.makefile("rb")
    client.sendall(b"request\r\nearly")
    assert file.readline() == b"request\r\n"
    answer(served, EmptyBody(EmptyBody(file)))
    assert read_all(client).endswith(b"\r\n\r\nearly")


def test_an_input_that_is_not_the_servers_has_nothing(sockets):
    served, client = sockets()
    answer(served, io.BytesIO(b"not early"))
    assert read_all(client).endswith(b"\r\n\r\n")


def test_a_server_that_closes_or_shuts_down_its_socket_harms_no_other_connection(sockets):
    for _ in range(3):
        served, client = sockets()
        answer(served)
        read_all(client)
        assert read_all(served) == b""
        served.shutdown(gevent.socket.SHUT_RDWR)
        served.close()


@pytest.fixture
def tap(sockets):
    """A tap that a view has bound, and the thread of simple-websocket, which waits for it."""
    served, _ = sockets()
    tap = Tap({"werkzeug.socket": served})
    tap.put("dGhlIHNhbXBsZSBub25jZQ==", "protoo")
    tap.bind()
    thread = threading.Thread(target=tap.recv, args=(4096,))
    thread.start()
    yield tap
    thread.join(5)
    assert not thread.is_alive()


def refuse_to_start(channel, handshake):
    raise AssertionError("nobody has asked for the body")


def test_a_body_that_a_middleware_throws_away_leaves_the_socket_to_the_server(sockets, tap):
    served, client = sockets()
    timeout = served.gettimeout()
    headers = [("Upgrade", "websocket")]
    response = AttachedResponse(headers, ThreadLoop(), refuse_to_start, tap)
    body = response({"werkzeug.socket": served}, lambda status, headers: None)
    tap.end_request()  # the request has ended, and the body has not begun
    assert served.gettimeout() == timeout
    body.close()
    served.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    served.close()
    assert read_all(client).startswith(b"HTTP/1.1 500")


def test_a_response_that_another_one_replaces_leaves_no_thread(tap):
    AttachedResponse([], ThreadLoop(), refuse_to_start, tap)
    tap.end_request()
