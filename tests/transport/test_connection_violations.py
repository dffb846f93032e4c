"""Violations of the WebSocket protocol, and the limit of a message's size."""

from __future__ import annotations

import json

import pytest

from .connections import only_greenlets, request, take_departure
from .wire import CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame, text

VIOLATIONS = [
    pytest.param(frame(TEXT, b"{}", mask=None), 1002, id="not masked"),
    pytest.param(frame(TEXT, b"{}", rsv=4), 1002, id="reserved bit"),
    pytest.param(frame(3, b"{}"), 1002, id="unknown opcode"),
    pytest.param(frame(PING, b"", fin=False), 1002, id="fragmented control frame"),
    pytest.param(frame(PING, b"x" * 126), 1002, id="long control frame"),
    pytest.param(frame(CONTINUATION, b"{}"), 1002, id="nothing to continue"),
    pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
    pytest.param(close_frame(1005), 1002, id="close code that is never sent"),
    pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="close reason not UTF-8"),
    pytest.param(frame(TEXT, b"\xff"), 1007, id="text not UTF-8"),
    pytest.param(frame(TEXT, b"x" * 65537), 1009, id="too big"),
]


@pytest.mark.parametrize(("sent", "code"), VIOLATIONS)
def test_a_client_that_is_still_sending_reads_the_close_for_its_violation(site, sent, code):
    client = site.connect()
    client.request("get")  # "online" listeners have run
    wait = site.world.spawn(client.send_bytes, sent + b"\x00" * 2_000_000)
    received, reason = client.receive().close
    assert received == code
    assert reason
    client.take_end()
    wait()
    client.close()
    client.wait_for_end()
    take_departure(site)
    assert site.peer() is None


@only_greenlets  # the thread that reads may be faster than the thread of the handler
@pytest.mark.parametrize(("sent", "code"), VIOLATIONS)
def test_a_request_before_a_violation_in_the_same_bytes_is_answered(site, sent, code):
    client = site.connect()
    client.send_bytes(text(request(1)) + sent)
    assert client.take()["id"] == 1
    assert client.take_close()[0] == code


def test_a_violation_after_the_sites_close_ends_the_connection(site):
    client = site.connect()
    site.peer().close(1000, "bye")
    client.send_bytes(frame(3))
    assert client.take_close() == (1000, "bye")


@pytest.mark.parametrize("parts", [1, 2, 7], ids="in {} parts".format)
def test_the_size_limit_is_inclusive_and_counts_all_fragments(make_site, parts):
    site = make_site(max_message_size=1000)
    client = site.connect()
    client.send_bytes(fragments(padded(1000), parts))
    assert client.take()["id"] == 1
    client.send_bytes(fragments(padded(1001), parts))
    assert client.take_close() == (1009, "a message has at most 1000 bytes")


def padded(size: int, id: int = 1) -> bytes:
    """Return a request that has exactly so many bytes."""
    start = json.dumps({"method": "get", "path": "/", "id": id, "data": {"padding": ""}})
    message = start.replace('""', '"' + "x" * (size - len(start)) + '"')
    assert len(message) == size
    return message.encode()


def fragments(message: bytes, count: int) -> bytes:
    size = len(message) // count
    parts = [message[i * size : (i + 1) * size] for i in range(count - 1)]
    parts.append(message[(count - 1) * size :])
    return b"".join(
        frame(CONTINUATION if i else TEXT, part, fin=i == count - 1) + frame(PONG)
        for i, part in enumerate(parts)
    )
