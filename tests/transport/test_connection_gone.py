"""Clients that go while reading is paused, because their requests fill the backlog."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protoo_flask.core import backlog
from protoo_flask.transport import hang_up
from protoo_flask.transport.keep_alive import DECISIONS, LOST, SILENT, SPOKEN, UNREAD
from protoo_flask.transport.waiting_frame import ARRIVED, MOVING, RESTING, STUCK

from .connections import Gate, request, take_departure
from .test_connection_slow_links import wait_until
from .wire import PING, TEXT, close_frame


@pytest.fixture
def site(make_site, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 10)
    return make_site(ping_interval=3600)


@pytest.fixture
def handled(site):
    """Return the ids of the requests that were handled."""
    handled: list[int] = []
    site.router.get(lambda req, next: handled.append(req.id) or req.reply(200))
    return handled


@pytest.fixture
def client(site, gate, handled):
    """Return a client whose backlog is full: one request is handled, two wait."""
    client = site.connect()
    client.send(request(1, "wait"))
    gate.wait()
    client.send(request(2), request(3))
    wait_until(client, lambda: not client.connection._is_watching)
    client.send(request(4), request(5))  # these stay in the kernel
    return client


def vanish(client, how):
    """End the client's side of the connection."""
    if how == "reset":
        client.reset()
    elif how == "half-close":
        client.sock.shutdown(1)
    else:
        client.close()
    wait_until(client, client.connection._channel.has_hung_up)


WAYS = pytest.mark.parametrize("how", ["reset", "close", "half-close"])


@WAYS
def test_the_next_look_notices_that_a_client_has_gone(site, gate, client, how):
    vanish(client, how)
    assert site.peer() is not None
    client.connection.keep_alive()
    assert take_departure(site)[0] == 1006
    assert site.peer() is None


@WAYS
def test_requests_that_were_sent_before_are_handled(site, gate, client, handled, how):
    vanish(client, how)
    client.connection.keep_alive()
    take_departure(site)
    gate.open()
    client.wait_for_end()
    wait_until(client, lambda: handled == [2, 3, 4, 5])


def test_an_early_client_is_replaced_by_a_newer_connection_at_once(site, gate, client, handled):
    vanish(client, "reset")
    client.connection.keep_alive()
    take_departure(site)
    newer = site.connect()
    assert site.peer().online
    gate.open()  # the requests of a device are handled in order, whatever its connections
    client.wait_for_end()
    assert newer.request("get")["status"] == 200


def test_messages_that_were_not_sent_are_handed_over(site, gate, client):
    client.connection.outbox.cork()
    site.peer().notify("note", {"n": 1})
    vanish(client, "half-close")
    channel = client.connection._channel
    channel.send = lambda data: 0  # as if the socket were full
    channel.when_writable = lambda function: None
    client.connection.keep_alive()
    code, unsent = take_departure(site)
    assert code == 1006
    assert [json.loads(payload)["data"] for payload in unsent] == [{"n": 1}]


def test_a_failed_write_tells_that_the_client_has_gone(site, gate, client):
    vanish(client, "reset")
    site.peer().notify("note")
    assert take_departure(site)[0] == 1006
    assert site.peer() is None


def test_a_client_that_closes_while_nobody_reads_is_gone_as_well(site, gate, client, handled):
    client.send_bytes(close_frame(1000))
    vanish(client, "close")
    client.connection.keep_alive()
    assert take_departure(site)[0] == 1006
    gate.open()
    client.wait_for_end()
    wait_until(client, lambda: handled == [2, 3, 4, 5])


def test_a_client_that_waits_for_room_stays(site, gate, client):
    for _ in range(5):
        client.connection.keep_alive()
        assert client.receive().opcode == PING
        wait_until(client, lambda: client.connection.outbox.undelivered == 0)
    assert client.connection.state == "open"
    gate.open()
    received = [client.receive() for _ in range(5)]
    assert [json.loads(one.payload)["id"] for one in received if one.opcode == TEXT] == [
        *range(1, 6)
    ]


