"""The outbox, over a socket whose buffer the test empties by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from protoo_flask.transport.outbox import HEADER_SIZE, WRITE_SIZE, Outbox
from protoo_flask.transport.websocket.deflate import negotiate
from protoo_flask.transport.websocket.frames import FrameCodec, close_payload

from .wire import CLOSE, PING, TEXT


def unsent_of(outbox):
    """Take back what waits; returns the payloads."""
    return [payload for payload, _ in outbox.take_unsent()]


def encode(opcode: int, payload: bytes) -> bytes:
    """Write a frame that a reader of these tests can read: ``b"<text>"``."""
    return b"<" + payload + b">"


class FakeChannel:
    """Takes as many bytes as there is room for."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.received = b""
        self.writes: list[int] = []
        self.broken = False
        self.aborted = 0
        self._when_writable: Any = None
        #: Who is to be told to release at the end of a round; ``None`` when there is none.
        self.held: Any = None

    def hold_back(self, holder: Any) -> bool:
        if self.held is None:
            return False
        self.held.append(holder)
        return True

    def end_round(self) -> None:
        held, self.held = self.held, None
        for holder in held:
            holder.release()

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise BrokenPipeError
        sent = bytes(data[: self.room])
        self.room -= len(sent)
        self.received += sent
        self.writes.append(len(sent))
        return len(sent)

    def when_writable(self, function: Any) -> None:
        assert self._when_writable is None, "asked twice"
        self._when_writable = function

    def abort(self) -> None:
        self.aborted += 1

    @property
    def is_watched(self) -> bool:
        return self._when_writable is not None

    def make_room(self, size: int) -> None:
        """Let the client read, and the socket become writable."""
        self.room += size
        function, self._when_writable = self._when_writable, None
        if function is not None:
            function()


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def outbox(channel: FakeChannel) -> Outbox:
    return make_outbox(channel)


def make_outbox(channel: FakeChannel, encode: Any = encode, limit: int = 100) -> Outbox:
    return Outbox(channel, encode, limit)


def send_texts(outbox: Outbox, *payloads: bytes) -> None:
    for payload in payloads:
        assert outbox.send(TEXT, payload)


def test_a_message_is_sent_at_once_when_nothing_waits(channel, outbox):
    channel.room = 10
    send_texts(outbox, b"message")
    assert channel.received == b"<message>"
    assert outbox.size == 0
    assert not channel.is_watched


def test_what_the_socket_does_not_take_is_sent_later_and_in_order(channel, outbox):
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


def test_it_may_become_writable_for_nothing(channel, outbox):
    send_texts(outbox, b"text")
    channel.make_room(0)
    assert channel.is_watched
    assert outbox.size == len(b"<text>")
    channel.make_room(6)
    assert channel.received == b"<text>"


def test_after_it_was_flushed_messages_are_sent_at_once_again(channel, outbox):
    send_texts(outbox, b"first")
    channel.make_room(100)
    send_texts(outbox, b"second")
    assert channel.received == b"<first><second>"


def test_many_small_messages_are_written_together(channel):
    outbox = make_outbox(channel, limit=1000)
    send_texts(outbox, *[b"01234567"] * 11)
    channel.make_room(1000)
    assert channel.writes == [0, 10, 100]


def test_not_more_is_joined_than_one_write_may_have(channel):
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


def test_what_waits_is_not_encoded_before_its_turn(channel):
    encoded = []

    def encode(opcode, payload):
        encoded.append((opcode, payload))
        return payload

    outbox = make_outbox(channel, encode)
    send_texts(outbox, b"first")
    outbox.send(PING, b"second")
    assert encoded == [(TEXT, b"first")]
    channel.make_room(3)
    assert encoded == [(TEXT, b"first")]
    channel.make_room(3)
    assert encoded == [(TEXT, b"first"), (PING, b"second")]


def test_nothing_is_kept_of_what_was_sent(channel, outbox):
    send_texts(outbox, b"first", b"second")
    channel.make_room(100)
    assert (outbox._buffer, outbox._batch, outbox._queue) == (b"", (), None)


# The bound -----------------------------------------------------------------------------------


