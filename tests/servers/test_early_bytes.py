"""Bytes that a client sends without waiting for the answer to its handshake."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import pytest

from .clients import CLOSE, TEXT, RawClient, eventually, handshake_headers
from .processes import DEADLINE


def write_handshake(site: Any, username: str, **headers: str | None) -> bytes:
    cookie = site.login(username)
    lines = [f"GET {site.prefix}/protoo?uuid=a1 HTTP/1.1"]
    fields = {"Host": site.host, "Cookie": cookie, **handshake_headers(headers)}
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def write_frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
    else:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
    return head + bytes(4) + payload


def write_request(id: int, **data: Any) -> bytes:
    message = {"method": "get", "path": "/echo", "id": id, "data": data}
    return write_frame(TEXT, json.dumps(message).encode())


def send_parts(site: Any, *parts: bytes) -> RawClient:
    sock = socket.create_connection(("127.0.0.1", site.port), DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in parts:
        sock.sendall(part)
    return RawClient.of_answer(sock)


def hear_out(client: RawClient) -> None:
    """Let the server finish with bytes that it takes for another request."""
    client._sock.shutdown(socket.SHUT_WR)
    client._file.read()


def test_requests_behind_the_handshake_are_answered(site, alice):
    data = write_handshake(site, alice)
    data += b"".join(write_request(id, text="x" * id) for id in range(1, 60))
    with send_parts(site, data) as client:
        assert client.status == 101
        assert [client.read_message()["id"] for _ in range(1, 60)] == list(range(1, 60))
        client.send_request("get", "/echo", 60)
        assert client.read_message()["id"] == 60


@pytest.mark.parametrize("place", [-30, -1, 1, 2, 6, 20, -2])
def test_a_cut_anywhere_loses_nothing(site, alice, place):
    handshake, frame = write_handshake(site, alice), write_request(1, text="hello")
    data = handshake + frame + write_request(2)
    cut = len(handshake) + place if place != -2 else len(handshake) - 2
    with send_parts(site, data[:cut], data[cut:]) as client:
        assert client.status == 101
        assert client.read_message()["data"] == {"text": "hello"}
        assert client.read_message()["id"] == 2


def test_more_than_a_server_reads_at_once_is_read_to_the_end(site, alice):
    data = write_handshake(site, alice)
    data += b"".join(write_request(id, text="x" * 2000) for id in range(1, 60))
    with send_parts(site, data) as client:
        assert [client.read_message()["id"] for _ in range(1, 60)] == list(range(1, 60))


def test_an_early_close_is_taken(site, alice):
    data = write_handshake(site, alice) + write_frame(CLOSE, b"\x03\xe8")
    with send_parts(site, data) as client:
        assert client.read_close() == (1000, "")
    eventually(lambda: site.get(f"/peers?username={alice}"), [])


def test_a_second_http_request_behind_the_handshake_is_not_handled_as_one(site, alice):
    login = f"POST {site.prefix}/push/nobody?size=1&more=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with send_parts(site, write_handshake(site, alice) + login) as client:
        assert client.status == 101
        opcode, payload = client.read_frame()
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")  # 1002: frames are masked


def test_bytes_behind_a_refused_handshake_are_no_frames(site, alice):
    data = write_handshake(site, alice, Sec_WebSocket_Version="7") + write_request(1)
    with send_parts(site, data) as client:
        assert client.status == 426
        hear_out(client)
    assert site.get(f"/peers?username={alice}") == []


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}],
    ids=["length", "chunked"],
)
def test_a_handshake_has_no_body(site, alice, headers):
    data = write_handshake(site, alice, **headers)
    with send_parts(site, data + b"5\r\nhello\r\n0\r\n\r\n") as client:
        assert client.status == 400
        hear_out(client)
    assert site.get("/hello") == f"hello from {site.prefix.strip('/') or 'main'}"
