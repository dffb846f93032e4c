"""A connection over real sockets, in both worlds; the client is written in ``wire``."""

from __future__ import annotations

import gc
import itertools
import json
import select
import socket
import threading
import time
from typing import Any

import gevent
import gevent.socket
import pytest

from protoo_flask.core import inbox
from protoo_flask.core.inbox import Inbox
from protoo_flask.core.peers.peer import Peer
from protoo_flask.core.request import Request
from protoo_flask.transport import connection as connection_module
from protoo_flask.transport.connection import Connection
from protoo_flask.transport.greenlets.fast_write_batching import MAX_CORKED

from .wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Frame,
    close_frame,
    frame,
    text,
)
from .worlds import Greenlets

#: For what there is in one of the worlds only.
only_greenlets = pytest.mark.parametrize("world", [Greenlets], ids=["greenlets"], indirect=True)

#: Seconds in which something would have happened that must not happen.
MOMENT = 0.1


def request(id: int, method: str = "get", **data: Any) -> dict[str, Any]:
    return {"method": method, "path": "/", "id": id, "data": data}


def padded(size: int, id: int = 1) -> bytes:
    """Return a request that has exactly so many bytes."""
    start = json.dumps({"method": "get", "path": "/", "id": id, "data": {"padding": ""}})
    message = start.replace('""', '"' + "x" * (size - len(start)) + '"')
    assert len(message) == size
    return message.encode()


class Gate:
    """A handler that blocks until it is let through; how it arrives is seen, too."""

    def __init__(self, site: Any) -> None:
        self._site = site
        self.arrived = site.world.loop.event()
        self._open = site.world.loop.event()

    def __call__(self, req: Any, next: Any) -> None:
        self.block()
        req.reply(200, "let through")

    def block(self) -> None:
        self.arrived.set()
        assert self._open.wait(PATIENCE)

    def wait(self) -> None:
        assert self.arrived.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(site: Any) -> Any:
    gate = Gate(site)
    site.router.method("wait", gate)
    yield gate
    gate.open()


def take_departure(site: Any) -> Any:
    """Wait until a connection is no longer open, and the site has been told."""
    return site.departures.get(timeout=PATIENCE)


# Requests and replies --------------------------------------------------------------------


def test_a_request_is_answered(site):
    site.router.get(lambda req, next: req.reply(200, "OK", {"you": req.peer.username}))
    client = site.connect()
    assert client.request("get") == {
        "status": 200,
        "reason": "OK",
        "id": 1,
        "data": {"you": "alice"},
    }
    assert client.request("put")["status"] == 404


def test_the_handshake_comes_first_even_if_the_site_sends_at_once(site):
    site.framework.on_event.append(
        lambda event: event.name == "peer_online" and event.subject.notify("welcome")
    )
    client = site.connect()
    assert client.take() == {"method": "welcome", "data": {}}


def test_a_notification_is_handled_and_not_answered(site):
    seen = []
    site.router.use(lambda req, next: seen.append((req.method, req.id)) or next())
    client = site.connect()
    client.send({"method": "note", "path": "/"}, {"method": "note", "path": "/"})
    assert client.request("get")["status"] == 404
    assert seen == [("note", None), ("note", None), ("get", 1)]


def test_text_arrives_in_utf_8_whatever_it_is(site):
    site.router.get(lambda req, next: req.reply(200, "", req.data))
    client = site.connect()
    assert client.request("get", text="€ 😀 é \u0000")["data"] == {"text": "€ 😀 é \u0000"}


def test_a_message_may_come_byte_by_byte_and_in_fragments(site):
    site.router.get(lambda req, next: req.reply(200, "", req.data))
    client = site.connect()
    message = json.dumps(request(1, text="€€€"), ensure_ascii=False).encode()
    for part in (message[:70], message[70:71]):
        opcode = TEXT if part is message[:70] or part == message[:70] else CONTINUATION
        for byte in frame(opcode, part, fin=False):
            client.send_bytes(bytes((byte,)))
        client.send_bytes(frame(PING, b"between"))
        assert client.receive() == Frame(PONG, b"between")
    client.send_bytes(frame(CONTINUATION, message[71:]))
    assert client.take()["data"] == {"text": "€€€"}


def test_a_binary_message_is_answered_400_with_id_0(site):
    client = site.connect()
    client.send_bytes(frame(BINARY, b"\xff\x00"))
    response = client.take()
    assert (response["status"], response["id"]) == (400, 0)
    assert "binary" in response["reason"]
    assert client.request("get")["status"] == 404


