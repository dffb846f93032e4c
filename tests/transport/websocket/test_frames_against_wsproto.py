"""Frames: wsproto has the same opinion of everything that a client may send."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from protoo_flask.transport.websocket.frames import FrameCodec

from ..wire import CLOSE, TEXT, close_frame, frame
from .reference import BAD_GATEWAY, Reference, look_into_close
from .streams import LIMIT, decode_in_pieces, receive_all, streams


@settings(max_examples=200)
@given(streams(), st.lists(st.integers(0, 50), max_size=30))
@example(frame(TEXT, b"\xff" * 10)[:12], [])
@example(b"\x81\xfe\x00\x00", [])
@example(close_frame(1000) + frame(TEXT, b"late"), [8])
@example(frame(TEXT, b"early") + close_frame(BAD_GATEWAY), [])
def test_wsproto_is_of_the_same_opinion(data, sizes):
    codec = FrameCodec(LIMIT)
    reference = Reference()
    items = receive_all(codec, data)
    assert decode_in_pieces(data, sizes) == (items, codec.error and codec.error.code)
    reference.receive(data)
    # Each finds some violations before the frame is complete in which they are; then the
    # other gets more of it.
    if codec.error is not None and reference.code is None:
        reference.receive(bytes(64))
    elif reference.code is not None and codec.error is None:
        items += receive_all(codec, bytes(LIMIT + 14))
    ours = look_into_close(items, codec.error and codec.error.code)
    if ours[0] and ours[0][-1][:2] == (CLOSE, BAD_GATEWAY):
        assert (ours[0][:-1], 1002) == (reference.items, reference.code)
    elif ours[1] != 1009:  # wsproto knows no limit
        assert ours == (reference.items, reference.code)
    else:
        assert ours[0] == reference.items
