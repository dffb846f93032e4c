"""Unsent messages: sent before the end, or handed over to the site or the next link."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from .connections import Fatal, request, take_departure
from .wire import PATIENCE, TEXT, Frame, close_frame, frame

#: The first message is larger than a socket's buffer, so it is partly sent; the others wait.
WAITING = [b'"' + b"x" * 3_000_000 + b'"', b'"second"', b'"third"']


def stall(site: Any, **settings: Any) -> Any:
    """Connect a client that does not read, and send it :data:`WAITING`."""
    client = site.connect(buffers=8192, **{"max_outbox": 4_000_000, **settings})
    for payload in WAITING:
        assert client.connection.outbox.send_text(payload)
    return client


def read_to_close(client: Any) -> tuple[list[bytes], tuple[int, str] | None]:
    """Read messages until Close; return them, and the content of Close unless it is empty."""
    payloads = []
    received = client.receive()
    while received.opcode == TEXT:
        payloads.append(received.payload)
        received = client.receive()
    return payloads, received.close if received.payload else None


GONE = [
    pytest.param(close_frame(1001), 1001, id="1001"),
    pytest.param(close_frame(4999), 4999, id="4999"),
    pytest.param(frame(3), 1002, id="violation"),
]


@pytest.mark.parametrize(("sent", "code"), GONE)
def test_unsent_messages_are_handed_over_when_the_client_goes_away(site, sent, code):
    client = stall(site)
    client.send_bytes(sent)
    assert take_departure(site) == (code, WAITING)
    payloads, closed = read_to_close(client)
    assert payloads == WAITING[:1]  # the one that was partly sent
    assert closed is not None
    assert closed[0] == code
    client.take_end()


@pytest.mark.parametrize(
    ("sent", "code"),
    [(close_frame(1000), 1000), (close_frame(1000, "bye"), 1000), (close_frame(), 1005)],
    ids=["1000", "with a reason", "empty"],
)
def test_unsent_messages_are_sent_after_the_clients_normal_close(site, sent, code):
    client = stall(site)
    client.send_bytes(sent)
    assert take_departure(site) == (code, [])
    assert read_to_close(client) == (WAITING, (1000, "") if code == 1000 else None)
    client.take_end()


@pytest.mark.parametrize("how", ["end", "close", "reset"])
def test_unsent_messages_are_handed_over_when_the_connection_drops(site, how):
    client = stall(site)
    if how == "end":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        getattr(client, how)()
    assert take_departure(site) == (1006, WAITING)


def test_messages_to_a_client_that_has_vanished_are_handed_over(site):
    client = site.connect()
    taken = []
    assert client.connection.outbox.send_text(b'"first"')
    assert client.receive() == Frame(TEXT, b'"first"')
    client.reset()
    for payload in (b'"second"', b'"third"'):
        # A thread may have seen the end already; then the outbox refuses the message.
        if client.connection.outbox.send_text(payload):
            taken.append(payload)
    assert taken or site.world.loop.preempts
    assert take_departure(site) == (1006, taken)


def test_an_overflow_hands_over_unsent_messages_without_the_refused_one(site):
    client = stall(site, max_outbox=3_000_100)
    too_much = b'"' + b"x" * 3_000_000 + b'"'
    assert not client.connection.outbox.send_text(too_much)
    assert take_departure(site) == (1008, WAITING)
    assert read_to_close(client) == (WAITING[:1], (1008, "slow consumer"))


def test_unsent_messages_are_handed_over_after_a_ping_timeout(make_site):
    site = make_site(ping_interval=0.02)
    stall(site)
    assert take_departure(site) == (1008, WAITING)


@pytest.mark.parametrize("code", [1000, 1001, 3001])
def test_unsent_messages_are_sent_after_the_sites_close(site, code):
    client = stall(site)
    client.connection.close(code, "bye")
    assert take_departure(site) == (code, [])
    assert read_to_close(client) == (WAITING, (code, "bye"))


def test_unsent_messages_are_handed_over_after_a_fatal_error_in_a_handler(site):
    def fail(req, next):
        raise Fatal("stop")

    site.router.method("fail", fail)
    client = stall(site)
    client.send(request(1, "fail"))
    code, unsent = take_departure(site)
    assert (code, unsent[:3]) == (1011, WAITING)
    assert [json.loads(payload)["status"] for payload in unsent[3:]] == [500]
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda client: client.send_bytes(close_frame(1001)), 1001),
        (lambda client: client.send_bytes(close_frame()), 1005),
        (lambda client: client.send_bytes(frame(3)), 1002),
        (lambda client: client.close(), 1006),
        (lambda client: client.connection.close(3001, "revoked"), 3001),
    ],
    ids=["1001", "empty", "violation", "drop", "ours"],
)
def test_nothing_is_handed_over_when_everything_was_sent(site, leave, code):
    client = site.connect()
    assert client.request("get")["status"] == 404
    leave(client)
    assert take_departure(site) == (code, [])
    client.close()
    client.wait_for_end()
    site.world.settle()
    assert site.departures.empty()


def test_a_departure_has_the_code_of_the_first_close(site):
    client = site.connect()
    client.connection.close(3001, "revoked")
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (3001, "revoked")
    client.close()
    client.wait_for_end()
    assert take_departure(site) == (3001, [])


def retire(client):
    """Have another link take over; return the unsent messages for it."""
    client.connection.retire(3000, "online elsewhere")
    return [payload for payload, _ in client.connection.take_unsent()]


def test_a_retired_link_gives_back_unsent_messages_and_closes(site):
    client = stall(site)
    left = retire(client)
    assert not client.connection.outbox.send_text(b'"late"')
    assert retire(client) == []
    # Under threads, the site or the next link may be first; each message goes to one of them.
    code, rest = take_departure(site)
    assert (code, left + rest) == (3000, WAITING)
    assert read_to_close(client) == (WAITING[:1], (3000, "online elsewhere"))
    client.send_bytes(close_frame(3000))
    client.take_end()


@pytest.mark.parametrize("way_out", ["drop", "1001", "overflow"])
def test_unsent_messages_are_handed_over_once(site, monkeypatch, way_out):
    client = stall(site, max_outbox=3_000_100)
    tell = client.connection._tell_departure
    spawn, left = site.world.loop.spawn, site.world.loop.event()

    def spawn_others(function: Any, *args: Any) -> None:
        if function == tell:
            left.set()
        else:
            spawn(function, *args)

    monkeypatch.setattr(site.world.loop, "spawn", spawn_others)
    if way_out == "drop":
        client.reset()
    elif way_out == "1001":
        client.send_bytes(close_frame(1001))
    else:
        assert not client.connection.outbox.send_text(b"x" * 3_000_000)
    assert left.wait(PATIENCE)
    assert retire(client) == WAITING
    spawn(tell)
    code, unsent = take_departure(site)
    assert unsent == []
    assert code == {"drop": 1006, "1001": 1001, "overflow": 1008}[way_out]


def test_a_link_that_retires_late_does_not_repeat_unsent_messages(site):
    client = stall(site)
    client.reset()
    assert take_departure(site) == (1006, WAITING)
    assert retire(client) == []


def test_a_link_may_retire_while_an_online_listener_runs(site, online_gate):
    client = stall(site)
    online_gate.wait()
    left = retire(client)
    online_gate.open()
    code, rest = take_departure(site)
    assert (code, left + rest) == (3000, WAITING)