def test_a_message_beyond_the_bound_is_not_kept(channel, outbox):
    send_texts(outbox, b"x" * 58, b"y" * 30)
    assert outbox.size == 60 + 30 + HEADER_SIZE == 100
    assert not outbox.send(TEXT, b"")
    assert outbox.size == 100
    channel.make_room(1000)
    assert channel.received == b"<" + b"x" * 58 + b"><" + b"y" * 30 + b">"


def test_there_is_room_again_when_some_was_sent(channel, outbox):
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


def test_and_so_may_one_that_is_sent_when_everything_was_taken_back(channel, outbox):
    send_texts(outbox, b"first")
    outbox.take_unsent()
    assert channel.is_watched
    assert outbox.send(CLOSE, b"x" * 1000)


def test_a_close_frame_always_finds_a_place(channel, outbox):
    send_texts(outbox, b"x" * 98)
    assert outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(1000)
    assert channel.received == b"<" + b"x" * 98 + b"><close>"


# Taking back, finishing, closing ---------------------------------------------------------------


def test_what_waits_is_taken_back_but_a_frame_that_was_begun_is_finished(channel, outbox):
    channel.room = 2
    send_texts(outbox, b"first", b"second", b"third")
    assert unsent_of(outbox) == [b"first", b"second", b"third"]
    assert outbox.size == len(b"irst>")
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == b"<first><close>"


def test_frames_of_which_nothing_was_sent_are_taken_back_whole(channel, outbox):
    send_texts(outbox, b"first", b"second")
    assert unsent_of(outbox) == [b"first", b"second"]
    assert outbox.size == 0
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == b"<close>"


@pytest.mark.parametrize(
    ("room", "unsent", "wire"),
    [
        (7, [b"second", b"third", b"fourth"], b"<first>"),
        (8, [b"second", b"third", b"fourth"], b"<first><second>"),
        (14, [b"second", b"third", b"fourth"], b"<first><second>"),
        (15, [b"third", b"fourth"], b"<first><second>"),
        (16, [b"third", b"fourth"], b"<first><second><third>"),
        (22, [b"fourth"], b"<first><second><third>"),
        (29, [b"fourth"], b"<first><second><third><fourth>"),
        (30, [], b"<first><second><third><fourth>"),
    ],
)
def test_of_what_was_joined_only_what_was_not_sent_is_taken_back(
    channel, outbox, room, unsent, wire
):
    send_texts(outbox, b"first", b"second", b"third", b"fourth")
    channel.make_room(room)
    assert unsent_of(outbox) == unsent
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == wire + b"<close>"


def test_control_frames_are_not_given_back_and_not_sent(channel, outbox):
    outbox.send(PING, b"first")
    send_texts(outbox, b"second")
    outbox.send(PING, b"third")
    assert unsent_of(outbox) == [b"second"]
    channel.make_room(100)
    assert channel.received == b""


def test_nothing_is_given_back_twice(channel, outbox):
    channel.room = 2
    send_texts(outbox, b"first", b"second")
    assert unsent_of(outbox) == [b"first", b"second"]
    assert unsent_of(outbox) == []
    channel.make_room(2)
    assert unsent_of(outbox) == []
    channel.make_room(100)
    assert channel.received == b"<first>"


def test_what_is_given_back_are_the_objects_that_were_sent(channel, outbox):
    payloads = [bytes((n,)) * 5 for n in range(3)]
    send_texts(outbox, *payloads)
    assert [id(payload) for payload in unsent_of(outbox)] == [id(one) for one in payloads]


def test_the_end_is_told_at_once_when_nothing_waits(outbox):
    told = []
    outbox.finish(lambda: told.append(1))
    assert told == [1]


def test_the_end_is_told_once_when_everything_was_sent(channel, outbox):
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


def test_nothing_is_told_or_sent_after_the_socket_is_gone(channel, outbox):
    told = []
    send_texts(outbox, b"first", b"second")
    outbox.finish(lambda: told.append(1))
    outbox.close()
    channel.make_room(100)
    assert (told, channel.received, outbox.size) == ([], b"", 0)


