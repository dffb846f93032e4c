"""Finding the socket of a request."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace

import gevent.pywsgi
import gevent.socket
import gevent.ssl
import pytest

from protoo_flask.transport.server_sockets import find_socket, is_greenlet_socket, is_tls
from protoo_flask.transport.websocket.handshake import HandshakeError


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
def test_the_socket_is_where_the_server_puts_it(key):
    sock = object()
    assert find_socket({key: sock}) is sock


@pytest.mark.parametrize("inside", [False, True], ids=["upgrading", "other"])
def test_pywsgi_has_the_socket_under_its_input(inside):
    sock = object()
    body = SimpleNamespace(raw=SimpleNamespace(_sock=sock))
    environ = {
        "SERVER_SOFTWARE": "gevent/24.2 Python/3.12",
        "wsgi.input": SimpleNamespace(rfile=body) if inside else body,
    }
    assert find_socket(environ) is sock


@pytest.mark.parametrize("server", ["waitress", ""])
def test_a_server_without_a_place_for_it_is_refused(server):
    with pytest.raises(HandshakeError, match=server or "an unknown server") as caught:
        find_socket({"SERVER_SOFTWARE": server})
    assert caught.value.status == 500


def test_a_socket_of_gevent_is_known_by_its_class():
    with socket.socket() as plain, gevent.socket.socket() as greenlet:
        assert not is_greenlet_socket(plain)
        assert is_greenlet_socket(greenlet)
        assert not is_tls(plain)
        assert not is_tls(greenlet)


def test_tls_is_known_in_a_patched_process_and_in_any_other():
    with ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(
        socket.socket(), server_hostname="localhost"
    ) as plain:
        assert is_tls(plain)
    with gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(
        gevent.socket.socket(), server_hostname="localhost"
    ) as greenlet:
        assert is_tls(greenlet)
        assert is_greenlet_socket(greenlet)


class CountingInput:
    """An input that a WSGI middleware has put in the place of the server's."""

    def read(self, size=-1):
        return b""


PYWSGI = "gevent/24.2 Python/3.12"


def test_behind_a_replaced_input_the_handler_of_pywsgi_leads_to_the_socket():
    found = []

    def app(environ, start_response):
        environ["wsgi.input"] = CountingInput()
        found.append(find_socket({**environ, "SERVER_SOFTWARE": PYWSGI}))
        start_response("204 No Content", [])
        return []

    server = gevent.pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    with gevent.socket.create_connection(("127.0.0.1", server.server_port)) as client:
        client.settimeout(5)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 204")
    server.stop()
    assert [is_greenlet_socket(sock) for sock in found] == [True]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"SERVER_SOFTWARE": PYWSGI, "wsgi.input": CountingInput()}, "has replaced: let"),
        ({"SERVER_SOFTWARE": PYWSGI}, "has replaced: let"),
        ({"SERVER_SOFTWARE": "gunicorn/23.0"}, "no gunicorn.socket: .* must copy all keys"),
        ({"SERVER_SOFTWARE": "Werkzeug/3.1"}, "no werkzeug.socket: .* must copy all keys"),
    ],
    ids=["input replaced", "input gone", "key of gunicorn gone", "key of werkzeug gone"],
)
def test_a_middleware_that_hides_the_socket_is_blamed(environ, reason):
    with pytest.raises(HandshakeError, match=reason) as caught:
        find_socket(environ)
    assert caught.value.status == 500