def test_twenty_bad_messages_close_with_1008(site):
    client = site.connect()
    client.send_bytes(text("{") * 10 + frame(BINARY, b"") * 10 + text("{") * 10)
    assert [message["id"] for message in client.take_many(20)] == [0] * 20
    assert client.receive().close == (1008, "too many bad messages")
    client.send_bytes(close_frame(1008))
    client.take_end()


def test_the_sites_requests_are_answered_by_the_client(site):
    client = site.connect()
    transaction = site.peer().send(Request("ask", {"n": 1}))
    asked = client.take()
    assert asked == {"method": "ask", "id": 100, "data": {"n": 1}}
    client.respond(asked, 200, answer=42)
    assert transaction.wait(PATIENCE).data == {"answer": 42}


# Order, and handlers that block ------------------------------------------------------------


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


def test_responses_are_read_while_a_handler_waits_for_one(site):
    site.router.get(lambda req, next: req.reply(200, "", req.peer.request("ask").data))
    client = site.connect()
    for n in range(5):
        id = client.send_request("get")
        client.respond(client.take(), 200, n=n)
        response = client.take()
        assert (response["id"], response["data"]) == (id, {"n": n})


def test_a_handler_may_ask_in_a_chain_of_provisional_and_final_responses(site):
    def collect(req, next):
        transaction = req.peer.send(Request("ask"))
        req.reply(200, "", {"statuses": [response.status for response in transaction]})

    site.router.get(collect)
    client = site.connect()
    client.send_request("get")
    asked = client.take()
    for status in (100, 180, 200):
        client.respond(asked, status)
    assert client.take()["data"] == {"statuses": [100, 180, 200]}


def test_one_connection_that_blocks_does_not_keep_another_waiting(site, gate):
    alice, bob = site.connect("alice"), site.connect("bob")
    alice.send_request("wait")
    gate.wait()
    assert bob.request("get")["status"] == 404
    gate.open()
    assert alice.take()["status"] == 200


def test_two_requests_are_handled_at_once_when_the_site_says_so(make_site):
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


