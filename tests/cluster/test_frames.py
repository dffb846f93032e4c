"""Frames: what other nodes, other versions and strangers publish."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.cluster.frames import VERSION, BadFrame, Frame, FrameCodec, Goodbye
from protoo_flask.cluster.streams import AFTER_A_GAP, MAX_STREAMS, NEXT, REPEATED, Streams
from protoo_flask.core.cluster.items import (
    Answer,
    Ask,
    Cancel,
    Close,
    Engagement,
    Estate,
    Half,
    Remembered,
    Tell,
    WaitingMessage,
)

ITEMS = [
    Ask(1, "bob", "b1", b'{"id":0}', "alice", "session", Engagement("rooms", "/r/1", b"{}")),
    Answer(1, 200, "ok", b'{"text":"hi"}', True),
    Tell([("bob", "b1"), ("bob", "b2")], b"{}", None, ("presence", "alice")),
    Close("bob", None, 4000, "bye", True),
    Estate("bob", "b1", 7, True, waiting=[WaitingMessage(b"{}", 3)], halves=[
        Half(3, "n", 4, b"{}", {"username": "alice", "uuid": "a1"}, "session")
    ]),
    Goodbye(),
]  # fmt: skip


def encode(*items: object, key: str = "", to: str = "b") -> bytes:
    return FrameCodec(key).encode("a", to, 5, 4, list(items))


@pytest.mark.parametrize("key", ["", "secret", "a long secret " * 20])
def test_a_frame_arrives_as_it_was_sent(key):
    frame, left_out = FrameCodec(key).decode(encode(*ITEMS, key=key))
    assert (frame.version, frame.sender, frame.to, frame.seq, frame.after) == (
        VERSION,
        "a",
        "b",
        5,
        4,
    )
    assert frame.items == ITEMS
    assert left_out == 0


@given(text=st.text(st.characters()), data=st.binary())
def test_any_text_arrives_even_half_of_a_surrogate_pair(text, data):
    items = [Answer(1, 400, text, data), Cancel(2)]
    assert FrameCodec().decode(encode(*items))[0].items == items


def test_items_of_a_newer_version_are_left_out_and_the_others_are_read():
    data = msgspec.msgpack.encode(
        [VERSION, "a", "b", 1, 0, [[3, 7], [77, "new"], [3, 8, "a new field"], "?", [2, "bad"]]]
    )
    frame, left_out = FrameCodec().decode(data)
    assert frame.items == [Cancel(7), Cancel(8)]
    assert left_out == 3


def test_a_remembered_answer_of_an_earlier_version_has_no_first_response():
    def estate(answer):
        items = [[8, "bob", "b1", 7, True, [], [], [answer]]]
        data = msgspec.msgpack.encode([VERSION, "a", "b", 1, 0, items])
        (read,) = FrameCodec().decode(data)[0].items
        return read.answers

    assert estate([1, 5, b"200"]) == [Remembered(1, 5, b"200", b"")]
    assert estate([1, 5, b"200", b"100"]) == [Remembered(1, 5, b"200", b"100")]
    # An earlier version reads ours in the same way: it leaves out what it does not know.
    assert estate([1, 5, b"200", b"100", "new"]) == [Remembered(1, 5, b"200", b"100")]


@pytest.mark.parametrize(
    "frame",
    [[2, "a", "b", 1, 0, []], [2, "a", {"another": "form"}], [2], [2, "a", "b", 1, 0, [[7]]]],
)
def test_a_frame_of_another_version_is_told_as_that(frame):
    with pytest.raises(BadFrame, match="has version 2, and this process reads version 1"):
        FrameCodec().decode(msgspec.msgpack.encode(frame))


def test_a_frame_with_another_key_is_refused():
    with pytest.raises(BadFrame, match="wrong MAC"):
        FrameCodec("one").decode(encode(key="another"))


def test_a_frame_without_a_key_is_refused_where_there_is_one():
    with pytest.raises(BadFrame, match="wrong MAC"):
        FrameCodec("one").decode(encode(*ITEMS))


def test_a_frame_with_a_key_is_told_where_there_is_none():
    with pytest.raises(BadFrame, match="this process has no PROTOO_CLUSTER_KEY"):
        FrameCodec().decode(encode(*ITEMS, key="one"))


def test_a_changed_frame_is_refused():
    data = bytearray(encode(*ITEMS, key="one"))
    data[-1] ^= 1
    with pytest.raises(BadFrame, match="wrong MAC"):
        FrameCodec("one").decode(bytes(data))


@given(data=st.binary())
def test_garbage_is_a_bad_frame_and_nothing_worse(data):
    for codec in (FrameCodec(), FrameCodec("one")):
        with pytest.raises(BadFrame):
            codec.decode(data)


@given(data=st.binary(max_size=30), place=st.integers(0, 200))
def test_a_damaged_frame_is_a_bad_frame_or_another_frame(data, place):
    damaged = bytearray(encode(*ITEMS))
    damaged[place : place + len(data)] = data
    try:
        frame, _ = FrameCodec().decode(bytes(damaged))
    except BadFrame:
        return
    assert isinstance(frame, Frame)


# Streams


def take(streams: Streams, seq: int, after: int, sender: str = "a", to: str = "b") -> str:
    return streams.take(Frame(VERSION, sender, to, seq, after, []))


def test_frames_of_a_stream_follow_each_other():
    streams = Streams()
    assert [take(streams, 1, 0), take(streams, 4, 1), take(streams, 5, 4)] == [NEXT] * 3


def test_a_gap_is_seen():
    streams = Streams()
    take(streams, 1, 0)
    assert take(streams, 3, 2) is AFTER_A_GAP
    assert take(streams, 4, 3) is NEXT


def test_a_first_frame_behind_others_is_a_gap():
    assert take(Streams(), 9, 8) is AFTER_A_GAP


def test_frames_to_all_from_before_this_node_are_no_gap():
    assert take(Streams(), 9, 8, to="") is NEXT


def test_a_repeated_frame_is_seen():
    streams = Streams()
    take(streams, 2, 0)
    assert take(streams, 2, 0) is REPEATED
    assert take(streams, 1, 0) is REPEATED
    assert take(streams, 3, 2) is NEXT


def test_streams_to_a_node_and_to_all_are_two():
    streams = Streams()
    assert take(streams, 2, 0) is NEXT
    assert take(streams, 1, 0, to="") is NEXT


def test_forged_senders_do_not_fill_the_memory():
    streams = Streams()
    for number in range(MAX_STREAMS + 10):
        take(streams, 1, 0, sender=str(number))
    assert len(streams.get_senders()) == MAX_STREAMS


def test_a_node_that_has_gone_is_forgotten():
    streams = Streams()
    take(streams, 1, 0)
    take(streams, 2, 0, to="")
    streams.forget("a")
    assert streams.get_senders() == set()


def test_a_frame_of_before_the_first_one_that_can_come_is_a_repetition():
    streams = Streams()
    streams.floor = 100
    assert take(streams, 99, 0, to="") is REPEATED
    assert take(streams, 100, 99, to="") is NEXT


def test_nothing_of_a_node_that_has_gone_is_taken():
    streams = Streams()
    take(streams, 1, 0)
    streams.forget("a")
    assert take(streams, 1, 0) is REPEATED
    assert take(streams, 2, 1) is REPEATED
