"""Handshakes with bytes that no URL and no header may have."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from .clients import RawClient, handshake_headers
from .processes import DEADLINE


def knock(site: Any, username: str, target: bytes, header: bytes = b"", **changes: Any) -> int:
    """Send a handshake of a user, or of nobody; return the status."""
    fields = {"Host": site.host, **handshake_headers(changes)}
    if username:
        fields["Cookie"] = site.login(username)
    lines = [b"GET " + target + b" HTTP/1.1"]
    lines += [f"{name}: {value}".encode() for name, value in fields.items()]
    lines += [header] if header else []
    with socket.create_connection(("127.0.0.1", site.port), DEADLINE) as sock:
        sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        with RawClient.of_answer(sock) as client:
            return client.status


QUERIES = [b"uuid=\xff", b"uuid=a1&x=\xfe\xff", b"uuid=%ff", "uuid=\u00e9".encode()]


# gunicorn refuses them itself. The others let everybody in that the authorizer lets in.
@pytest.mark.parametrize("query", QUERIES)
def test_raw_bytes_in_the_query_are_answered(site, alice, query):
    assert knock(site, alice, b"/protoo?" + query) in (101, 400)


@pytest.mark.parametrize("query", QUERIES)
def test_a_plain_get_is_answered_as_well(site, alice, query):
    assert knock(site, alice, b"/protoo?" + query, Upgrade=None) in (426, 400)


@pytest.mark.parametrize("query", QUERIES)
def test_a_path_with_variable_parts_makes_no_difference(site_at, query):
    status = knock(site_at("/rented"), "", b"/rented/north/chat?username=x&" + query)
    assert status in (101, 400, 403)


def test_the_uuid_is_the_same_as_if_the_client_had_escaped_it(server, site, alice):
    if not server.kind.startswith("pywsgi"):
        pytest.skip("gunicorn refuses such a query, and werkzeug takes it for Latin-1")
    cookie = site.login(alice)
    with site.connect_with("?uuid=%C3%A9", Cookie=cookie) as client:
        lines = ["GET /protoo?uuid=\u00e9 HTTP/1.1"]
        fields = {"Host": site.host, "Cookie": cookie, **handshake_headers({})}
        lines += [f"{name}: {value}" for name, value in fields.items()]
        with socket.create_connection(("127.0.0.1", site.port), DEADLINE) as sock:
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            with RawClient.of_answer(sock):
                assert client.wait_for_close() == (3000, "online elsewhere")


@pytest.mark.parametrize(
    ("target", "header"),
    [
        (b"/protoo\xff", b""),
        (b"/protoo?uuid=a\x00b", b""),
        (b"/protoo?uuid=a1", b"Cookie: a=\xff"),
        (b"/protoo?uuid=a1", b"Origin: http://\xff"),
        (b"/protoo?uuid=a1", b"Origin: http://\x00"),
        (b"/protoo?uuid=a1", b"Host: \xff"),
        (b"/protoo?uuid=a1", b"X-Something: \xff\xfe"),
        (b"/protoo?uuid=a1", b"Sec-WebSocket-Protocol: \xff"),
        (b"/protoo?uuid=a1", b"Sec-WebSocket-Key: \xff"),
        (b"/protoo?uuid=a1", b"Sec-WebSocket-Version: \xff"),
        (b"/protoo?uuid=a1", b"Origin: http://evil.example"),
    ],
)
def test_no_byte_is_an_error_of_the_server(site, alice, target, header):
    assert knock(site, alice, target, header) < 500


@pytest.mark.parametrize(
    "header", ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: http://evil.example"]
)
def test_a_header_that_comes_twice_is_refused(site, alice, header):
    assert knock(
        site, alice, b"/protoo?uuid=a1", header.encode(), Origin=f"http://{site.host}"
    ) in (400, 403)