def test_a_full_backlog_stops_reading_and_all_is_answered_in_the_end(site, gate, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_BACKLOG", 20_000)
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


@only_greenlets  # threads are not kept from reading by what others compute
def test_what_comes_before_others_go_on_with_a_turn_that_has_blocked_is_handled(site):
    """The hub is so busy that it looks at the sockets before it calls who goes on."""
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
        # Sent by alice herself, at a moment when nobody reads what she sends.
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


@only_greenlets  # a thread asks by itself before it waits for the socket
def test_decrypted_bytes_wait_for_room_in_the_backlog_without_keeping_the_hub_busy(
    make_site, monkeypatch
):
    site = make_site()
    monkeypatch.setattr(inbox, "MAX_BACKLOG", 10)
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
    monkeypatch.setattr(inbox, "MAX_BACKLOG", 10)
    site = make_site(ping_interval=0.1)
    gate = Gate(site)
    site.router.method("wait", gate)
    client = site.connect()
    client.send(request(1, "wait"), request(2), request(3))
    gate.wait()
    for _ in range(5):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(frame(PONG))  # which nobody reads
    gate.open()
    answered = []
    while len(answered) < 3:
        received = client.receive()
        if received.opcode == TEXT:
            answered.append(json.loads(received.payload)["id"])
    assert answered == [1, 2, 3]


def test_a_client_that_floods_does_not_keep_another_waiting(site):
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


# Slow readers ------------------------------------------------------------------------------


def send_many(req: Any, next: Any) -> None:
    """Send the client as many messages as it asked for, all at once."""
    for n in range(req.data["count"]):
        req.peer.notify("note", {"n": n, "text": "x" * req.data["size"]})
    next()


def test_a_slow_reader_gets_an_intact_stream_and_delays_nobody(site):
    handled = site.world.loop.event()
    site.router.get(send_many, lambda req, next: req.reply(200) or handled.set())
    alice = site.connect("alice", buffers=8192)
    alice.send_request("get", count=30, size=30_000)
    assert handled.wait(PATIENCE)
    bob = site.connect("bob")
    assert bob.request("put")["status"] == 404
    assert alice.connection.outbox.size > 500_000
    for n in range(30):
        message = alice.take()
        assert (message["data"]["n"], len(message["data"]["text"])) == (n, 30_000)
    assert alice.take()["status"] == 200
    assert alice.request("put")["status"] == 404
    assert alice.connection.outbox.size == 0


def test_one_message_may_be_larger_than_the_outbox(site):
    site.router.get(send_many)
    client = site.connect(max_outbox=1000, buffers=8192)
    site.peer().notify("note", {"text": "x" * 3_000_000})
    assert len(client.take()["data"]["text"]) == 3_000_000
    assert client.request("put")["status"] == 404


def test_overflow_closes_with_1008_after_an_intact_stream(site):
    site.router.get(send_many)
    client = site.connect(max_outbox=600_000, buffers=8192)
    offline = site.world.loop.event()
    site.framework.on_event.append(lambda event: event.name == "peer_offline" and offline.set())
    client.send_request("get", count=100, size=20_000)
    assert offline.wait(PATIENCE)
    assert site.peer() is None
    # What waits is forgotten, but for the rest of what was being written.
    with client.connection._lock:
        assert client.connection.outbox.size < 300_000
    seen = []
    while True:
        received = client.receive()
        if received.opcode == CLOSE:
            break
        seen.append(json.loads(received.payload)["data"]["n"])
    assert received.close == (1008, "slow consumer")
    client.take_end()
    assert seen == list(range(len(seen)))
    assert 0 < len(seen) < 50


def test_a_ping_flood_from_a_client_that_does_not_read_closes_with_1008(site):
    client = site.connect(max_outbox=20_000, buffers=8192)
    # Many times what the sockets keep: the pongs cannot all wait there.
    sent = site.world.spawn(client.send_bytes, frame(PING, b"x" * 125) * 6_000)
    # Only when the server has had enough does the client begin to read. That it has sent
    # all is not enough: its own socket may keep what the server has not seen yet.
    assert take_departure(site)[0] == 1008
    received = client.receive()
    count = 0
    while received == Frame(PONG, b"x" * 125):
        count += 1
        received = client.receive()
    assert received.close == (1008, "slow consumer")
    assert 0 < count < 6_000
    sent()
    client.take_end()


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_many_senders_at_once_write_whole_messages_in_order(site, compressed):
    codec = None
    if compressed:
        codec, inflate = make_deflate_codec()
    client = site.connect(max_outbox=1 << 30, buffers=8192, codec=codec)
    peer = site.peer()
    sizes = [10, 200, 3000, 70_000]

    def send_all(sender: int) -> None:
        for n in range(100):
            assert peer.notify("note", {"from": sender, "n": n, "x": "x" * sizes[n % 4]})

    senders = [site.world.spawn(send_all, sender) for sender in range(6)]
    seen: dict[int, list[int]] = {sender: [] for sender in range(6)}
    for _ in range(600):
        if compressed:
            received = inflate(client)
        else:
            received = client.take()
        data = received["data"]
        assert len(data["x"]) == sizes[data["n"] % 4]
        seen[data["from"]].append(data["n"])
    for wait in senders:
        wait()
    assert seen == {sender: list(range(100)) for sender in range(6)}


def make_deflate_codec() -> Any:
    """Return a server's codec, and what reads a message of its."""
    import zlib

    from protoo_flask.transport.websocket.deflate import negotiate

    agreed = negotiate("permessage-deflate", 65536)
    assert agreed is not None
    decompressor = zlib.decompressobj(-15)

    def inflate(client: Any) -> Any:
        first, second = client._read(2)
        assert first == 0xC1
        size = {126: 2, 127: 8}.get(second, 0)
        length = int.from_bytes(client._read(size), "big") if size else second
        data = decompressor.decompress(client._read(length) + b"\x00\x00\xff\xff")
        return json.loads(data)

    return agreed[1], inflate


# Keep-alive --------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"x" * 125])
def test_a_ping_is_answered_with_its_payload(site, payload):
    client = site.connect()
    client.send_bytes(frame(PING, payload))
    assert client.receive() == Frame(PONG, payload)


def test_a_pong_that_nobody_asked_for_is_ignored(site):
    client = site.connect()
    client.send_bytes(frame(PONG, b"unsolicited"))
    assert client.request("get")["status"] == 404


def test_a_client_that_answers_pings_stays(make_site):
    client = make_site(ping_interval=0.2).connect()
    for _ in range(3):
        assert client.receive() == Frame(PING, b"")
        client.send_bytes(frame(PONG))
    assert client.connection.state == "open"


def test_a_client_that_sends_anything_is_alive(make_site):
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


def test_a_client_that_has_vanished_is_closed_with_1008(make_site):
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


# Closing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [close_frame(), close_frame(1000, "bye"), close_frame(1001), close_frame(4999, "é" * 61)],
    ids=["empty", "1000", "1001", "4999"],
)
def test_the_clients_close_is_echoed_and_the_end_follows(site, sent):
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


