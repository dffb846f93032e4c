"""Pings and pongs, and clients that have vanished."""

from __future__ import annotations

import json

import pytest

from .connections import Gate, request, take_departure
from .wire import PING, PONG, Frame, frame, text


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"x" * 125])
def test_a_ping_is_answered_with_its_payload(site, payload):
    client = site.connect()
    client.send_bytes(frame(PING, payload))
    assert client.receive() == Frame(PONG, payload)


def test_an_unsolicited_pong_is_ignored(site):
    client = site.connect()
    client.send_bytes(frame(PONG, b"unsolicited"))
    assert client.request("get")["status"] == 404


def test_a_client_that_answers_pings_stays(make_site):
    client = make_site(ping_interval=0.2).connect()
    for _ in range(3):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(frame(PONG))
    assert client.connection.state == "open"


def test_any_byte_from_a_client_keeps_its_connection_alive(make_site):
    client = make_site(ping_interval=0.2).connect()
    slowly = iter(text(request(1)))
    for _ in range(4):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(bytes((next(slowly),)))
    client.send_bytes(bytes(slowly))
    received = client.receive()
    while received.opcode == PING:
        received = client.receive()
    assert json.loads(received.payload)["status"] == 404


def test_a_client_that_answers_no_ping_is_closed_with_1008(make_site):
    site = make_site(ping_interval=0.02)
    client = site.connect()
    assert client.receive() == Frame(PING, b"")
    client.wait_for_end()
    take_departure(site)
    assert site.peer() is None
    assert client.take_close() == (1008, "ping timeout")


def test_a_blocked_handler_does_not_stop_the_keep_alive(make_site):
    site = make_site(ping_interval=0.1)
    gate = Gate(site)
    site.router.method("wait", gate)
    client = site.connect()
    client.send_request("wait")
    gate.wait()
    for _ in range(4):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(frame(PONG))
    gate.open()
    received = client.receive()
    while received.opcode == PING:
        received = client.receive()
    assert json.loads(received.payload)["status"] == 200
