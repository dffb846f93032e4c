"""The fast codec, against the plain one."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoo_flask.transport.websocket import fast_frames
from protoo_flask.transport.websocket.fast_frames import FastFrameCodec, fast_unmask
from protoo_flask.transport.websocket.frames import MAX_SHORT, FrameCodec, unmask

from ..wire import TEXT, frame
from .streams import LIMIT, masks, receive_all, streams

simple = st.builds(
    lambda payload, mask: frame(TEXT, payload, mask=mask),
    st.integers(0, 140).map(lambda size: (b'{"method":"get","path":"/"}' * 6)[:size]),
    masks,
)


@settings(max_examples=300)
@given(st.lists(st.one_of(simple, simple, streams()), max_size=8), st.sampled_from([100, LIMIT]))
def test_the_fast_codec_decodes_like_the_plain_one(reads, limit):
    fast, plain = FastFrameCodec(limit), FrameCodec(limit)
    for data in reads:
        text = fast.read_text(data)
        items = receive_all(fast, data) if text is None else [(TEXT, text)]
        assert items == receive_all(plain, data)
        assert fast.error == plain.error


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 200, MAX_SHORT])
def test_a_whole_short_text_is_read_whatever_its_size(size):
    payload = b"x" * size
    assert FastFrameCodec(LIMIT).read_text(frame(TEXT, payload)) == payload
    assert FastFrameCodec(size - 1).read_text(frame(TEXT, payload)) is None
    assert FastFrameCodec(LIMIT).read_text(frame(TEXT, payload)[:-1]) is None
    assert FastFrameCodec(LIMIT).read_text(frame(TEXT, payload) + b"\x81") is None


def test_a_longer_text_is_left_to_the_plain_way():
    assert FastFrameCodec(LIMIT).read_text(frame(TEXT, b"x" * (MAX_SHORT + 1))) is None


@given(payload=st.binary(max_size=300), mask=masks)
@settings(database=None)
def test_compiled_code_unmasks_like_python(payload, mask):
    assert fast_unmask(payload, mask) == unmask(payload, mask)
    assert fast_unmask(bytearray(payload), bytearray(mask)) == unmask(payload, mask)


def test_the_fast_codec_needs_no_compiled_code():
    script = """if True:
        import sys
        sys.modules["websockets.speedups"] = None
        from protoo_flask.transport.websocket import fast_frames, frames
        assert fast_frames.fast_unmask is frames.unmask
    """
    subprocess.run([sys.executable, "-c", script], check=True)


def test_compiled_code_unmasks_where_it_can_be_had():
    is_compiled = find_spec("websockets.speedups") is not None
    assert (fast_frames.fast_unmask is not unmask) is is_compiled