def close_payload_of(sent: bytes) -> bytes:
    mask, payload = sent[2:6], sent[6:]
    return bytes(a ^ b for a, b in zip(payload, itertools.cycle(mask)))


def test_what_came_before_the_close_is_handled_and_nothing_after_it(site):
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


def test_what_the_client_sent_before_it_closed_is_handled_though_a_handler_blocks(site, gate):
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


def test_what_waits_is_not_handled_when_the_site_has_closed(site, gate):
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


def test_the_sites_close_waits_for_the_clients(site):
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


def test_closes_that_cross_each_other_end_the_connection(site):
    closing = site.world.loop.event()

    def close(req, next):
        req.peer.close(1000, "ours")
        closing.set()

    site.router.get(close)
    client = site.connect()
    client.send_bytes(text(request(1)) + close_frame(1001, "theirs"))
    assert client.take_close() in [(1000, "ours"), (1001, "")]
    assert closing.wait(PATIENCE)


def test_a_client_that_does_not_finish_the_closing_handshake_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect()
    site.peer().close(1000, "bye")
    client.wait_for_end()
    assert client.take_close() == (1000, "bye")


def test_a_client_that_does_not_end_after_its_close_is_cut_off(site, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.05)
    client = site.connect()
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "")
    client.wait_for_end()


def test_a_client_that_sends_without_end_while_it_is_closed_is_cut_off(site, monkeypatch):
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


def test_a_close_frame_finds_a_place_in_a_full_outbox(site):
    client = site.connect(max_outbox=100_000, buffers=8192)
    peer = site.peer()
    assert peer.notify("note", {"text": "x" * 300_000})
    peer.close(1000, "bye")
    assert len(client.take()["data"]["text"]) == 300_000
    client.send_bytes(close_frame(1000))
    assert client.take_close() == (1000, "bye")


def test_the_connection_that_was_taken_over_is_closed_with_3000(site):
    old = site.connect("alice", "a1")
    new = site.connect("alice", "a1")
    assert old.receive().close == (3000, "online elsewhere")
    old.send_bytes(close_frame(3000))
    old.take_end()
    old.close()
    old.wait_for_end()
    assert site.peer().online
    assert new.request("get")["status"] == 404


def test_a_device_too_many_is_closed_with_1008(site):
    site.connect("alice", "a1")
    site.connect("alice", "a2")
    late = site.connect("alice", "a3")
    code, reason = late.take_close()
    assert code == 1008
    assert "2 devices" in reason


def test_a_process_that_exits_says_so(site):
    client = site.connect()
    client.connection.abandon(1001, "shutting down")
    site.application.close()
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (1001, "shutting down")


@only_greenlets  # nobody can end a thread
def test_who_stayed_with_a_server_that_ends_its_greenlet_says_so(site, monkeypatch):
    started: list[gevent.Greenlet] = []

    def start(connection: Connection, sock: socket.socket) -> None:
        started.append(gevent.spawn(connection.serve_to_the_end))

    monkeypatch.setattr(site.world, "start", start)
    client = site.connect()
    started[0].kill()
    assert client.take_close() == (1001, "shutting down")


@only_greenlets  # under threads, answers do not wait for each other
def test_a_process_that_exits_in_the_middle_of_a_batch_says_so(site):
    seen = []

    @site.router.method("exit")
    def exit(req, next):
        req.reply(200)
        client.connection.abandon(1001, "shutting down")
        # Nothing of this process runs any more: what the kernel has is what the client gets.
        readable, _, _ = select.select([client.sock], [], [], PATIENCE)
        seen.append(bool(readable))

    client = site.connect()
    client.send(request(1, "exit"), request(2))
    assert client.take()["id"] == 1
    site.application.close()
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (1001, "shutting down")
    assert seen == [True]


# What a link hands over when it ends -----------------------------------------------------------

