"""permessage-deflate (RFC 7692), with wsproto as the client."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from protoo_flask.transport.websocket.deflate import DeflateCodec, negotiate

from ..wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    close_frame,
    frame,
)

LIMIT = 1000
RSV1 = 4


def make_codec(offer: str = "permessage-deflate", limit: int = LIMIT) -> DeflateCodec:
    agreed = negotiate(offer, limit)
    assert agreed is not None
    return agreed[1]


def deflate(data: bytes, compressor: Any = None) -> bytes:
    compressor = compressor or zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed(payload: bytes, opcode: int = TEXT, **options: Any) -> bytes:
    return frame(opcode, deflate(payload), rsv=RSV1, **options)


def decode(data: bytes, **options: Any) -> tuple[list[Any], int | None]:
    codec = make_codec(**options)
    items = codec.receive(data)
    return items, codec.error.code if codec.error else None


# Agreeing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ('permessage-deflate; client_max_window_bits="10"', "permessage-deflate"),
        (
            "permessage-deflate;server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10",
        ),
        # The first offer that can be accepted.
        ("x-other, permessage-deflate; x=1, permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; x=1, permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
        ),
    ],
)
def test_an_offer_is_accepted(offer, answer):
    agreed = negotiate(offer, LIMIT)
    assert agreed is not None
    assert agreed[0] == answer


@pytest.mark.parametrize(
    "offer",
    [
        "",
        ",",
        "permessage-bzip2",
        "permessage-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate;",
    ],
)
def test_an_offer_that_rfc_7692_does_not_know_is_declined(offer):
    assert negotiate(offer, LIMIT) is None


# Talking to wsproto ----------------------------------------------------------------------------

OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9",
]


def connect(offer: str, limit: int) -> tuple[DeflateCodec, Connection]:
    agreed = negotiate(offer, limit)
    assert agreed is not None
    extension = PerMessageDeflate()
    extension.finalize(agreed[0])
    return agreed[1], Connection(ConnectionType.CLIENT, [extension])


@pytest.mark.parametrize("offer", OFFERS)
@settings(max_examples=30)
@given(st.lists(st.text(max_size=2000), max_size=5))
def test_wsproto_and_the_codec_understand_each_other(offer, messages):
    codec, client = connect(offer, 10_000)
    for message in messages:
        assert codec.receive(client.send(TextMessage(message))) == [(TEXT, message.encode())]
        data = message.encode()
        assert codec.receive(client.send(BytesMessage(data))) == [(BINARY, data)]
        client.receive_data(codec.encode(TEXT, data))
        assert "".join(event.data for event in client.events()) == message
    assert codec.error is None


def test_a_message_that_repeats_an_earlier_one_is_smaller_unless_the_client_forbids_it():
    payload = bytes(range(256)) * 2
    keeping, forgetting = make_codec(), make_codec(OFFERS[2])
    sizes = [len(codec.encode(TEXT, payload)) for codec in (keeping, keeping, forgetting)]
    assert sizes[1] < sizes[0] / 5
    assert len(forgetting.encode(TEXT, payload)) == sizes[2]


# Frames ----------------------------------------------------------------------------------------


def test_a_message_may_be_compressed_or_not():
    data = compressed(b"{}") + frame(TEXT, b"{}") + compressed(b"\xff", BINARY) + frame(BINARY)
    assert decode(data) == ([(TEXT, b"{}"), (TEXT, b"{}"), (BINARY, b"\xff"), (BINARY, b"")], None)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_compressed_message_in_fragments_with_control_frames_between_them(size):
    body = deflate("€".encode() * 50)
    data = (
        frame(TEXT, body[:3], fin=False, rsv=RSV1)
        + frame(PING, b"between")
        + frame(CONTINUATION, body[3:], fin=False)
        + frame(CONTINUATION)
        + frame(TEXT, b"after")
        + close_frame(1000)
    )
    codec = make_codec()
    items = []
    for start in range(0, len(data), size):
        items += codec.receive(data[start : start + size])
    assert items == [
        (PING, b"between"),
        (TEXT, "€".encode() * 50),
        (TEXT, b"after"),
        (CLOSE, b"\x03\xe8"),
    ]


def test_the_examples_of_rfc_7692():
    # Section 7.2.3: "Hello", again with the window kept, without compression inside,
    # in a final block, and in two blocks.
    for body in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000"):
        assert decode(frame(TEXT, bytes.fromhex(body), rsv=RSV1)) == ([(TEXT, b"Hello")], None)
    two_blocks = bytes.fromhex("f24805000000ffffcac9c90700")
    assert decode(frame(TEXT, two_blocks, rsv=RSV1)) == ([(TEXT, b"Hello")], None)
    codec = make_codec()
    for body in ("f248cdc9c90700", "f200110000"):
        assert codec.receive(frame(TEXT, bytes.fromhex(body), rsv=RSV1)) == [(TEXT, b"Hello")]


def test_after_a_final_block_the_next_message_begins_anew():
    codec = make_codec()
    final = frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=RSV1)
    assert codec.receive(final * 2 + compressed(b"{}")) == [(TEXT, b"Hello")] * 2 + [(TEXT, b"{}")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff\xff\xff", rsv=RSV1), 1007),
        (compressed(b"\xff"), 1007),
        (frame(TEXT, bytes.fromhex("f348cdc9c90700") + b"more of it", rsv=RSV1), 1007),
        (frame(TEXT, b"", rsv=2), 1002),
        (frame(PING, b"", rsv=RSV1), 1002),
        (frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", rsv=RSV1), 1002),
        (compressed(b"{}", fin=False) + frame(TEXT, b"{}"), 1002),
        (compressed(b"{}", fin=False) + compressed(b"{}"), 1002),
        (compressed(b"x" * (LIMIT + 1)), 1009),
        (frame(TEXT, b"x" * (LIMIT + 1)), 1009),
        (frame(TEXT, b"x" * LIMIT, fin=False, rsv=RSV1) + frame(CONTINUATION, b"x"), 1009),
    ],
    ids=[
        "not deflated",
        "not UTF-8",
        "more after a final block",
        "another reserved bit",
        "compressed control frame",
        "bit on a continuation",
        "a new message in a message",
        "a new compressed message in a message",
        "too big when inflated",
        "too big uncompressed",
        "too big compressed",
    ],
)
def test_a_violation_is_found_and_nothing_is_decoded_after_it(data, code):
    assert decode(frame(PING) + data + frame(TEXT, b"after")) == ([(PING, b"")], code)


def test_the_limit_is_inclusive():
    assert decode(compressed(b"x" * LIMIT)) == ([(TEXT, b"x" * LIMIT)], None)


def test_a_bomb_is_not_inflated():
    bomb = frame(TEXT, deflate(bytes(50_000_000)), rsv=RSV1)
    assert len(bomb) < 60_000
    codec = make_codec(limit=60_000)
    tracemalloc.start()
    try:
        assert codec.receive(bomb) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert codec.error.code == 1009


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_garbage_never_raises(bodies, data):
    codec = make_codec()
    for body in bodies:
        opcode = data.draw(st.sampled_from([TEXT, BINARY, CONTINUATION]))
        fin = data.draw(st.booleans())
        codec.receive(frame(opcode, body, fin=fin, rsv=data.draw(st.sampled_from([0, RSV1]))))
