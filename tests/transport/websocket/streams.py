"""Strategies for the bytes that clients send."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protoo_flask.transport.websocket.frames import FrameCodec

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame

LIMIT = 70_000


def decode_in_pieces(data: bytes, sizes: Any) -> tuple[list[Any], int | None]:
    """Decode bytes that arrive in pieces of these sizes, and a last one with the rest."""
    codec = FrameCodec(LIMIT)
    items = []
    start = 0
    for size in sizes:
        items += receive_all(codec, data[start : start + size])
        start += size
    items += receive_all(codec, data[start:])
    return items, codec.error.code if codec.error else None


def receive_all(codec: FrameCodec, data: bytes) -> list[Any]:
    """Decode all messages of a read, as several turns do."""
    items = codec.receive(data)
    while codec.has_more:
        items += codec.receive(b"")
    return items


masks = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=40),
    st.integers(120, 130).map(lambda size: b"x" * size),
    st.sampled_from([b"x" * 65535, b"y" * 65536]),
)
controls = st.builds(
    frame,
    st.sampled_from([PING, PONG]),
    st.binary(max_size=125),
    mask=masks,
)
closes = st.one_of(
    st.builds(close_frame),
    st.builds(close_frame, st.sampled_from([1000, 1001, 1011, 3000, 4999]), st.text(max_size=30)),
    st.builds(close_frame, st.integers(0, 6000)),
    st.builds(lambda payload: frame(CLOSE, payload), st.binary(max_size=10)),
)
strange = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 1, 2, 4]),
    mask=st.one_of(masks, masks, masks, st.none()),
)
long_lengths = st.builds(
    lambda opcode, payload, size: frame(opcode, payload, size=size),
    st.integers(0, 15),
    payloads.filter(lambda payload: len(payload) < 65536),
    st.sampled_from([2, 8]),
)


@st.composite
def messages(draw: Any) -> bytes:
    """Draw a message in fragments, with control frames between them."""
    payload = draw(payloads)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    data = b""
    for start, end in zip([0, *cuts], [*cuts, len(payload)]):
        data += frame(opcode, payload[start:end], fin=False, mask=draw(masks))
        data += b"".join(draw(st.lists(controls, max_size=1)))
        opcode = CONTINUATION
    return data + frame(CONTINUATION)


@st.composite
def streams(draw: Any) -> bytes:
    """Draw the bytes of a client: mostly legal frames, sometimes not."""
    kinds = [messages(), messages(), messages(), controls, closes, strange, long_lengths]
    data = bytearray(b"".join(draw(st.lists(st.one_of(*kinds), min_size=1, max_size=6))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, min(len(data) - 1, 200)))
        data[place] ^= draw(st.integers(1, 255))
    return bytes(data[: draw(st.sampled_from([len(data), len(data), len(data) // 2]))])
