"""The outbox gives unsent messages back, to be sent over another connection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from protoo_flask.transport.outbox import WRITE_SIZE
from protoo_flask.transport.websocket.deflate import negotiate
from protoo_flask.transport.websocket.frames import FrameCodec, close_payload

from .fake_channel import FakeChannel, make_outbox, send_texts, unsent_of
from .wire import CLOSE, PING


def test_messages_are_taken_back_but_a_partly_sent_frame_is_completed(channel, outbox):
    channel.room = 2
    send_texts(outbox, b"first", b"second", b"third")
    assert unsent_of(outbox) == [b"first", b"second", b"third"]
    assert outbox.size == len(b"irst>")
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == b"<first><close>"


def test_frames_that_were_not_begun_are_taken_back_whole(channel, outbox):
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
def test_only_the_unsent_messages_of_a_write_are_taken_back(channel, outbox, room, unsent, wire):
    send_texts(outbox, b"first", b"second", b"third", b"fourth")
    channel.make_room(room)
    assert unsent_of(outbox) == unsent
    outbox.send(CLOSE, b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == wire + b"<close>"


def test_control_frames_are_neither_taken_back_nor_sent(channel, outbox):
    outbox.send(PING, b"first")
    send_texts(outbox, b"second")
    outbox.send(PING, b"third")
    assert unsent_of(outbox) == [b"second"]
    channel.make_room(100)
    assert channel.received == b""


def test_nothing_is_taken_back_twice(channel, outbox):
    channel.room = 2
    send_texts(outbox, b"first", b"second")
    assert unsent_of(outbox) == [b"first", b"second"]
    assert unsent_of(outbox) == []
    channel.make_room(2)
    assert unsent_of(outbox) == []
    channel.make_room(100)
    assert channel.received == b"<first>"


def test_the_same_objects_are_taken_back(channel, outbox):
    payloads = [bytes((n,)) * 5 for n in range(3)]
    send_texts(outbox, *payloads)
    assert [id(payload) for payload in unsent_of(outbox)] == [id(one) for one in payloads]


def test_the_messages_of_a_broken_socket_are_taken_back(channel, outbox):
    channel.broken = True
    send_texts(outbox, b"first", b"second")
    assert channel.aborted == 1
    assert not channel.is_watched
    assert unsent_of(outbox) == [b"first", b"second"]


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
    """A client that reads, and keeps the beginning of a message until the rest arrives."""

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