def test_what_a_broken_socket_did_not_take_is_given_back(channel, outbox):
    channel.broken = True
    send_texts(outbox, b"first", b"second")
    assert channel.aborted == 1
    assert not channel.is_watched
    assert unsent_of(outbox) == [b"first", b"second"]


def test_a_socket_that_breaks_while_messages_wait_is_reported_and_ends(channel, outbox):
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


# Holding back ----------------------------------------------------------------------------------


def test_what_is_held_comes_first_when_it_is_released(channel, outbox):
    channel.room = 100
    outbox.hold(b"handshake")
    send_texts(outbox, b"early")
    assert channel.received == b""
    outbox.release()
    assert channel.received == b"handshake<early>"
    send_texts(outbox, b"!")
    assert channel.received == b"handshake<early><!>"


def test_releasing_twice_sends_it_once(channel, outbox):
    channel.room = 4
    outbox.hold(b"handshake")
    outbox.release()
    outbox.release()
    assert channel.received == b"hand"
    channel.make_room(100)
    assert channel.received == b"handshake"


@pytest.mark.parametrize("room", [0, 4, 9, 10])
def test_what_is_held_is_neither_given_back_nor_dropped(channel, outbox, room):
    outbox.hold(b"handshake")
    send_texts(outbox, b"early")
    channel.room = room
    if room:
        outbox.release()
    assert unsent_of(outbox) == [b"early"]
    outbox.send(CLOSE, b"close", bounded=False)
    outbox.release()
    channel.make_room(100)
    begun = b"<early>" if room == 10 else b""
    assert channel.received == b"handshake" + begun + b"<close>"


# Whatever happens --------------------------------------------------------------------------------

WORDS = [b"", b"x", b"{}", b"a message " * 3, b"a longer message " * 12, b"z" * WRITE_SIZE]

STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(WORDS)),
    st.tuples(st.just("ping"), st.just(b"ping")),
    st.tuples(st.just("make room"), st.integers(0, 300) | st.just(WRITE_SIZE)),
)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@given(
    room=st.integers(0, 300),
    steps=st.lists(STEPS, max_size=30),
    broken=st.booleans(),
    read=st.integers(0, 10),
)
def test_each_message_is_sent_or_given_back(compressed, room, steps, broken, read):
    codec, reader = make_pair(compressed)
    channel = FakeChannel(room)
    outbox = make_outbox(channel, codec.encode, limit=1 << 30)
    accepted = []
    for number, (step, value) in enumerate(steps):
        if step == "send":
            accepted.append(b"%d " % number + value)
            send_texts(outbox, accepted[-1])
        elif step == "ping":
            outbox.send(PING, value)
        else:
            channel.make_room(value)
    if broken:
        channel.broken = True
        channel.make_room(1)
    got_before = reader.read(channel.received)
    written = len(channel.received)
    unsent = unsent_of(outbox)
    assert got_before == accepted[: len(got_before)]
    assert got_before + unsent == accepted
    # A frame that was begun is finished; then Close comes, and nothing else.
    if not channel.broken:
        outbox.send(CLOSE, close_payload(1000), bounded=False)
        channel.make_room(read)
        channel.make_room(1 << 30)
        got_after = reader.read(channel.received[written:])
        assert reader.closed
        assert got_after == unsent[: len(got_after)]
        assert len(got_after) <= 1
        assert outbox.size == 0


def make_pair(compressed: bool) -> tuple[Any, Reader]:
    """Return a server's codec, and a client written by others."""
    if not compressed:
        return FrameCodec(100), Reader([])
    extension = PerMessageDeflate()
    agreed = negotiate(f"permessage-deflate; {extension.offer()}", 100)
    assert agreed is not None
    header, codec = agreed
    extension.finalize(header)
    return codec, Reader([extension])


