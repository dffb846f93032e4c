"""The order of requests, and handlers that block: a connection reads in turns."""

from __future__ import annotations

import time
from typing import Any

import gevent
import gevent.socket

from .connections import Gate, only_greenlets, request
from .wire import PING, PONG, Frame, frame, text


def test_pipelined_requests_are_handled_in_order_when_one_blocks(site, gate):
    seen = []
    site.router.use(lambda req, next: seen.append(req.id) or next())
    client = site.connect()
    client.send(request(1, "wait"), *(request(id) for id in range(2, 50)))
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")  # all was read, and nothing answered
    assert seen == []
    gate.open()
    assert [message["id"] for message in client.take_many(49)] == list(range(1, 50))
    assert seen == list(range(2, 50))


def test_requests_keep_their_order_when_every_second_one_blocks(site):
    def maybe_block(req, next):
        if req.id % 2:
            site.world.loop.event().wait(0.001)
        req.reply(200)

    site.router.get(maybe_block)
    client = site.connect()
    for start in range(1, 101, 10):
        client.send(*(request(id) for id in range(start, start + 10)))
    assert [message["id"] for message in client.take_many(100)] == list(range(1, 101))


def test_a_site_may_handle_two_requests_of_a_peer_at_once(make_site):
    site = make_site(parallel_requests=2)
    first, second = Gate(site), Gate(site)
    site.router.method("first", first).method("second", second)
    client = site.connect()
    client.send(request(1, "first"), request(2, "second"), request(3), request(4))
    first.wait()
    second.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    second.open()
    assert [message["id"] for message in client.take_many(3)] == [2, 3, 4]
    first.open()
    assert client.take()["id"] == 1


def test_a_blocked_connection_does_not_delay_another(site, gate):
    alice, bob = site.connect("alice"), site.connect("bob")
    alice.send_request("wait")
    gate.wait()
    assert bob.request("get")["status"] == 404
    gate.open()
    assert alice.take()["status"] == 200


def test_a_flooding_client_does_not_delay_another(site):
    counted = []
    site.router.method("count", lambda req, next: counted.append(1))
    site.router.get(lambda req, next: req.reply(200, "", {"counted": len(counted)}))
    note = text({"method": "count", "path": "/", "data": {"padding": "x" * 100}})
    flood = note * (400_000 // len(note))
    alice = site.begin("alice", buffers=1024 * 1024, early=flood)
    bob = site.begin("bob", early=text(request(1)))
    bob.receive_handshake()
    assert bob.take()["data"]["counted"] < len(flood) // len(note)
    alice.receive_handshake()


@only_greenlets  # a thread reads while other threads compute
def test_a_message_that_arrives_before_a_blocked_turn_goes_on_is_handled_in_order(site):
    """A busy hub looks at the sockets before it starts the greenlet that goes on."""
    handled: list[int] = []
    database, its_client = gevent.socket.socketpair()

    def compute(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def make_load(req: Any, next: Any) -> None:
        for _ in range(600):
            gevent.spawn(compute, 0.0005)
        gevent.sleep(0)
        req.reply(200)

    def block(req: Any, next: Any) -> None:
        # Alice's next request arrives while no greenlet reads from her socket.
        alice.sock._sock.sendall(text(request(3)))
        gevent.spawn_later(0.02, database.sendall, b"row")
        its_client.recv(3)
        req.reply(200)

    site.router.method("load", make_load)
    site.router.method("block", block)
    site.router.use(lambda req, next: (handled.append(req.id), req.reply(200)))
    alice, bob = site.connect("alice"), site.connect("bob", "b1")
    bob.sock._sock.sendall(text(request(1, "load")))
    alice.sock._sock.sendall(text(request(1, "block")) + text(request(2)))
    with database, its_client:
        assert [answer["id"] for answer in alice.take_many(3)] == [1, 2, 3]
    assert handled == [2, 3]
