"""The outbox over TLS, whose records may be made long before the socket takes them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from protoo_flask.transport.outbox import Outbox, SharedOutbox
from protoo_flask.transport.tls_records import RECORD_SIZE
from protoo_flask.transport.websocket.frames import FrameCodec, encode_frame

from .fake_channel import make_outbox, send_texts, unsent_of
from .tls_pairs import connect_tls, read_available
from .wire import CLOSE, TEXT

CLOSED = struct.pack("!H", 1008) + b"slow consumer"


def take_apart(data: bytes) -> list[tuple[int, bytes]]:
    """Take the frames of a server apart; the last one must be whole."""
    frames = []
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= start + length, "the last frame is not whole"
        frames.append((data[0] & 0x0F, data[start : start + length]))
        data = data[start + length :]
    return frames


def fill(outbox: Outbox, size: int) -> int:
    """Send messages until TLS has made a record that the socket does not take."""
    count = 0
    while not outbox.is_blocked:
        assert outbox.send(TEXT, b"%07d" % count + b"x" * (size - 7), bounded=False)
        count += 1
    return count


@pytest.mark.parametrize("size", [20, 30_000, 200_000])
def test_a_close_follows_the_record_that_tls_has_made(world: Any, size: int) -> None:
    with world.check_leaks():
        server, client = connect_tls(8192)
        channel = world.make_channel(server)
        lock = world.loop.lock()
        outbox = SharedOutbox(channel, FrameCodec.encode, 10_000_000, None, lock)
        finished = world.loop.event()
        with lock:
            count = fill(outbox, size)
            for number in range(count, count + 3):
                outbox.send(TEXT, b"%07d" % number + b"x" * (size - 7), bounded=False)
            unsent = [payload for payload, _ in outbox.take_unsent()]
            outbox.send_close(CLOSED)
            outbox.finish(finished.set)
        received = b""
        while not finished.wait(0.001) or not received.endswith(encode_frame(CLOSE, CLOSED)):
            received += read_available(client)
        assert not outbox.is_blocked
        client.close()
        channel.close()
        world.settle()
        server.close()

    *texts, last = take_apart(received)
    assert last == (CLOSE, CLOSED)
    assert [int(payload[:7]) for _, payload in texts] == list(range(len(texts)))
    assert {len(payload) for _, payload in texts} <= {size}
    # Nothing is lost: messages whose frames were being written are taken back, too.
    numbers = [int(payload[:7]) for payload in unsent]
    assert numbers == list(range(numbers[0], count + 3))
    assert numbers[0] <= len(texts) < count + 3


# With a channel that counts -----------------------------------------------------------------


def test_as_many_frames_are_kept_as_a_record_may_have(channel: Any) -> None:
    channel.encrypts = True
    outbox = make_outbox(channel, limit=10 * RECORD_SIZE)
    send_texts(outbox, b"0" * 100, *[b"%d" % n * 5000 for n in range(1, 9)])
    channel.make_room(102)  # the others are one write, and TLS has made a record of its beginning
    assert len(unsent_of(outbox)) == 8
    assert RECORD_SIZE <= outbox.size < RECORD_SIZE + 5002
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100_000)
    assert channel.received.endswith(b"4><close>")


def test_a_plain_socket_has_begun_nothing_when_it_takes_nothing(channel: Any) -> None:
    outbox = make_outbox(channel)
    send_texts(outbox, b"first", b"second")
    assert unsent_of(outbox) == [b"first", b"second"]
    assert outbox.size == 0
