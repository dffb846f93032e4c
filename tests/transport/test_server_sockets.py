"""Finding the socket of a request."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace

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
