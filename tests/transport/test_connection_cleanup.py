"""Clients that leave at any moment; the fixture ``make_site`` checks that nothing is left."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from protoo_flask.core.inbox import Inbox
from protoo_flask.core.peers.peer import Peer
from protoo_flask.transport.connection import Connection

from .connections import close_payload_of, request, take_departure
from .wire import PATIENCE, TEXT, close_frame, frame, text

MOMENTS = {
    "at once": b"",
    "in a frame": text(request(1))[:-1],
    "in a header": b"\x81",
    "between fragments": frame(TEXT, b"{", fin=False),
    "after a request": text(request(1)),
    "while a handler blocks": text(request(1, "wait")),
    "while requests wait": text(request(1, "wait")) + text(request(2)) * 2,
    "while the client is asked": text(request(1, "ask")),
    "while it is sent a lot": text(request(1, "much")),
    "after its close": close_frame(1000),
    "after a violation": frame(3),
    "while the site closes": text(request(1, "close")),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [pytest.param(v, id=k) for k, v in MOMENTS.items()])
def test_a_client_may_leave_at_any_moment(site, gate, sent, how):
    site.router.method("ask", lambda req, next: req.peer.request("ask"))
    site.router.method("much", lambda req, next: req.peer.notify("note", {"x": "x" * 900_000}))
    site.router.method("close", lambda req, next: req.peer.close(1000, "bye"))
    client = site.connect(buffers=8192, ping_interval=1000)
    client.send_bytes(sent)
    if b"wait" in close_payload_of(sent[:200]):
        gate.wait()
    getattr(client, how)()
    client.wait_for_end()
    gate.open()
    bob = site.connect("bob")
    assert bob.request("get")["status"] == 404


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_may_leave_before_the_handshake(site, how):
    client = site.begin()
    getattr(client, how)()
    client.wait_for_end()


def test_a_client_that_has_gone_before_the_answer_takes_over_nothing(site):
    client = site.connect()
    client.request("get")  # it is told as online by now
    told = list(site.framework.told)
    gone = site.begin(gone=True)
    gone.wait_for_end()
    assert gone.sock.recv(1) == b""  # not even the answer to its handshake
    assert client.request("get")["status"] == 404
    assert site.framework.told == told


def test_a_client_is_served_if_it_has_sent_something_before_its_end(site):
    answered = site.begin(early=text(request(1)), gone=True)
    answered.receive_handshake()
    take_departure(site)
    names = [name for name, _ in site.framework.told]
    assert names == ["peer_online", "user_online", "peer_offline", "user_offline"]


@pytest.mark.parametrize("number", [1, 50])
def test_messages_that_come_with_the_handshake_are_answered_in_order(site, number):
    early = b"".join(text(request(id)) for id in range(1, number + 1))
    client = site.connect(early=early)
    assert [client.take()["id"] for _ in range(number)] == [*range(1, number + 1)]
    assert client.request("get", "/later")["status"] == 404


def test_a_violation_that_comes_with_the_handshake_closes_the_connection(site):
    client = site.connect(early=frame(3))
    assert client.receive().close[0] == 1002


def test_a_client_may_leave_while_an_online_listener_runs(site, online_gate):
    client = site.connect()
    online_gate.wait()
    client.close()
    online_gate.open()
    client.wait_for_end()


def test_a_connection_closed_while_an_online_listener_runs_goes_offline_after_it(site, online_gate):
    client = site.connect()
    online_gate.wait()
    client.connection.close(1000, "bye")
    online_gate.open()
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "bye")
    client.close()
    client.wait_for_end()
    site.world.settle()
    assert [name for name, _ in site.framework.told] == [
        "peer_online",
        "user_online",
        "peer_offline",
        "user_offline",
    ]


def test_a_connection_that_fails_to_begin_closes_its_socket(site):
    def connect(link: Any) -> Any:
        raise RuntimeError("no room")

    client = site.connect(connect=connect)
    client.take_end()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "no room"


def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(site):
    def find():
        kinds = (Connection, Inbox, Peer)
        return {(type(one), id(one)) for one in gc.get_objects() if isinstance(one, kinds)}

    gc.collect()
    before = find()
    gc.disable()  # the objects must go without it
    try:
        client = site.connect()
        assert client.request("get")["status"] == 404
        client.close()
        client.wait_for_end()
        take_departure(site)
        site.world.settle()
        client.connection = None
        site.clients.clear()
        assert find() <= before
    finally:
        gc.enable()
