"""Slow links: clients that take minutes to receive, and answer a ping only after that.

A test calls ``keep_alive`` itself, as the deadlines do after each ping interval.
"""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from protoo_flask.transport import waiting_frame

from .connections import take_departure
from .wire import PATIENCE, PING, PONG, Frame, frame

SIZE = 20_000
COUNT = 45


@pytest.fixture
def site(make_site: Callable[..., Any]) -> Any:
    return make_site(ping_interval=3600)


@pytest.fixture
def client(site: Any) -> Any:
    """A client with more data on its way than the sockets keep."""
    client = site.connect(buffers=8192)
    for n in range(COUNT):
        assert site.peer().notify("note", {"n": n, "text": "x" * SIZE})
    return client


def let_an_interval_pass(client: Any) -> None:
    client.connection.keep_alive()


def receive_some(client: Any, messages: range) -> None:
    """Receive as a link does: what comes next is on its way when this returns."""
    before = client.connection.outbox.arrived
    for n in messages:
        received = client.receive()
        assert received.opcode != PING, "the ping waits behind the data"
        assert json.loads(received.payload)["data"]["n"] == n
    # The kernel of this machine acknowledges on its own time.
    with client.connection._lock:
        assert client.connection.outbox.arrived > before


def test_a_client_that_receives_all_the_time_stays(site, client):
    let_an_interval_pass(client)
    for first in range(0, COUNT, 3):
        receive_some(client, range(first, first + 3))
        let_an_interval_pass(client)
        assert client.connection.state == "open"
    assert client.receive() == Frame(PING, b"")
    client.send_bytes(frame(PONG))
    assert client.request("get")["status"] == 404


def test_one_ping_at_a_time_is_on_its_way(client):
    let_an_interval_pass(client)
    client.send_bytes(frame(PONG, b"unsolicited"))
    for first in range(0, COUNT, 3):
        receive_some(client, range(first, first + 3))
        let_an_interval_pass(client)
    assert client.receive() == Frame(PING, b"")
    client.hear_nothing(0.05)


def test_a_client_that_receives_nothing_is_closed_after_two_intervals(site, client):
    let_an_interval_pass(client)
    let_an_interval_pass(client)
    assert take_departure(site)[0] == 1008
    client.wait_for_end()


def test_a_client_that_stops_receiving_is_closed_after_two_intervals(site, client):
    let_an_interval_pass(client)
    receive_some(client, range(10))
    let_an_interval_pass(client)
    let_an_interval_pass(client)
    assert client.connection.state == "open"
    let_an_interval_pass(client)
    assert take_departure(site)[0] == 1008


def test_a_client_that_has_received_everything_must_answer(site, client):
    let_an_interval_pass(client)
    receive_some(client, range(10))
    let_an_interval_pass(client)
    receive_some(client, range(10, COUNT))
    assert client.receive() == Frame(PING, b"")
    wait_until(client, lambda: client.connection.outbox.undelivered == 0)
    let_an_interval_pass(client)
    assert client.connection.state == "open"
    let_an_interval_pass(client)
    assert take_departure(site)[0] == 1008


def test_a_client_that_receives_a_little_now_and_then_is_closed_in_the_end(
    site, client, monkeypatch
):
    # No link is that fast, so the time is over soon.
    monkeypatch.setattr(waiting_frame, "SLOWEST", 1e12)
    let_an_interval_pass(client)
    receive_some(client, range(10))
    let_an_interval_pass(client)
    assert take_departure(site)[0] == 1008


def test_a_client_that_sends_and_does_not_receive_stays(site, client):
    for _ in range(5):
        let_an_interval_pass(client)
        client.send_bytes(frame(PONG, b"unsolicited"))
        wait_until(client, lambda: client.connection._heard)
    for n in range(COUNT):
        assert client.take()["data"]["n"] == n
    assert client.receive() == Frame(PING, b"")
    assert client.connection.state == "open"


def test_the_ping_finds_a_place_in_a_full_outbox(make_site):
    site = make_site(ping_interval=3600, max_outbox=200_000)
    client = site.connect(buffers=8192)
    sent = 0
    while client.connection.outbox.size < 180_000:
        assert site.peer().notify("note", {"n": sent, "text": "x" * SIZE})
        sent += 1
    rest = 200_000 - client.connection.outbox.size
    filler = rest - 10 - len('{"method":"note","data":{"text":""}}')
    site.peer().notify("note", {"text": "x" * filler})
    assert client.connection.outbox.size == 200_000
    let_an_interval_pass(client)
    assert client.connection.state == "open"


def wait_until(client: Any, look: Callable[[], bool]) -> None:
    moment = client.connection._loop.event()
    for _ in range(int(PATIENCE * 1000)):
        if look():
            return
        moment.wait(0.001)
    raise AssertionError("waited in vain")