#: More than any socket keeps: the first of these is partly sent, and the others wait.
WAITING = [b'"' + b"x" * 3_000_000 + b'"', b'"second"', b'"third"']


def stall(site: Any, **settings: Any) -> Any:
    """Connect a client that does not read, and send it :data:`WAITING`."""
    client = site.connect(buffers=8192, **{"max_outbox": 4_000_000, **settings})
    for payload in WAITING:
        assert client.connection.outbox.send_text(payload)
    return client


def read_to_close(client: Any) -> tuple[list[bytes], tuple[int, str] | None]:
    """Read messages until Close comes; returns them, and what it says if anything."""
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
def test_a_client_that_goes_away_leaves_what_waits(site, sent, code):
    client = stall(site)
    client.send_bytes(sent)
    assert take_departure(site) == (code, WAITING)
    payloads, closed = read_to_close(client)
    assert payloads == WAITING[:1]  # it was begun
    assert closed is not None
    assert closed[0] == code
    client.take_end()


@pytest.mark.parametrize(
    ("sent", "code"),
    [(close_frame(1000), 1000), (close_frame(1000, "bye"), 1000), (close_frame(), 1005)],
    ids=["1000", "with a reason", "empty"],
)
def test_a_client_that_says_goodbye_gets_what_waits(site, sent, code):
    client = stall(site)
    client.send_bytes(sent)
    assert take_departure(site) == (code, [])
    assert read_to_close(client) == (WAITING, (1000, "") if code == 1000 else None)
    client.take_end()


@pytest.mark.parametrize("how", ["end", "close", "reset"])
def test_a_connection_that_drops_leaves_what_waits(site, how):
    client = stall(site)
    if how == "end":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        getattr(client, how)()
    assert take_departure(site) == (1006, WAITING)


def test_what_is_sent_when_the_client_has_vanished_is_left(site):
    client = site.connect()
    taken = []
    assert client.connection.outbox.send_text(b'"first"')
    assert client.receive() == Frame(TEXT, b'"first"')
    client.reset()
    for payload in (b'"second"', b'"third"'):
        # A thread may see the end before; then the message is not taken.
        if client.connection.outbox.send_text(payload):
            taken.append(payload)
    assert taken or site.world.name == "threads"
    assert take_departure(site) == (1006, taken)


def test_a_slow_consumer_leaves_what_waits_and_not_what_was_too_much(site):
    client = stall(site, max_outbox=3_000_100)
    too_much = b'"' + b"x" * 3_000_000 + b'"'
    assert not client.connection.outbox.send_text(too_much)
    assert take_departure(site) == (1008, WAITING)
    assert read_to_close(client) == (WAITING[:1], (1008, "slow consumer"))


def test_a_client_that_is_timed_out_leaves_what_waits(make_site):
    site = make_site(ping_interval=0.02)
    stall(site)
    assert take_departure(site) == (1008, WAITING)


@pytest.mark.parametrize("code", [1000, 1001, 3001])
def test_a_client_that_the_site_closes_gets_what_waits(site, code):
    client = stall(site)
    client.connection.close(code, "bye")
    assert take_departure(site) == (code, [])
    assert read_to_close(client) == (WAITING, (code, "bye"))


def test_a_fatal_error_in_a_handler_leaves_what_waits(site):
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
def test_when_nothing_waits_nothing_is_left(site, leave, code):
    client = site.connect()
    assert client.request("get")["status"] == 404
    leave(client)
    assert take_departure(site) == (code, [])
    client.close()
    client.wait_for_end()
    site.world.settle()
    assert site.departures.empty()


def test_the_code_is_that_of_the_first_close(site):
    client = site.connect()
    client.connection.close(3001, "revoked")
    client.send_bytes(close_frame(1001))
    assert client.take_close() == (3001, "revoked")
    client.close()
    client.wait_for_end()
    assert take_departure(site) == (3001, [])


# A link that another takes over ------------------------------------------------------------------


def retire(client):
    """Have another link take over; returns what is left for it."""
    client.connection.retire(3000, "online elsewhere")
    return [payload for payload, _ in client.connection.take_unsent()]


def test_a_link_that_retires_gives_back_what_waits_and_closes(site):
    client = stall(site)
    left = retire(client)
    assert not client.connection.outbox.send_text(b'"late"')
    assert retire(client) == []
    # Under threads, whoever comes first has it; the registry sees to it that this is one.
    code, rest = take_departure(site)
    assert (code, left + rest) == (3000, WAITING)
    assert read_to_close(client) == (WAITING[:1], (3000, "online elsewhere"))
    client.send_bytes(close_frame(3000))
    client.take_end()


