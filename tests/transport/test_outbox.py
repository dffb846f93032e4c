"""The outbox: sending, its bound, and its end."""

from __future__ import annotations

from protoo_flask.transport.outbox import CONTROL_SIZE, HEADER_SIZE, WRITE_SIZE

from .fake_channel import encode, make_outbox, send_texts, unsent_of
from .wire import CLOSE, PING, PONG, TEXT


def test_a_message_is_sent_at_once(channel, outbox):
    channel.room = 10
    send_texts(outbox, b"message")
    assert channel.received == b"<message>"
    assert outbox.size == 0
    assert not channel.is_watched


def test_a_full_socket_gets_the_rest_later_and_in_order(channel, outbox):
    channel.room = 4
    send_texts(outbox, b"first", b"second", b"third")
    assert channel.received == b"<fir"
    assert outbox.size == len(b"st>") + len(b"second" + b"third") + 2 * HEADER_SIZE
    channel.make_room(6)
    assert channel.received == b"<first><se"
    assert outbox.size == len(b"cond>" + b"<third>")
    channel.make_room(100)
    assert channel.received == b"<first><second><third>"
    assert outbox.size == 0
    assert not channel.is_watched


def test_a_writable_socket_may_take_nothing(channel, outbox):
    send_texts(outbox, b"text")
    channel.make_room(0)
    assert channel.is_watched
    assert outbox.size == len(b"<text>")
    channel.make_room(6)
    assert channel.received == b"<text>"


def test_after_a_flush_messages_are_sent_at_once_again(channel, outbox):
    send_texts(outbox, b"first")
    channel.make_room(100)
    send_texts(outbox, b"second")
    assert channel.received == b"<first><second>"


def test_many_small_messages_are_written_together(channel):
    outbox = make_outbox(channel, limit=1000)
    send_texts(outbox, *[b"01234567"] * 11)
    channel.make_room(1000)
    assert channel.writes == [0, 10, 100]