class Reader:
    """A client that reads, and keeps what it has of a message that is not all there."""

    def __init__(self, extensions: list[Any]) -> None:
        self._connection = Connection(ConnectionType.CLIENT, extensions)
        self._begun = ""
        self.closed = False

    def read(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now."""
        messages = []
        self._connection.receive_data(data)
        for event in self._connection.events():
            assert not self.closed
            if isinstance(event, TextMessage):
                self._begun += event.data
                if event.message_finished:
                    messages.append(self._begun.encode())
                    self._begun = ""
            elif isinstance(event, CloseConnection):
                self.closed = True
            else:
                assert isinstance(event, Ping), event
        return messages


@pytest.mark.parametrize("size", [40, 200])
def test_what_is_held_is_not_taken_for_what_a_slow_reader_leaves(channel, outbox, size):
    channel.room = 10_000
    outbox.hold()
    send_texts(outbox, *[b"x" * 40] * 3, b"y" * size)
    outbox.release()
    assert channel.received == (b"<" + b"x" * 40 + b">") * 3 + b"<" + b"y" * size + b">"


def test_what_is_held_for_a_slow_reader_is_bounded(channel, outbox):
    outbox.hold()
    send_texts(outbox, b"x" * 80)
    assert not outbox.send(TEXT, b"x" * 80)
    outbox.release()
    channel.make_room(10_000)
    assert channel.received == b"<" + b"x" * 80 + b">"


# In a round ----------------------------------------------------------------------------------


@pytest.fixture
def round_of(channel: FakeChannel) -> FakeChannel:
    channel.room, channel.held = 1000, []
    return channel


def test_what_is_sent_in_a_round_leaves_at_its_end_in_one_write(outbox, round_of):
    send_texts(outbox, b"one", b"two")
    assert (round_of.received, len(round_of.held)) == (b"", 1)
    round_of.end_round()
    assert round_of.received == b"<one><two>"
    send_texts(outbox, b"three")
    assert round_of.received == b"<one><two><three>"


def test_what_is_kept_for_one_write_in_a_round_leaves_when_it_is_released(outbox, round_of):
    send_texts(outbox, b"one")
    outbox.hold()
    send_texts(outbox, b"two")
    outbox.release()
    assert round_of.received == b"<one><two>"
    round_of.end_round()
    assert round_of.received == b"<one><two>"


def test_what_is_held_back_is_bounded_and_sent_when_it_is_too_much(outbox, round_of):
    for _ in range(20):
        send_texts(outbox, b"x" * 20)  # of 100 bytes that may wait
    round_of.end_round()
    assert round_of.received == (b"<" + b"x" * 20 + b">") * 20


def test_what_the_socket_does_not_take_at_the_end_of_a_round_waits_for_it(outbox, round_of):
    round_of.room = 2
    send_texts(outbox, b"one")
    round_of.end_round()
    assert round_of.received == b"<o"
    assert round_of.is_watched
    send_texts(outbox, b"two")
    round_of.make_room(100)
    assert round_of.received == b"<one><two>"


def test_what_is_held_back_leaves_before_the_rest_is_taken_back(outbox, round_of):
    send_texts(outbox, b"one")
    assert unsent_of(outbox) == []
    assert round_of.received == b"<one>"
    round_of.end_round()
    assert round_of.received == b"<one>"


def test_of_what_was_held_back_for_a_broken_socket_all_is_taken_back(outbox, round_of):
    send_texts(outbox, b"one", b"two")
    round_of.broken = True
    round_of.end_round()
    assert round_of.aborted == 1
    assert unsent_of(outbox) == [b"one", b"two"]


def test_what_is_to_be_done_when_all_is_sent_waits_for_the_end_of_the_round(outbox, round_of):
    done: list[bytes] = []
    send_texts(outbox, b"one")
    outbox.finish(lambda: done.append(round_of.received))
    assert done == []
    round_of.end_round()
    assert done == [b"<one>"]


def test_what_a_connection_that_has_ended_held_back_is_forgotten(outbox, round_of):
    send_texts(outbox, b"one")
    outbox.close()
    round_of.end_round()
    assert round_of.received == b""


def test_an_answered_handshake_is_not_sent_by_taking_back(outbox, round_of):
    outbox.hold(b"101")
    send_texts(outbox, b"one")
    assert unsent_of(outbox) == [b"one"]
    assert round_of.received == b""
    outbox.release()
    assert round_of.received == b"101"
