"""The closing handshake, begun by the client, the site or a process that exits."""

from __future__ import annotations

import select
import socket

import gevent
import pytest

from protoo_flask.transport import connection as connection_module
from protoo_flask.transport.attached_connection import AttachedConnection

from .connections import (
    MOMENT,
    close_payload_of,
    only_attached_greenlets,
    only_greenlets,
    request,
    take_departure,
)
from .wire import BINARY, CLOSE, PATIENCE, PING, TEXT, close_frame, frame, text


@pytest.mark.parametrize(
    "sent",
    [close_frame(), close_frame(1000, "bye"), close_frame(1001), close_frame(4999, "é" * 61)],
    ids=["empty", "1000", "1001", "4999"],
)
def test_the_clients_close_is_echoed_and_ends_the_connection(site, sent):
    client = site.connect()
    client.send_bytes(sent)
    received = client.receive()
    assert received.opcode == CLOSE
    assert received.payload == close_payload_of(sent)[:2]
    client.take_end()
    client.close()
    client.wait_for_end()
    take_departure(site)
    assert site.peer() is None


def test_requests_before_the_clients_close_are_handled_and_none_after_it(site):
    handled = []
    site.router.use(lambda req, next: handled.append(req.id) or next())
    client = site.connect()
    client.send_bytes(text(request(1)) + text(request(2)) + close_frame(1000) + text(request(3)))
    if site.world.name == "greenlets":
        # A handler that does not block has answered before the Close frame is read.
        assert [message["id"] for message in client.take_many(2)] == [1, 2]
    received = client.receive()
    while received.opcode == TEXT:
        received = client.receive()
    assert received.close == (1000, "")
    client.take_end()
    client.close()
    site.world.settle()
    assert handled == [1, 2]


def test_the_site_waits_for_the_clients_close_after_its_own(site):
    client = site.connect()
    peer = site.peer()
    peer.close(3001, "revoked")
    assert client.receive().close == (3001, "revoked")
    assert not peer.notify("late")
    client.send_bytes(text(request(1)) + frame(PING) + frame(BINARY, b"x"))
    client.hear_nothing(MOMENT)
    assert client.connection.state == "closing"
    client.send_bytes(close_frame(3001))
    client.take_end()
    client.close()
    client.wait_for_end()


def test_closing_twice_sends_one_close_frame(site):
    client = site.connect()
    connection = client.connection
    connection.close(1000, "first")
    connection.close(1001, "second")
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "first")


def test_close_frames_that_cross_end_the_connection(site):
    closing = site.world.loop.event()

    def close(req, next):
        req.peer.close(1000, "ours")
        closing.set()

    site.router.get(close)
    client = site.connect()
    client.send_bytes(text(request(1)) + close_frame(1001, "theirs"))
    assert client.take_close() in [(1000, "ours"), (1001, "")]
    assert closing.wait(PATIENCE)


def test_a_close_frame_is_sent_even_if_the_outbox_is_full(site):
    client = site.connect(max_outbox=100_000, buffers=8192)
    peer = site.peer()
    assert peer.notify("note", {"text": "x" * 300_000})
    peer.close(1000, "bye")
    assert len(client.take()["data"]["text"]) == 300_000
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "bye")


def test_a_connection_replaced_by_a_newer_one_is_closed_with_3000(site):
    old = site.connect("alice", "a1")
    new = site.connect("alice", "a1")
    assert old.receive().close == (3000, "online elsewhere")
    old.send_bytes(close_frame(3000))
    old.take_end()
    old.close()
    old.wait_for_end()
    assert site.peer().online
    assert new.request("get")["status"] == 404


def test_a_client_that_does_not_finish_the_closing_handshake_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect()
    site.peer().close(1000, "bye")
    client.wait_for_end()
    assert client.take_close() == (1000, "bye")


def test_a_client_that_keeps_its_socket_open_after_its_close_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect()
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "")
    client.wait_for_end()


def test_a_client_that_keeps_sending_after_a_violation_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect()
    client.send_bytes(frame(3))

    def send_on() -> None:
        while True:
            client.send_bytes(b"x" * 65536)

    wait = site.world.spawn(send_on)
    client.wait_for_end()
    with pytest.raises(ConnectionError):
        wait()


def test_a_client_that_does_not_read_its_close_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect(buffers=8192)
    site.peer().notify("note", {"text": "x" * 1_000_000})
    site.peer().close(1000, "bye")
    client.wait_for_end()


def test_a_client_on_a_slow_link_receives_everything_and_the_close(site):
    client = site.connect(buffers=8192)
    for n in range(40):
        assert site.peer().notify("note", {"n": n, "text": "x" * 20_000})
    site.peer().close(3001, "banned")
    for first in range(0, 40, 4):
        for n in range(first, first + 4):
            assert client.take()["data"]["n"] == n
        if first:
            # Another close timeout has passed.
            client.connection._close_timer.cancel()
            client.connection._time_out_closing()
    assert client.receive().close == (3001, "banned")
    client.send_bytes(close_frame(3001))
    client.take_end()


def test_a_client_that_stops_reading_before_its_close_is_cut_off(site):
    client = site.connect(buffers=8192)
    for n in range(40):
        assert site.peer().notify("note", {"n": n, "text": "x" * 20_000})
    site.peer().close(3001, "banned")
    client.take_many(10)
    for _ in range(3):
        client.connection._close_timer.cancel()
        client.connection._time_out_closing()
    client.wait_for_end()


def test_a_process_that_exits_closes_with_1001(site):
    client = site.connect()
    client.connection.abandon(1001, "shutting down")
    site.application.close()
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (1001, "shutting down")


@only_attached_greenlets  # a thread cannot be killed
def test_a_connection_closes_with_1001_when_the_server_kills_its_greenlet(site, monkeypatch):
    started: list[gevent.Greenlet] = []

    def start(connection: AttachedConnection, sock: socket.socket) -> None:
        started.append(gevent.spawn(connection.serve_to_the_end))

    monkeypatch.setattr(site.world, "start", start)
    client = site.connect()
    started[0].kill()
    assert client.take_close() == (1001, "shutting down")


@only_greenlets  # threads do not batch their replies
def test_a_process_that_exits_during_a_batch_of_requests_closes_with_1001(site):
    seen = []

    @site.router.method("exit")
    def exit(req, next):
        req.reply(200)
        client.connection.abandon(1001, "shutting down")
        # As if the process ended here: the client gets only the bytes that the kernel has.
        readable, _, _ = select.select([client.sock], [], [], PATIENCE)
        seen.append(bool(readable))

    client = site.connect()
    client.send(request(1, "exit"), request(2))
    assert client.take()["id"] == 1
    site.application.close()
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (1001, "shutting down")
    assert seen == [True]
