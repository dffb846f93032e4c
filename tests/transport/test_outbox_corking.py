"""A corked outbox keeps messages, so that one write sends them."""

from __future__ import annotations

import pytest

from .fake_channel import FakeChannel, send_texts, unsent_of
from .wire import CLOSE, TEXT


def test_uncork_sends_the_handshake_first(channel, outbox):
    channel.room = 100
    outbox.cork(b"handshake")
    send_texts(outbox, b"early")
    assert channel.received == b""
    outbox.uncork()
    assert channel.received == b"handshake<early>"
    send_texts(outbox, b"!")
    assert channel.received == b"handshake<early><!>"


def test_uncorking_twice_sends_once(channel, outbox):
    channel.room = 4
    outbox.cork(b"handshake")
    outbox.uncork()
    outbox.uncork()
    assert channel.received == b"hand"
    channel.make_room(100)
    assert channel.received == b"handshake"


@pytest.mark.parametrize("room", [0, 4, 9, 10])
def test_the_handshake_is_neither_taken_back_nor_dropped(channel, outbox, room):
    outbox.cork(b"handshake")
    send_texts(outbox, b"early")
    channel.room = room
    if room:
        outbox.uncork()
    assert unsent_of(outbox) == [b"early"]
    outbox.send(CLOSE, b"close", bounded=False)
    outbox.uncork()
    channel.make_room(100)
    begun = b"<early>" if room == 10 else b""
    assert channel.received == b"handshake" + begun + b"<close>"


@pytest.mark.parametrize("size", [40, 200])
def test_a_corked_outbox_is_not_taken_for_a_slow_client(channel, outbox, size):
    channel.room = 10_000
    outbox.cork()
    send_texts(outbox, *[b"x" * 40] * 3, b"y" * size)
    outbox.uncork()
    assert channel.received == (b"<" + b"x" * 40 + b">") * 3 + b"<" + b"y" * size + b">"


def test_a_corked_outbox_of_a_slow_client_is_bounded(channel, outbox):
    outbox.cork()
    send_texts(outbox, b"x" * 80)
    assert not outbox.send(TEXT, b"x" * 80)
    outbox.uncork()
    channel.make_room(10_000)
    assert channel.received == b"<" + b"x" * 80 + b">"


@pytest.fixture
def batching(channel: FakeChannel) -> FakeChannel:
    channel.room, channel.corked = 1000, []
    return channel


def test_messages_of_a_batch_are_one_write_at_its_end(outbox, batching):
    send_texts(outbox, b"one", b"two")
    assert (batching.received, len(batching.corked)) == (b"", 1)
    batching.end_batch()
    assert batching.received == b"<one><two>"
    send_texts(outbox, b"three")
    assert batching.received == b"<one><two><three>"


def test_uncork_sends_before_the_end_of_the_batch(outbox, batching):
    send_texts(outbox, b"one")
    outbox.cork()
    send_texts(outbox, b"two")
    outbox.uncork()
    assert batching.received == b"<one><two>"
    batching.end_batch()
    assert batching.received == b"<one><two>"


def test_too_much_for_a_batch_is_sent_before_its_end(outbox, batching):
    for _ in range(20):
        send_texts(outbox, b"x" * 20)  # of 100 bytes that may wait
    batching.end_batch()
    assert batching.received == (b"<" + b"x" * 20 + b">") * 20


def test_a_socket_may_be_full_at_the_end_of_a_batch(outbox, batching):
    batching.room = 2
    send_texts(outbox, b"one")
    batching.end_batch()
    assert batching.received == b"<o"
    assert batching.is_watched
    send_texts(outbox, b"two")
    batching.make_room(100)
    assert batching.received == b"<one><two>"


def test_taking_back_sends_the_messages_of_the_batch_first(outbox, batching):
    send_texts(outbox, b"one")
    assert unsent_of(outbox) == []
    assert batching.received == b"<one>"
    batching.end_batch()
    assert batching.received == b"<one>"


def test_all_messages_of_a_batch_are_taken_back_when_the_socket_is_broken(outbox, batching):
    send_texts(outbox, b"one", b"two")
    batching.broken = True
    batching.end_batch()
    assert batching.aborted == 1
    assert unsent_of(outbox) == [b"one", b"two"]


def test_finish_waits_for_the_end_of_the_batch(outbox, batching):
    done: list[bytes] = []
    send_texts(outbox, b"one")
    outbox.finish(lambda: done.append(batching.received))
    assert done == []
    batching.end_batch()
    assert done == [b"<one>"]


def test_close_forgets_the_messages_of_the_batch(outbox, batching):
    send_texts(outbox, b"one")
    outbox.close()
    batching.end_batch()
    assert batching.received == b""


def test_taking_back_does_not_send_the_handshake(outbox, batching):
    outbox.cork(b"101")
    send_texts(outbox, b"one")
    assert unsent_of(outbox) == [b"one"]
    assert batching.received == b""
    outbox.uncork()
    assert batching.received == b"101"