@pytest.mark.parametrize("way_out", ["drop", "1001", "overflow"])
def test_what_was_left_is_handed_over_once(site, monkeypatch, way_out):
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


def test_what_the_site_has_been_given_is_not_given_again(site):
    client = stall(site)
    client.reset()
    assert take_departure(site) == (1006, WAITING)
    assert retire(client) == []


def test_a_link_may_retire_before_the_site_knows_of_it(site):
    told = site.world.loop.event()
    go_on = site.world.loop.event()

    def listen(event: Any) -> None:
        if event.name == "peer_online":
            told.set()
            assert go_on.wait(PATIENCE)

    site.framework.on_event.append(listen)
    client = stall(site)
    assert told.wait(PATIENCE)
    left = retire(client)
    go_on.set()
    code, rest = take_departure(site)
    assert (code, left + rest) == (3000, WAITING)


def in_progress(peer):
    """Return the ids that a client could not use for other requests."""
    return set(peer.requests._proceeding)


def test_requests_that_wait_when_the_site_closes_are_forgotten(site, gate):
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
def test_requests_that_wait_when_the_link_is_lost_are_not_forgotten(site, gate, how):
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


# Violations --------------------------------------------------------------------------------

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
def test_the_client_reads_why_it_is_closed_though_it_is_still_sending(site, sent, code):
    client = site.connect()
    client.request("get")  # the site has been told who has come
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


@only_greenlets  # of two threads, its handler's or the reader's may be faster
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
def test_the_size_limit_is_inclusive_and_sums_fragments(make_site, parts):
    site = make_site(max_message_size=1000)
    client = site.connect()
    client.send_bytes(fragments(padded(1000), parts))
    assert client.take()["id"] == 1
    client.send_bytes(fragments(padded(1001), parts))
    assert client.take_close() == (1009, "a message has at most 1000 bytes")


def fragments(message: bytes, count: int) -> bytes:
    size = len(message) // count
    parts = [message[i * size : (i + 1) * size] for i in range(count - 1)]
    parts.append(message[(count - 1) * size :])
    return b"".join(
        frame(CONTINUATION if i else TEXT, part, fin=i == count - 1) + frame(PONG)
        for i, part in enumerate(parts)
    )


# Whatever happens, nothing is left behind: the fixture looks ---------------------------------

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
def test_a_client_may_go_at_any_moment(site, gate, sent, how):
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
def test_a_client_may_go_before_the_handshake(site, how):
    client = site.begin()
    getattr(client, how)()
    client.wait_for_end()


def test_a_client_may_go_while_the_site_is_being_told_that_it_came(site):
    told = site.world.loop.event()
    go_on = site.world.loop.event()

    def listen(event: Any) -> None:
        if event.name == "peer_online":
            told.set()
            assert go_on.wait(PATIENCE)

    site.framework.on_event.append(listen)
    client = site.connect()
    assert told.wait(PATIENCE)
    client.close()
    go_on.set()
    client.wait_for_end()


def test_a_connection_closed_while_the_site_is_being_told_is_offline_at_once(site):
    told = site.world.loop.event()
    go_on = site.world.loop.event()

    def listen(event: Any) -> None:
        if event.name == "peer_online":
            told.set()
            assert go_on.wait(PATIENCE)

    site.framework.on_event.append(listen)
    client = site.connect()
    assert told.wait(PATIENCE)
    client.connection.close(1000, "bye")
    go_on.set()
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


def test_a_connection_that_cannot_begin_gives_its_socket_back(site):
    def connect(link: Any) -> Any:
        raise RuntimeError("no room")

    client = site.connect(connect=connect)
    client.take_end()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "no room"


def test_of_a_client_that_has_gone_nothing_is_left_to_the_garbage_collector(site):
    def find():
        kinds = (Connection, Inbox, Peer)
        return {(type(one), id(one)) for one in gc.get_objects() if isinstance(one, kinds)}

    gc.collect()
    before = find()
    gc.disable()  # which must find nothing to do
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


# What is raised that is not an Exception -----------------------------------------------------


class Fatal(BaseException):
    """Passes every ``except Exception``."""


FATAL = [gevent.Timeout(), Fatal("stop"), SystemExit(1)]


