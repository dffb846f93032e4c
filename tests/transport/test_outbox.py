"""The outbox, over a socket whose buffer the test empties by hand."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from protoo_flask.transport.outbox import WRITE_SIZE, Outbox


class FakeChannel:
    """Takes as many bytes as there is room for."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.received = b""
        self.writes: list[int] = []
        self.broken = False
        self.aborted = 0
        self._when_writable: Any = None

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
    return Outbox(channel, 100, channel.abort, contextlib.nullcontext())


def test_a_frame_is_sent_at_once_when_nothing_waits(channel, outbox):
    channel.room = 10
    assert outbox.send(b"frame")
    assert channel.received == b"frame"
    assert outbox.size == 0
    assert not channel.is_watched


def test_what_the_socket_does_not_take_is_sent_later_and_in_order(channel, outbox):
    channel.room = 3
    for frame in (b"first", b"second", b"third"):
        assert outbox.send(frame)
    assert channel.received == b"fir"
    assert outbox.size == len(b"st" + b"second" + b"third")
    channel.make_room(4)
    assert channel.received == b"firstse"
    channel.make_room(100)
    assert channel.received == b"firstsecondthird"
    assert outbox.size == 0
    assert not channel.is_watched


def test_it_may_become_writable_for_nothing(channel, outbox):
    outbox.send(b"frame")
    channel.make_room(0)
    assert channel.is_watched
    assert outbox.size == 5
    channel.make_room(5)
    assert channel.received == b"frame"


def test_after_it_was_flushed_frames_are_sent_at_once_again(channel, outbox):
    outbox.send(b"first")
    channel.make_room(100)
    outbox.send(b"second")
    assert channel.received == b"firstsecond"


def test_many_small_frames_are_written_together(channel, outbox):
    for _ in range(10):
        outbox.send(b"0123456789")
    channel.make_room(1000)
    assert channel.writes == [0, 100]


def test_not_more_is_joined_than_a_socket_takes(channel):
    outbox = Outbox(channel, 10 * WRITE_SIZE, channel.abort, contextlib.nullcontext())
    frames = [bytes((n,)) * (WRITE_SIZE // 2 - 1) for n in range(5)] + [b"large" * WRITE_SIZE]
    for frame in frames:
        outbox.send(frame)
    channel.make_room(100 * WRITE_SIZE)
    assert channel.received == b"".join(frames)
    assert max(channel.writes[1:-1]) < WRITE_SIZE


def test_a_large_frame_is_not_copied_for_each_write(channel, outbox):
    frame = b"x" * 10_000_000
    outbox.send(frame)
    channel.make_room(1000)
    (rest,) = outbox._queue
    assert isinstance(rest, memoryview)
    assert rest.obj is frame


# The bound -----------------------------------------------------------------------------------


def test_a_frame_beyond_the_bound_is_not_kept(channel, outbox):
    outbox.send(b"x" * 60)
    assert outbox.send(b"y" * 40)
    assert not outbox.send(b"z")
    assert outbox.size == 100
    channel.make_room(1000)
    assert channel.received == b"x" * 60 + b"y" * 40


def test_there_is_room_again_when_some_was_sent(channel, outbox):
    outbox.send(b"x" * 100)
    assert not outbox.send(b"yy")
    channel.make_room(2)
    assert outbox.send(b"yy")


def test_a_single_frame_may_be_larger_than_the_bound(channel, outbox):
    assert outbox.send(b"x" * 1000)
    assert not outbox.send(b"y")
    channel.make_room(1000)
    assert outbox.send(b"y")


def test_a_close_frame_always_finds_a_place(channel, outbox):
    outbox.send(b"x" * 100)
    assert outbox.send(b"close", bounded=False)
    channel.make_room(1000)
    assert channel.received == b"x" * 100 + b"close"


# Discarding, finishing, closing ----------------------------------------------------------------


def test_what_waits_is_discarded_but_not_the_rest_of_a_frame(channel, outbox):
    channel.room = 2
    for frame in (b"first", b"second", b"third"):
        outbox.send(frame)
    outbox.discard()
    assert outbox.size == 3
    outbox.send(b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == b"firstclose"


def test_frames_of_which_nothing_was_sent_are_discarded_whole(channel, outbox):
    outbox.send(b"first")
    outbox.send(b"second")
    outbox.discard()
    assert outbox.size == 0
    channel.room = 2
    # It is still waited for the socket, from before.
    channel._when_writable = None
    outbox.send(b"close", bounded=False)
    channel.make_room(100)
    assert channel.received == b"close"


def test_after_it_was_flushed_in_part_the_stream_stays_whole(channel, outbox):
    for frame in (b"first", b"second", b"third"):
        outbox.send(frame)
    channel.make_room(7)
    outbox.discard()
    outbox.send(b"close", bounded=False)
    channel.make_room(100)
    whole = b"firstsecondthird"
    received = channel.received
    assert received.endswith(b"close")
    assert received[:-5] in (b"firstsecond", whole)


def test_the_end_is_told_at_once_when_nothing_waits(outbox):
    told = []
    outbox.finish(lambda: told.append(1))
    assert told == [1]


def test_the_end_is_told_once_when_everything_was_sent(channel, outbox):
    told = []
    outbox.send(b"first")
    outbox.finish(lambda: told.append(channel.received))
    channel.make_room(3)
    assert told == []
    channel.make_room(3)
    assert told == [b"first"]
    outbox.send(b"!")
    channel.make_room(10)
    assert told == [b"first"]


def test_nothing_is_told_or_sent_after_the_socket_is_gone(channel, outbox):
    told = []
    outbox.send(b"first")
    outbox.finish(lambda: told.append(1))
    outbox.close()
    channel.make_room(100)
    assert (told, channel.received, outbox.size) == ([], b"", 0)


def test_a_socket_that_cannot_be_written_is_reported(channel, outbox):
    channel.broken = True
    assert outbox.send(b"frame")
    assert channel.aborted == 1
    assert outbox.size == 0


def test_a_socket_that_breaks_while_frames_wait_is_reported_and_ends(channel, outbox):
    told = []
    outbox.send(b"first")
    outbox.send(b"second")
    outbox.finish(lambda: told.append(1))
    channel.broken = True
    channel.make_room(100)
    assert channel.aborted
    assert outbox.size == 0
    assert told == [1]


# Holding back ----------------------------------------------------------------------------------


def test_what_is_held_comes_first_when_it_is_released(channel, outbox):
    channel.room = 100
    outbox.hold(b"handshake")
    outbox.send(b"early")
    assert channel.received == b""
    outbox.release()
    assert channel.received == b"handshakeearly"
    outbox.send(b"!")
    assert channel.received == b"handshakeearly!"


def test_releasing_twice_sends_it_once(channel, outbox):
    channel.room = 4
    outbox.hold(b"handshake")
    outbox.release()
    outbox.release()
    assert channel.received == b"hand"
    channel.make_room(100)
    assert channel.received == b"handshake"


def test_what_is_held_is_not_discarded(channel, outbox):
    channel.room = 100
    outbox.hold(b"handshake")
    outbox.send(b"early")
    outbox.discard()
    outbox.send(b"close", bounded=False)
    outbox.release()
    assert channel.received == b"handshakeclose"
