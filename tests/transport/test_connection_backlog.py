"""Requests that wait in the backlog: a full backlog pauses reading."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest

from protoo_flask.core import backlog

from .connections import MOMENT, Gate, only_greenlets, request
from .wire import PATIENCE, PING, PONG, TEXT, Frame, close_frame, frame, text


def test_a_full_backlog_pauses_reading_and_loses_no_request(site, gate, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 20_000)
    client = site.connect()
    client.send_request("wait")
    gate.wait()
    client.send_bytes(b"".join(text(request(id, padding="x" * 2000)) for id in range(2, 100)))
    client.send_bytes(frame(PING))
    client.hear_nothing(MOMENT)
    # One read may go beyond the limit.
    assert 20_000 < client.connection._inbox.waiting < 20_000 + 2 * 16 * 1024
    gate.open()
    received = [client.receive() for _ in range(100)]
    assert received.count(Frame(PONG, b"")) == 1
    answered = [json.loads(one.payload)["id"] for one in received if one.opcode == TEXT]
    assert answered == list(range(1, 100))
    assert client.connection._inbox.waiting == 0


@only_greenlets  # a thread looks for decrypted bytes before it waits for the socket
def test_decrypted_bytes_wait_for_room_in_the_backlog_without_keeping_the_hub_busy(
    make_site, monkeypatch
):
    site = make_site()
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 10)
    gate = Gate(site)
    site.router.method("wait", gate)
    client = site.connect()
    # As if TLS had decrypted more than has been read.
    channel = client.connection._channel
    channel.buffers_input, channel.has_buffered_input = True, lambda: True
    client.send(request(1, "wait"), request(2))
    gate.wait()
    while not client.connection._is_paused:
        gevent.sleep(0)
    spawned: list[Any] = []
    monkeypatch.setattr(site.world.loop, "spawn", lambda *args: spawned.append(args))
    for _ in range(10):
        gevent.sleep(0)
    monkeypatch.undo()
    assert spawned == []
    channel.buffers_input = False
    gate.open()
    assert [answer["id"] for answer in client.take_many(2)] == [1, 2]


def test_a_client_slowed_down_by_a_full_backlog_is_not_timed_out(make_site, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 10)
    site = make_site(ping_interval=0.1)
    gate = Gate(site)
    site.router.method("wait", gate)
    client = site.connect()
    client.send(request(1, "wait"), request(2), request(3))
    gate.wait()
    for _ in range(5):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(frame(PONG))  # the server does not read it yet
    gate.open()
    answered = []
    while len(answered) < 3:
        received = client.receive()
        if received.opcode == TEXT:
            answered.append(json.loads(received.payload)["id"])
    assert answered == [1, 2, 3]


def test_messages_before_the_clients_close_are_handled_after_a_blocked_handler(site, gate):
    handled = site.world.loop.event()
    site.router.method("last", lambda req, next: handled.set())
    client = site.connect()
    client.send_bytes(
        text(request(1, "wait")) + text({"method": "last", "path": "/"}) + close_frame(1000)
    )
    gate.wait()
    assert client.take_close() == (1000, "")
    client.close()
    client.wait_for_end()
    assert not handled.is_set()
    gate.open()
    assert handled.wait(PATIENCE)


def test_waiting_requests_are_not_handled_after_the_site_has_closed(site, gate):
    handled = []
    site.router.use(lambda req, next: handled.append(req.id) or next())
    client = site.connect()
    client.send(request(1, "wait"), request(2), request(3))
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    site.application.disconnect("alice", None, 3001, "authorization revoked")
    assert client.receive().close == (3001, "authorization revoked")
    gate.open()
    client.send_bytes(close_frame(3001))
    client.take_end()
    client.close()
    client.wait_for_end()
    site.world.settle()
    assert handled == []


def in_progress(peer):
    """Return the ids that a client could not use for other requests."""
    return set(peer.requests._proceeding)


def test_waiting_requests_are_dropped_when_the_site_closes(site, gate):
    client = site.connect()
    peer = site.peer()
    client.send(
        request(1, "wait"), request(2), {"method": "note", "path": "/", "data": {}}, request(3)
    )
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    assert in_progress(peer) == {1, 2, 3}
    client.connection.close(3001, "revoked")
    assert in_progress(peer) == {1}


@pytest.mark.parametrize("how", ["drop", "retire"])
def test_waiting_requests_are_kept_when_the_link_is_lost(site, gate, how):
    handled = site.world.loop.event()
    site.router.get(lambda req, next: handled.set())
    client = site.connect()
    peer = site.peer()
    client.send(request(1, "wait"), request(2))
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    if how == "retire":
        client.connection.retire(3000, "online elsewhere")
    client.close()
    client.wait_for_end()
    assert in_progress(peer) == {1, 2}
    gate.open()
    assert handled.wait(PATIENCE)