@pytest.mark.parametrize("fatal", FATAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("blocking", [False, True], ids=["at once", "after it has blocked"])
def test_a_fatal_error_is_answered_500_and_ends_the_connection_only(site, gate, fatal, blocking):
    def fail(req, next):
        if blocking:
            gate.block()
        raise fatal

    site.router.method("fail", fail)
    alice, bob = site.connect("alice"), site.connect("bob")
    alice.send_request("fail")
    if blocking:
        gate.wait()
        gate.open()
    assert alice.take()["status"] == 500
    assert alice.take_close() == (1011, "internal error")
    alice.close()
    alice.wait_for_end()
    assert bob.request("get")["status"] == 404
    assert site.world.errors.get(timeout=PATIENCE) is fatal


def test_after_a_fatal_error_what_waits_is_not_handled(make_site):
    site = make_site(parallel_requests=2)
    failing, blocking = Gate(site), Gate(site)

    def fail(req, next):
        failing.block()
        raise Fatal("stop")

    handled = []
    site.router.method("fail", fail).method("wait", blocking)
    site.router.use(lambda req, next: handled.append(req.id))
    client = site.connect()
    client.send(request(1, "fail"), request(2, "wait"), request(3))
    blocking.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    failing.open()
    assert client.take()["id"] == 1
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    blocking.open()
    site.world.settle()
    assert handled == []
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_listener_may_wait_for_responses_of_the_new_peer_and_requests_wait_for_it(make_site):
    site = make_site(parallel_requests=3)
    answers, order = [], []

    def ask(event: Any) -> None:
        if event.name == "peer_online":
            answers.append(event.subject.request("hello", timeout=PATIENCE).status)
            order.append("told")

    site.framework.on_event.append(ask)
    site.router.get(lambda req, next: (order.append(req.id), req.reply(200)))
    client = site.connect()
    hello = client.take()
    client.send(request(1), request(2), request(3))
    client.send({"status": 200, "id": hello["id"]})
    assert sorted(client.take()["id"] for _ in range(3)) == [1, 2, 3]
    assert answers == [200]
    assert order[0] == "told"


def test_a_fatal_error_in_a_handler_leaves_the_others_of_a_client_that_has_left(site, gate):
    handled = site.world.loop.event()

    def stop(req: Any, next: Any) -> None:
        gate.block()
        raise Fatal("stop")

    site.router.method("stop", stop)
    site.router.get(lambda req, next: handled.set())
    client = site.connect()
    client.send(request(1, "stop"), request(2))
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    client.close()
    client.wait_for_end()
    gate.open()
    assert handled.wait(PATIENCE)
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_fatal_error_while_the_site_is_being_told_ends_the_connection(site):
    def listen(event: Any) -> None:
        if event.name == "peer_online":
            raise Fatal("stop")

    site.framework.on_event.append(listen)
    client = site.connect()
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"
    assert site.peer() is None
    site.framework.on_event.clear()
    assert site.connect().request("get")["status"] == 404


def test_a_fatal_error_while_the_backlog_is_full_leaves_nothing_behind(site, gate, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_BACKLOG", 100)

    def fail(req, next):
        gate.block()
        raise Fatal("stop")

    site.router.method("fail", fail)
    client = site.connect()
    client.send(request(1, "fail"), *(request(id) for id in range(2, 2000)))
    gate.wait()
    gate.open()
    assert client.take()["status"] == 500
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_fatal_error_in_a_callback_ends_the_connection_and_gives_everything_back(
    site, monkeypatch
):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    class Fatal(BaseException):
        pass

    def fail(response):
        raise Fatal

    client = site.connect()
    site.peer().send(Request("question"), fail)
    client.respond(client.take())
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    while not site.world.errors.empty():
        reported.append(site.world.errors.get())
    assert [type(error) for error in reported] == [Fatal]


def test_what_many_are_told_in_one_round_reaches_each_of_them(make_site):
    site = make_site(max_peers_per_user=200)

    def tell(req, next):
        for peer in site.application.directory.find("bob"):
            peer.notify("note", req.data)
        req.reply(200)

    site.router.get(tell)
    alice = site.connect()
    bobs = [site.connect("bob", f"b{number}") for number in range(3 * MAX_CORKED)]
    alice.send_request("get", text="hello")
    assert alice.take()["status"] == 200
    assert [bob.take()["data"]["text"] for bob in bobs] == ["hello"] * len(bobs)