def test_the_size_of_a_write_is_limited(channel):
    outbox = make_outbox(channel, limit=100 * WRITE_SIZE)
    payloads = [bytes((n,)) * (WRITE_SIZE // 2 - HEADER_SIZE) for n in range(5)]
    payloads.append(b"large" * WRITE_SIZE)
    send_texts(outbox, *payloads)
    channel.make_room(100 * WRITE_SIZE)
    assert channel.received == b"".join(encode(TEXT, payload) for payload in payloads)
    assert len(channel.writes) == 1 + 1 + 2 + 1
    assert max(channel.writes[:-1]) <= WRITE_SIZE


def test_a_large_frame_is_not_copied_for_each_write(channel):
    seen = []

    def send(data):
        seen.append(data)
        return 1000

    frame = b"x" * 10_000_000
    channel.send = send
    outbox = make_outbox(channel, lambda opcode, payload: frame)
    send_texts(outbox, b"")
    channel.make_room(1000)
    channel.make_room(1000)
    assert [len(data) for data in seen] == [10_000_000, 9_999_000, 9_998_000]
    assert all(isinstance(data, memoryview) and data.obj is frame for data in seen[1:])


def test_a_kept_message_is_not_encoded_before_its_turn(channel):
    encoded = []

    def encode(opcode, payload):
        encoded.append((opcode, payload))
        return payload

    outbox = make_outbox(channel, encode, limit=200)
    send_texts(outbox, b"first")
    outbox.send(PING, b"second")
    assert encoded == [(TEXT, b"first")]
    channel.make_room(3)
    assert encoded == [(TEXT, b"first")]
    channel.make_room(3)
    assert encoded == [(TEXT, b"first"), (PING, b"second")]


def test_sent_messages_leave_nothing_behind(channel, outbox):
    send_texts(outbox, b"first", b"second")
    channel.make_room(100)
    assert (outbox._buffer, outbox._batch, outbox._queue) == (b"", (), None)


def test_a_message_beyond_the_bound_is_not_kept(channel, outbox):
    send_texts(outbox, b"x" * 58, b"y" * 30)
    assert outbox.size == 60 + 30 + HEADER_SIZE == 100
    assert not outbox.send(TEXT, b"")
    assert outbox.size == 100
    channel.make_room(1000)
    assert channel.received == b"<" + b"x" * 58 + b"><" + b"y" * 30 + b">"


def test_sending_makes_room_again(channel, outbox):
    send_texts(outbox, b"x" * 98)
    assert not outbox.send(TEXT, b"y")
    channel.make_room(1 + HEADER_SIZE)
    send_texts(outbox, b"y")
    assert not outbox.send(TEXT, b"")


def test_a_single_message_may_be_larger_than_the_bound(channel, outbox):
    send_texts(outbox, b"x" * 1000)
    assert not outbox.send(TEXT, b"")
    channel.make_room(2000)
    send_texts(outbox, b"y")


def test_after_taking_back_a_single_message_may_be_larger_than_the_bound(channel, outbox):
    send_texts(outbox, b"first")
    outbox.take_unsent()
    assert channel.is_watched
    assert outbox.send(CLOSE, b"x" * 1000)


def test_a_close_frame_always_finds_a_place(channel, outbox):
    send_texts(outbox, b"x" * 98)
    assert outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(1000)
    assert channel.received == b"<" + b"x" * 98 + b"><close>"


def test_finish_calls_at_once_when_nothing_is_kept(outbox):
    told = []
    outbox.finish(lambda: told.append(1))
    assert told == [1]


def test_finish_calls_once_when_everything_is_sent(channel, outbox):
    told = []
    send_texts(outbox, b"first")
    outbox.finish(lambda: told.append(channel.received))
    channel.make_room(3)
    assert told == []
    channel.make_room(4)
    assert told == [b"<first>"]
    send_texts(outbox, b"!")
    channel.make_room(10)
    assert told == [b"<first>"]


def test_after_close_nothing_is_called_or_sent(channel, outbox):
    told = []
    send_texts(outbox, b"first", b"second")
    outbox.finish(lambda: told.append(1))
    outbox.close()
    channel.make_room(100)
    assert (told, channel.received, outbox.size) == ([], b"", 0)


def test_finish_calls_when_the_socket_breaks(channel, outbox):
    told = []
    channel.room = 7
    send_texts(outbox, b"first", b"second")
    outbox.finish(lambda: told.append(1))
    channel.broken = True
    channel.make_room(100)
    assert channel.aborted == 1
    assert not channel.is_watched
    assert told == [1]
    outbox.finish(lambda: told.append(2))
    assert told == [1, 2]
    assert unsent_of(outbox) == [b"second"]


# How far the bytes have come -----------------------------------------------------------------


def test_the_outbox_knows_how_many_bytes_have_arrived(channel, outbox):
    channel.room = 10
    send_texts(outbox, b"seven", b"seven")
    assert (outbox.arrived, outbox.undelivered) == (10, 4)
    channel.unacknowledged = 8
    assert (outbox.arrived, outbox.undelivered) == (2, 12)
    channel.make_room(100)
    channel.unacknowledged = 3
    assert (outbox.arrived, outbox.undelivered) == (11, 3)
    channel.unacknowledged = 0
    assert (outbox.arrived, outbox.undelivered) == (14, 0)


def test_empty_pongs_that_a_client_does_not_read_are_counted_with_their_memory(channel):
    outbox = make_outbox(channel, limit=10 * CONTROL_SIZE + len(b"<text>"))
    send_texts(outbox, b"text")  # the socket takes nothing of it
    assert [outbox.send(PONG, b"") for _ in range(12)] == [True] * 10 + [False] * 2
    assert outbox.size == 10 * CONTROL_SIZE + len(b"<text>")
    channel.make_room(1000)
    assert outbox.size == 0
    assert channel.received == b"<text>" + b"<>" * 10