def lose_the_network(client, monkeypatch, unanswered):
    """Let nothing that is sent from now on arrive, as far as the connection knows."""
    outbox, channel = client.connection.outbox, client.connection._channel
    before = outbox._taken
    kind = type(channel)
    monkeypatch.setattr(kind, "count_unacknowledged", lambda self: outbox._taken - before)
    monkeypatch.setattr(kind, "is_unanswered", lambda self: unanswered)


def test_a_client_without_a_network_is_gone_after_two_looks(
    site, gate, client, handled, monkeypatch
):
    client.connection.keep_alive()  # it has spoken until now
    assert client.receive().opcode == PING
    wait_until(client, lambda: client.connection.outbox.undelivered == 0)
    lose_the_network(client, monkeypatch, unanswered=True)
    client.connection.keep_alive()
    assert client.connection.state == "open"
    client.connection.keep_alive()
    assert take_departure(site)[0] == 1008
    assert site.peer() is None
    monkeypatch.undo()
    gate.open()
    client.wait_for_end()
    wait_until(client, lambda: handled == [2, 3, 4, 5])


def test_a_client_that_takes_no_bytes_while_nobody_reads_stays(site, gate, client, monkeypatch):
    lose_the_network(client, monkeypatch, unanswered=False)
    for _ in range(5):
        client.connection.keep_alive()
    assert client.connection.state == "open"
    monkeypatch.undo()


def test_a_client_whose_connection_is_already_closing_does_not_matter(site, gate, client):
    client.connection.close(1000)
    take_departure(site)
    client.connection.keep_alive()
    assert client.receive().opcode == 8
    client.send_bytes(close_frame(1000))
    client.take_end()


def test_behind_a_blocked_handler_alone_reading_goes_on_and_tells_the_end(site, gate):
    client = site.connect()
    client.send(request(1, "wait"))
    gate.wait()
    client.reset()
    assert take_departure(site)[0] == 1006


def test_a_system_that_does_not_tell_is_believed_that_the_client_is_there(monkeypatch, client):
    channel = client.connection._channel
    monkeypatch.setattr(hang_up, "_make_poll", None)
    monkeypatch.setattr(hang_up.sys, "platform", "win32")
    assert not channel.has_hung_up()
    assert not channel.is_unanswered()


def test_a_closed_socket_does_no_harm(client, gate):
    gate.open()
    channel = client.connection._channel
    client.close()
    client.wait_for_end()
    channel._sock.close()
    assert not channel.has_hung_up()
    assert not channel.is_unanswered()


def test_every_decision_is_in_the_table():
    states: list[Any] = [None, ARRIVED, MOVING, RESTING, STUCK]
    clients = [SPOKEN, SILENT, UNREAD, LOST]
    assert set(DECISIONS) == {(client, state) for client in clients for state in states}


def test_a_client_that_the_site_has_closed_since_is_not_served_any_more(make_site, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 10)
    site = make_site(ping_interval=3600, grace_period=3600)
    handled: list[int] = []
    site.router.get(lambda req, next: handled.append(req.id) or req.reply(200))
    gate = Gate(site)
    site.router.method("wait", gate)
    client = site.connect()
    client.send(request(1, "wait"))
    gate.wait()
    client.send(request(2))
    wait_until(client, lambda: not client.connection._is_watching)
    client.send(request(3))  # this one stays in the kernel
    vanish(client, "close")
    client.connection.keep_alive()
    take_departure(site)
    site.application.disconnect("alice", None, 3001, "banned")
    # The link is read again, and the handler of the first request may hang.
    client.wait_for_end()
    gate.open()
    # Requests of one device are handled in order, so those would have come before this one.
    newer = site.connect()
    assert newer.request("get")["status"] == 200
    assert len(handled) == 1
    # Nobody waits for it for an hour.
    site.application.disconnect("alice", None, 1000, "bye")
