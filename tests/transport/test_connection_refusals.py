"""Clients that are not admitted after all: by an HTTP status, or by a Close frame."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from protoo_flask.core.errors import NotAdmitted

from .wire import HANDSHAKE, text


def refuse(status: int | None, after: Callable[[Any], None] = lambda link: None) -> Any:
    def connect(link: Any) -> Any:
        after(link)
        raise NotAdmitted(1008, "the directory is full: \u20ac", status)

    return connect


def read_to_end(client: Any) -> bytes:
    data = b""
    while True:
        more = client.sock.recv(65536)
        if not more:
            return data
        data += more


@pytest.mark.parametrize("early", [b"", text({"notification": True, "method": "early"})])
def test_a_client_that_is_not_admitted_gets_an_http_status_in_place_of_the_handshake(site, early):
    client = site.begin(connect=refuse(503), early=early)

    head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert {"Retry-After: 5", "Connection: close", f"Content-Length: {len(body)}"} <= {*headers}
    assert body.decode() == "the directory is full: \u20ac"
    assert client.connection.state == "draining"
    client.close()
    client.wait_for_end()


def test_the_status_tells_when_to_come_back(site):
    class Full(NotAdmitted):
        retry_after = 1.5

    def connect(link: Any) -> Any:
        raise Full(1008, "too many", 429)

    client = site.begin(connect=connect)
    answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nRetry-After: 2\r\n" in answer


def test_a_device_beyond_the_limit_is_refused_with_429(site):
    site.connect("alice", "a1")
    site.connect("alice", "a2")
    head, _, reason = read_to_end(site.begin("alice", "a3")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"2 devices" in reason


def test_without_a_status_the_handshake_is_answered_and_a_close_follows(site):
    client = site.begin(connect=refuse(None))
    client.receive_handshake()
    assert client.take_close() == (1008, "the directory is full: \u20ac")


def test_after_the_answer_to_the_handshake_a_close_follows_whatever_the_status(site):
    client = site.begin(connect=refuse(503, after=lambda link: link.open()))
    client.receive_handshake()
    assert client.take_close() == (1008, "the directory is full: \u20ac")


def test_messages_of_a_link_that_is_refused_are_not_sent(site):
    client = site.begin(connect=refuse(503, after=lambda link: link.outbox.send_text(b"secret")))
    answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"secret" not in answer
    assert HANDSHAKE not in answer
