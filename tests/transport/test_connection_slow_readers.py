"""Clients that read slowly, and the limit of their outbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .connections import take_departure
from .wire import CLOSE, PATIENCE, PING, PONG, Frame, frame


def send_many(req: Any, next: Any) -> None:
    """Send the client as many messages as it asked for, all at once."""
    for n in range(req.data["count"]):
        req.peer.notify("note", {"n": n, "text": "x" * req.data["size"]})
    next()


def test_a_slow_reader_gets_an_intact_stream_and_delays_no_other_client(site):
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
    # The lock: under threads, the writer may not have counted yet that the last bytes are sent.
    with alice.connection._lock:
        assert alice.connection.outbox.size == 0


def test_one_message_may_be_larger_than_the_outbox(site):
    site.router.get(send_many)
    client = site.connect(max_outbox=1000, buffers=8192)
    site.peer().notify("note", {"text": "x" * 3_000_000})
    assert len(client.take()["data"]["text"]) == 3_000_000
    assert client.request("put")["status"] == 404


def test_an_outbox_overflow_closes_with_1008_after_an_intact_stream(site):
    site.router.get(send_many)
    client = site.connect(max_outbox=600_000, buffers=8192)
    offline = site.world.loop.event()
    site.framework.on_event.append(lambda event: event.name == "peer_offline" and offline.set())
    client.send_request("get", count=100, size=20_000)
    assert offline.wait(PATIENCE)
    assert site.peer() is None
    # Waiting messages are dropped, but for the rest of the one that was being written.
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
    # Many times the sockets' buffers: the pongs cannot all wait there.
    sent = site.world.spawn(client.send_bytes, frame(PING, b"x" * 125) * 6_000)
    # The client begins to read when the server has given up. To wait until the client has
    # sent everything is too early: its socket may keep bytes that the server has not read.
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
def test_concurrent_senders_write_whole_messages_in_order(site, compressed):
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
    """Return a server's codec, and a function that reads one of its messages."""
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
